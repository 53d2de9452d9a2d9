"""How many calls and connections it takes."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import numpy as np
import pytest

from core.bundle import Bundle
from core.errors import ScorerError, ScorerTimeoutError
from core.preprocessing import FeatureMatrix
from core.scoring.sagemaker import SageMakerScorer
from core.scoring.sagemaker_client import Endpoint, EndpointOptions
from core.scoring.sagemaker_connection import TimeLimits
from core.scoring.sagemaker_errors import InvocationError
from tests.sagemaker.conftest import ENDPOINT, REGION, MakeScorer
from tests.sagemaker_runtime import faults
from tests.sagemaker_runtime.faults import Fault
from tests.sagemaker_runtime.server import Runtime

CALLERS = 64
ROWS_EACH = 20


async def score_each(scorer: SageMakerScorer, features: FeatureMatrix, order: list[int]) -> list[float]:
    return [float((await scorer.score(features[index : index + 1]))[0]) for index in order]


async def score_from_all(scorer: SageMakerScorer, bundle: Bundle) -> float:
    """Let every caller score its rows one after the other; return how far from the record they are at most."""
    features, recorded = bundle.golden_features(), np.array(bundle.golden.raw_scores)
    orders = [[(caller + n) % len(features) for n in range(ROWS_EACH)] for caller in range(CALLERS)]
    scores = await asyncio.gather(*(score_each(scorer, features, order) for order in orders))
    return float(np.abs(np.array(scores) - recorded[np.array(orders)]).max())


def test_many_callers_need_a_fifth_of_the_calls_or_fewer(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    runtime.latency_s = 0.005

    assert asyncio.run(score_from_all(make_scorer(deadline_s=20.0), creditcard)) <= 1e-6

    assert sum(runtime.rows) == CALLERS * ROWS_EACH
    assert runtime.hits <= CALLERS * ROWS_EACH / 5
    assert runtime.most_in_flight <= 4


def test_without_coalescing_every_row_is_a_call(creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime) -> None:
    scorer, features = make_scorer(coalesce=False, deadline_s=20.0), creditcard.golden_features()

    async def score_all_at_once() -> None:
        await asyncio.gather(*(score_each(scorer, features, [index] * 5) for index in range(CALLERS)))

    asyncio.run(score_all_at_once())
    assert runtime.rows == [1] * CALLERS * 5


def test_single_caller_never_waits_for_company(creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime) -> None:
    asyncio.run(score_each(make_scorer(), creditcard.golden_features(), list(range(ROWS_EACH))))
    assert runtime.rows == [1] * ROWS_EACH
    assert runtime.connections == 1


def test_batches_do_not_hold_up_single_transactions(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    features = creditcard.golden_features()
    scorer = make_scorer(rows_per_call=10, deadline_s=1.0)
    runtime.script = lambda number: faults.late(0.8) if runtime.rows[-1] == 10 else None

    async def both() -> bool:
        batch = asyncio.ensure_future(scorer.score(features[:60]))
        await asyncio.sleep(0.1)
        await scorer.score(features[:1])
        is_first = not batch.done()
        assert len(await batch) == 60
        return is_first

    assert asyncio.run(both())
    assert runtime.most_in_flight == 5


def test_batch_is_all_or_nothing_and_asks_for_no_more_once_it_failed(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    runtime.script = faults.at(faults.MODEL_ERROR, 3)

    with pytest.raises(ScorerError):
        asyncio.run(make_scorer(rows_per_call=2).score(creditcard.golden_features()))

    assert runtime.hits < 32


@pytest.mark.parametrize(
    "fault", [faults.MODEL_ERROR, faults.THROTTLED, faults.BAD_GATEWAY, faults.says(b"nan"), faults.REDIRECT]
)
def test_failed_call_gives_its_connection_back(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, fault: Fault
) -> None:
    scorer, row = make_scorer(), creditcard.golden_features()[:1]
    runtime.script = faults.always(fault)

    async def fail() -> None:
        for _ in range(5):
            with pytest.raises(ScorerError):
                await scorer.score(row)

    asyncio.run(fail())
    assert runtime.connections == 1


def test_call_whose_time_is_up_is_a_time_out_and_no_broken_connection(creditcard: Bundle, runtime: Runtime) -> None:
    endpoint, row = Endpoint(EndpointOptions(ENDPOINT, region=REGION), max_calls=1), creditcard.golden_features()[:1]
    now = time.monotonic()
    endpoint.invoke(row, TimeLimits(now + 10, now + 10))

    with closing(endpoint), pytest.raises(InvocationError) as raised:
        endpoint.invoke(row, TimeLimits(now, now))

    assert raised.value.fault.error is ScorerTimeoutError


def test_connection_that_the_other_side_closed_meanwhile_costs_no_answer(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    runtime.script = faults.always(faults.answers_and_closes)
    order = list(range(ROWS_EACH))

    scores = asyncio.run(score_each(make_scorer(), creditcard.golden_features(), order))

    assert np.abs(np.array(scores) - np.array(creditcard.golden.raw_scores)[order]).max() <= 1e-6
    assert runtime.hits == ROWS_EACH


def test_each_loop_may_have_its_turn(creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime) -> None:
    scorer = make_scorer()
    for index in range(5):
        [score] = asyncio.run(score_each(scorer, creditcard.golden_features(), [index]))
        assert score == pytest.approx(creditcard.golden.raw_scores[index], abs=1e-6)


def test_endpoint_that_disappears_and_comes_back(creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime) -> None:
    scorer, features = make_scorer(), creditcard.golden_features()
    container = dict(runtime.containers)
    runtime.containers.clear()
    with pytest.raises(ScorerError) as caught:
        asyncio.run(scorer.score(features[:1]))
    assert caught.value.code == "endpoint_misconfigured"

    runtime.containers.update(container)
    assert len(asyncio.run(scorer.score(features[:1]))) == 1


def test_large_payload_is_sent_whole_though_connecting_has_a_short_time_out(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    longest = np.full((10_000, creditcard.preprocessor.n_features), -1.17549435e-38, dtype=np.float32)
    scorer = make_scorer(rows_per_call=100_000, endpoint={"connect_timeout_s": 0.05})

    assert len(asyncio.run(scorer.score(longest))) == len(longest)
    assert runtime.hits == 1
