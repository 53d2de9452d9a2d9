"""Random schedules of arrivals, faults, cancellations and deadlines: everybody gets one answer, and it is their own."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
import time
from collections import Counter
from contextlib import ExitStack

import numpy as np
import pytest

from core.bundle import Bundle
from core.errors import DeadlineExceededError, ScorerError, ScorerModelError, ScorerTimeoutError
from core.preprocessing import FeatureMatrix
from core.scoring.embedded import EmbeddedScorer
from core.scoring.sagemaker import SageMakerScorer
from core.scoring.sagemaker_client import Answer
from core.scoring.sagemaker_coalescing import Call, Coalescer
from tests.sagemaker.conftest import MakeScorer
from tests.sagemaker_runtime import faults
from tests.sagemaker_runtime.server import Runtime

N_SCHEDULES = 1000
AT_A_TIME = 10
PATIENCE_S = 10.0
"""What is not answered by then is lost."""


def unreliable_call(lots: random.Random) -> Call:
    """Return a call that answers each row with its first feature, late at times, or fails."""
    lock = threading.Lock()

    def call(features: FeatureMatrix, deadline: float) -> Answer:
        with lock:
            pause, fails = lots.choice([0, 0, 0.001, 0.003, 0.01]), lots.random() < 0.2
        time.sleep(pause)
        if fails:
            raise ScorerModelError("The model failed on the request.")
        return Answer(features[:, 0].astype(np.float64))

    return call


async def one_caller(coalescer: Coalescer, value: int, seed: int) -> str:
    lots = random.Random(seed)
    n_rows = lots.choice([1, 1, 1, 2, 5])
    features = np.repeat(np.array([[value, 0.0]], dtype=np.float32), n_rows, axis=0)
    await asyncio.sleep(lots.choice([0, 0, 0.001, 0.002, 0.005]))
    task = asyncio.ensure_future(coalescer.submit(features, time.monotonic() + lots.choice([0.001, 0.004, 0.02, 5])))
    if lots.random() < 0.2:
        asyncio.get_running_loop().call_later(lots.choice([0, 0.001, 0.004]), task.cancel)
    try:
        answer = await asyncio.wait_for(task, PATIENCE_S)
    except asyncio.CancelledError:
        return "cancelled"
    except (ScorerModelError, ScorerTimeoutError, DeadlineExceededError) as error:
        return error.code
    assert answer.scores.tolist() == [value] * n_rows
    return "ok"


def test_coalescer_gives_everybody_their_own_answer() -> None:
    lots = random.Random(4)
    seen: Counter[str] = Counter()
    threads = threading.active_count()

    async def schedule(coalescer: Coalescer) -> list[str]:
        values = range(lots.randint(1, 16))
        return list(await asyncio.gather(*(one_caller(coalescer, value, lots.getrandbits(32)) for value in values)))

    async def several() -> list[str]:
        with ExitStack() as open_ones:
            coalescers = [
                Coalescer(unreliable_call(lots), max_calls=lots.randint(1, 4), max_rows=lots.choice([5, 6, 100]))
                for _ in range(AT_A_TIME)
            ]
            for coalescer in coalescers:
                open_ones.callback(coalescer.close)
            outcomes = await asyncio.gather(*(schedule(coalescer) for coalescer in coalescers))
        return [outcome for each in outcomes for outcome in each]

    for _ in range(N_SCHEDULES // AT_A_TIME):
        seen.update(asyncio.run(several()))
    assert threading.active_count() <= threads
    assert set(seen) == {"ok", "cancelled", "upstream_model_error", "upstream_timeout", "deadline_exceeded"}
    assert seen["ok"] > seen.total() / 4


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


FAULTS = (
    faults.UNAVAILABLE, faults.MODEL_ERROR, faults.THROTTLED, faults.BAD_GATEWAY, faults.resets, faults.closes,
    faults.truncates, faults.says(b"nan"), faults.edits(lambda body: body + b",0.5"), faults.late(0.02),
    faults.late(0.1), faults.stalls_after_headers, faults.keeps_silent, faults.drips(0.03),
)  # fmt: skip


@pytest.mark.parametrize("n_schedules", [50, pytest.param(N_SCHEDULES, marks=pytest.mark.soak)])
def test_endpoint_with_faults_gives_everybody_their_own_answer(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, n_schedules: int
) -> None:
    lots = random.Random(n_schedules)
    features = creditcard.golden_features()
    expected = asyncio.run(EmbeddedScorer(creditcard).score(features))
    scorer = make_scorer(deadline_s=0.25, batch_deadline_s=0.3, rows_per_call=20)
    runtime.script = faults.Mixture(0.25, FAULTS, seed=n_schedules)
    seen: Counter[str] = Counter()

    async def caller(scorer: SageMakerScorer, first: int, seed: int) -> str:
        lots = random.Random(seed)
        last = first + lots.choice([1, 1, 1, 1, 30])
        await asyncio.sleep(lots.choice([0, 0, 0.002, 0.01]))
        task = asyncio.ensure_future(scorer.score(features[first:last]))
        if lots.random() < 0.1:
            asyncio.get_running_loop().call_later(lots.choice([0, 0.002, 0.02, 0.1]), task.cancel)
        try:
            scores = await asyncio.wait_for(task, PATIENCE_S)
        except asyncio.CancelledError:
            return "cancelled"
        except ScorerError as error:
            return error.code
        assert np.abs(scores - expected[first:last]).max() <= 1e-6
        return "ok"

    async def schedule() -> list[str]:
        starts = [lots.randrange(len(features) - 30) for _ in range(lots.randint(1, 12))]
        return list(await asyncio.gather(*(caller(scorer, start, lots.getrandbits(32)) for start in starts)))

    asyncio.run(schedule())
    files, threads = open_files(), threading.active_count()
    for _ in range(n_schedules):
        seen.update(asyncio.run(schedule()))
    scorer.close()
    end = time.monotonic() + PATIENCE_S
    while (runtime.in_flight or open_files() > files) and time.monotonic() < end:
        time.sleep(0.01)  # the server needs a moment to see that its clients have gone

    assert {"ok", "cancelled", "upstream_model_error", "upstream_invalid_response", "upstream_timeout"} <= set(seen)
    assert seen["ok"] > seen.total() / 4
    assert runtime.in_flight == 0
    assert threading.active_count() <= threads
    assert open_files() <= files
