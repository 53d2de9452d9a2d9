"""Calls with care: at most one retry, within a budget, and none at all while the endpoint is down."""

from __future__ import annotations

import random
import threading
import time

from pyresilience import CircuitBreaker, CircuitBreakerConfig, CircuitState

from core.errors import ScorerError, ScorerUnavailableError
from core.observability import EventLog
from core.preprocessing import FeatureMatrix
from core.scoring.sagemaker_client import Answer, Endpoint
from core.scoring.sagemaker_connection import TimeLimits
from core.scoring.sagemaker_errors import InvocationError

RETRY_SHARE = 0.1
MAX_SAVED_RETRIES = 10
RETRY_PAUSE_S = (0.01, 0.05)
RETRY_NEEDS = 0.35
"""Share of the deadline that must be left for a retry to be worth its while."""
REPLY_BEGINS_WITHIN = 0.45
"""Share of the deadline after which a silent call is given up, so that there is time for another."""

CIRCUIT_WINDOW_CALLS = 20
CIRCUIT_FAILURE_RATE = 0.5
CIRCUIT_REST_S = 2.0
CIRCUIT_PROBES = 3


class RetryBudget:
    """Lets one call in ten be repeated, so that retries never multiply the load of an endpoint in trouble."""

    def __init__(self) -> None:
        self._saved = float(MAX_SAVED_RETRIES)
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count a first try."""
        with self._lock:
            self._saved = min(self._saved + RETRY_SHARE, MAX_SAVED_RETRIES)

    def spend(self) -> bool:
        """Tell whether a retry may be made, and count it."""
        with self._lock:
            if self._saved < 1:
                return False
            self._saved -= 1
            return True


class GuardedEndpoint:
    """What the coalescers call; may be called from several threads."""

    def __init__(self, endpoint: Endpoint, log: EventLog) -> None:
        self._endpoint = endpoint
        self._log = log
        self._budget = RetryBudget()
        self._circuit = CircuitBreaker(
            CircuitBreakerConfig(
                sliding_window_size=CIRCUIT_WINDOW_CALLS,
                failure_rate_threshold=CIRCUIT_FAILURE_RATE,
                recovery_timeout=CIRCUIT_REST_S,
                success_threshold=CIRCUIT_PROBES,
            )
        )

    def score(self, features: FeatureMatrix, deadline: float, whole_s: float) -> Answer:
        """Score the rows by `deadline`, of the clock `time.monotonic`; `whole_s` is how long a call may take in all.

        Raises
        ------
        ScorerError
        """
        self._budget.earn()
        try:
            return self._try(features, deadline, whole_s)
        except InvocationError as error:
            if not self._may_retry(error, deadline - time.monotonic(), whole_s):
                raise error.as_scorer_error() from error.original
        # At random, so that calls that failed together do not come again together.
        time.sleep(random.uniform(*RETRY_PAUSE_S))  # noqa: S311
        try:
            return self._try(features, deadline, whole_s)
        except InvocationError as error:
            raise error.as_scorer_error() from error.original

    def _may_retry(self, error: InvocationError, left_s: float, whole_s: float) -> bool:
        return error.fault.is_worth_a_retry and left_s >= RETRY_NEEDS * whole_s and self._budget.spend()

    def _try(self, features: FeatureMatrix, deadline: float, whole_s: float) -> Answer:
        if not self._circuit.allow_request():
            raise ScorerUnavailableError("The scorer was down a moment ago; it is asked again soon.")
        begins_by = min(time.monotonic() + REPLY_BEGINS_WITHIN * whole_s, deadline)
        try:
            answer = self._endpoint.invoke(features, TimeLimits(begins_by, deadline))
        except InvocationError as error:
            self._record(is_outage=error.fault.is_outage)
            self._log.warning("endpoint call failed", error_type=error.reason, error_code=error.fault.error.code)
            raise
        except ScorerError:
            self._record(is_outage=False)
            raise
        self._record(is_outage=False)
        return answer

    def _record(self, *, is_outage: bool) -> None:
        """Note whether the endpoint is there; an answer that is of no use still shows that it is."""
        before = self._circuit.state
        after = self._circuit.record_failure() if is_outage else self._circuit.record_success()
        if after is not before:
            opened = after is CircuitState.OPEN
            self._log.warning("endpoint given a rest" if opened else "endpoint back in use")
