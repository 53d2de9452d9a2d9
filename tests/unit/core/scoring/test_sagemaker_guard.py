"""Retries within their budget, and rest for an endpoint that is down."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from core.errors import ScorerError, ScorerModelError, ScorerResponseError, ScorerUnavailableError
from core.observability import EventLog
from core.preprocessing import FeatureMatrix
from core.scoring import sagemaker_guard
from core.scoring.sagemaker_client import Answer
from core.scoring.sagemaker_connection import TimeLimits
from core.scoring.sagemaker_errors import (
    DOWN,
    DOWN_FOR_A_MOMENT,
    MODEL_FAILED,
    THROTTLED,
    TIMED_OUT,
    Fault,
    InvocationError,
)
from core.scoring.sagemaker_guard import GuardedEndpoint, RetryBudget

ROW = np.zeros((1, 2), dtype=np.float32)
WHOLE_S = 2.0


class Scripted:
    """An endpoint that fails as told, call by call, and then answers."""

    def __init__(self, *failures: Fault | ScorerError | None) -> None:
        self.failures = list(failures)
        self.limits: list[TimeLimits] = []

    def invoke(self, features: FeatureMatrix, limits: TimeLimits) -> Answer:
        self.limits.append(limits)
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, Fault):
            raise InvocationError(failure, "Reason", OSError("secret"))
        if failure is not None:
            raise failure
        return Answer(np.zeros(1))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagemaker_guard, "RETRY_PAUSE_S", (0.0, 0.0))


def guarded(endpoint: Scripted) -> Callable[[], Answer]:
    guard = GuardedEndpoint(endpoint, EventLog("ERROR"))  # type: ignore[arg-type]
    return lambda: guard.score(ROW, time.monotonic() + WHOLE_S, WHOLE_S)


def test_fault_that_may_pass_is_tried_again_once() -> None:
    endpoint = Scripted(DOWN_FOR_A_MOMENT)
    guarded(endpoint)()
    assert len(endpoint.limits) == 2

    endpoint = Scripted(DOWN_FOR_A_MOMENT, DOWN_FOR_A_MOMENT)
    with pytest.raises(ScorerUnavailableError):
        guarded(endpoint)()
    assert len(endpoint.limits) == 2


@pytest.mark.parametrize("fault", [MODEL_FAILED, THROTTLED, TIMED_OUT, ScorerResponseError("x")])
def test_other_faults_are_not_tried_again(fault: Fault | ScorerError) -> None:
    endpoint = Scripted(fault)
    with pytest.raises(ScorerError):
        guarded(endpoint)()
    assert len(endpoint.limits) == 1


def test_no_retry_begins_too_late_to_end_in_time() -> None:
    endpoint = Scripted(DOWN_FOR_A_MOMENT)
    guard = GuardedEndpoint(endpoint, EventLog("ERROR"))  # type: ignore[arg-type]

    with pytest.raises(ScorerUnavailableError):
        guard.score(ROW, time.monotonic() + 0.6, WHOLE_S)

    assert len(endpoint.limits) == 1


def test_silent_call_is_given_up_while_there_is_time_for_another() -> None:
    endpoint = Scripted()
    guarded(endpoint)()
    [limits] = endpoint.limits
    assert limits.deadline - limits.reply_begins_by == pytest.approx(1.1, abs=0.05)


def test_budget_allows_one_retry_for_ten_calls() -> None:
    budget = RetryBudget()
    assert sum(budget.spend() for _ in range(100)) == sagemaker_guard.MAX_SAVED_RETRIES

    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == sagemaker_guard.MAX_SAVED_RETRIES, "savings have a limit"

    allowed = 0
    for _ in range(1000):
        budget.earn()
        allowed += budget.spend()
    assert 99 <= allowed <= 100


def test_circuit_opens_after_twenty_failures_and_closes_after_three_good_probes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("pyresilience._circuit_breaker._monotonic", lambda: clock[0])
    endpoint = Scripted(*[DOWN_FOR_A_MOMENT] * 21)
    call = guarded(endpoint)

    while len(endpoint.limits) < 20:
        with pytest.raises(ScorerUnavailableError):
            call()
    for _ in range(100):
        with pytest.raises(ScorerUnavailableError, match="a moment ago"):
            call()
    assert len(endpoint.limits) == 20

    clock[0] += sagemaker_guard.CIRCUIT_REST_S
    with pytest.raises(ScorerUnavailableError):
        call()
    assert len(endpoint.limits) == 21, "one bad probe, and the rest begins anew"

    clock[0] += sagemaker_guard.CIRCUIT_REST_S
    for _ in range(40):
        call()
    assert len(endpoint.limits) == 61


def test_circuit_stays_closed_below_half_of_failures_and_for_faults_that_show_life() -> None:
    endpoint = Scripted(*[DOWN, None, None] * 30, *[MODEL_FAILED, THROTTLED, ScorerResponseError("x")] * 30)
    call = guarded(endpoint)

    for _ in range(180):
        try:
            call()
        except ScorerError as error:
            assert "a moment ago" not in str(error)

    assert not endpoint.failures


def test_published_error_has_the_cause_for_a_debugger_and_not_its_text() -> None:
    with pytest.raises(ScorerModelError) as caught:
        guarded(Scripted(MODEL_FAILED))()
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
