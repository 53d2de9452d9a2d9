"""Who travels with whom, and that nobody's fate is another's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import numpy as np
import pytest

from core.errors import DeadlineExceededError, ScorerModelError, ScorerTimeoutError
from core.preprocessing import FeatureMatrix
from core.scoring.sagemaker_client import Answer
from core.scoring.sagemaker_coalescing import Coalescer

FAR = 30.0


class Gate:
    """A call that answers each row with its first feature, once the gate is open."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.calls: list[list[float]] = []
        self.deadlines: list[float] = []
        self.outcome: Exception | None = None
        self.started = threading.Semaphore(0)
        self._open = threading.Event()
        if is_open:
            self._open.set()

    def open(self) -> None:
        self._open.set()

    def __call__(self, features: FeatureMatrix, deadline: float) -> Answer:
        self.calls.append(features[:, 0].tolist())
        self.deadlines.append(deadline)
        self.started.release()
        assert self._open.wait(FAR)
        if self.outcome is not None:
            raise self.outcome
        return Answer(features[:, 0].astype(np.float64), "v")


Make = Callable[..., Coalescer]


@pytest.fixture
def make() -> Iterator[Make]:
    """Return a function that makes coalescers."""
    with ExitStack() as made:

        def one(gate: Gate, *, max_calls: int, max_rows: int) -> Coalescer:
            return made.enter_context(closing(Coalescer(gate, max_calls=max_calls, max_rows=max_rows)))

        yield one


def rows(*values: float) -> FeatureMatrix:
    return np.array([[value, 0.0] for value in values], dtype=np.float32)


def soon(seconds: float = FAR) -> float:
    return time.monotonic() + seconds


async def until_called(gate: Gate) -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, gate.started.acquire, True, FAR)


def test_row_whose_time_is_up_is_told_so_and_never_sent(make: Make) -> None:
    gate = Gate(is_open=True)
    coalescer = make(gate, max_calls=1, max_rows=10)

    async def late() -> None:
        with pytest.raises(DeadlineExceededError):
            await coalescer.submit(rows(1), soon(-1e-6))

    asyncio.run(late())
    assert gate.calls == []


def test_idle_coalescer_sends_at_once_and_alone(make: Make) -> None:
    gate = Gate(is_open=True)
    coalescer = make(gate, max_calls=4, max_rows=10)

    async def one_after_the_other() -> list[float]:
        return [float((await coalescer.submit(rows(value), soon())).scores[0]) for value in (0.1, 0.2, 0.3)]

    assert asyncio.run(one_after_the_other()) == pytest.approx([0.1, 0.2, 0.3])
    assert [len(call) for call in gate.calls] == [1, 1, 1]


@pytest.mark.parametrize("max_calls", [1, 3])
def test_rows_that_wait_travel_together_in_the_next_call(make: Make, max_calls: int) -> None:
    gate = Gate()
    coalescer = make(gate, max_calls=max_calls, max_rows=100)

    async def arrive() -> list[float]:
        futures = []
        for value in range(max_calls):
            futures.append(coalescer.submit(rows(value), soon()))
            await until_called(gate)
        futures += [coalescer.submit(rows(value), soon()) for value in range(max_calls, max_calls + 60)]
        gate.open()
        return [float(answer.scores[0]) for answer in await asyncio.gather(*futures)]

    assert asyncio.run(arrive()) == list(range(max_calls + 60))
    assert len(gate.calls) == max_calls + 1
    assert gate.calls[-1] == list(range(max_calls, max_calls + 60))


def test_call_takes_no_more_rows_than_it_may(make: Make) -> None:
    gate = Gate()
    coalescer = make(gate, max_calls=1, max_rows=5)

    async def arrive() -> list[list[float]]:
        futures = [coalescer.submit(rows(9), soon())]
        await until_called(gate)
        futures += [coalescer.submit(rows(*range(n)), soon()) for n in (2, 3, 4, 5, 1)]
        gate.open()
        return [answer.scores.tolist() for answer in await asyncio.gather(*futures)]

    assert asyncio.run(arrive()) == [[9.0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0]]
    assert [len(call) for call in gate.calls] == [1, 5, 4, 5, 1]


def test_failed_call_gives_each_caller_an_error_of_its_own(make: Make) -> None:
    gate = Gate()
    gate.outcome = ScorerModelError("The model failed on the request.")
    coalescer = make(gate, max_calls=1, max_rows=100)

    async def arrive() -> list[object]:
        first = coalescer.submit(rows(0), soon())
        await until_called(gate)
        others = [coalescer.submit(rows(value), soon()) for value in range(1, 5)]
        gate.open()
        return list(await asyncio.gather(first, *others, return_exceptions=True))

    outcomes = asyncio.run(arrive())
    assert [type(outcome) for outcome in outcomes] == [ScorerModelError] * 5
    assert len({id(outcome) for outcome in outcomes}) == 5
    assert [len(call) for call in gate.calls] == [1, 4]


def test_bug_in_a_call_reaches_its_callers_and_nobody_else(make: Make) -> None:
    gate = Gate()
    gate.outcome = ZeroDivisionError("a bug")
    coalescer = make(gate, max_calls=1, max_rows=1)

    async def arrive() -> tuple[list[object], float]:
        broken = [coalescer.submit(rows(0), soon()), coalescer.submit(rows(1), soon())]
        await until_called(gate)
        gate.open()
        outcomes = list(await asyncio.gather(*broken, return_exceptions=True))
        gate.outcome = None
        return outcomes, float((await coalescer.submit(rows(0.5), soon())).scores[0])

    outcomes, score = asyncio.run(arrive())
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 2
    assert score == 0.5


def test_deadline_of_one_passes_without_a_word_to_the_others(make: Make) -> None:
    gate = Gate()
    coalescer = make(gate, max_calls=1, max_rows=100)

    async def arrive() -> list[object]:
        called = coalescer.submit(rows(1), soon(0.1))
        await until_called(gate)
        waiting = coalescer.submit(rows(2), soon(0.1))
        patient = coalescer.submit(rows(3), soon())
        outcomes = await asyncio.gather(called, waiting, return_exceptions=True)
        gate.open()
        return [*outcomes, (await patient).scores.tolist()]

    called, waiting, patient = asyncio.run(arrive())
    assert isinstance(called, ScorerTimeoutError)
    assert isinstance(waiting, DeadlineExceededError)
    assert patient == [3.0]
    assert gate.calls == [[1.0], [3.0]], "rows whose caller has gone are not sent"


def test_call_lasts_as_long_as_its_most_patient_caller(make: Make) -> None:
    gate = Gate()
    coalescer = make(gate, max_calls=1, max_rows=100)
    early, late = soon(10), soon(20)

    async def arrive() -> None:
        first = coalescer.submit(rows(0), early)
        await until_called(gate)
        others = [coalescer.submit(rows(1), early), coalescer.submit(rows(2), late), coalescer.submit(rows(3), early)]
        gate.open()
        await asyncio.gather(first, *others)

    asyncio.run(arrive())
    assert gate.deadlines == [early, late]


def test_cancelled_caller_withdraws_its_rows_and_nobody_elses(make: Make) -> None:
    gate = Gate()
    coalescer = make(gate, max_calls=1, max_rows=100)

    async def arrive() -> list[float]:
        called = coalescer.submit(rows(1), soon())
        await until_called(gate)
        waiting = [coalescer.submit(rows(value), soon()) for value in (2, 3, 4)]
        called.cancel()
        waiting[1].cancel()
        gate.open()
        return [float((await waiting[index]).scores[0]) for index in (0, 2)]

    assert asyncio.run(arrive()) == [2.0, 4.0]
    assert gate.calls == [[1.0], [2.0, 4.0]]


def test_callers_of_several_loops_share_calls_and_a_dead_loop_harms_nobody(make: Make) -> None:
    """A Lambda function may end an invocation, and its loop, while a call is under way."""
    gate = Gate()
    coalescer = make(gate, max_calls=1, max_rows=100)

    async def leave_early() -> None:
        coalescer.submit(rows(1), soon())
        await until_called(gate)
        coalescer.submit(rows(2), soon())

    async def stay() -> float:
        future = coalescer.submit(rows(3), soon())
        gate.open()
        return float((await future).scores[0])

    asyncio.run(leave_early())
    assert asyncio.run(stay()) == 3.0
    assert asyncio.run(stay()) == 3.0
