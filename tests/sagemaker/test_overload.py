"""T17 in an open loop: ten times what can be scored, where the endpoint is what bounds it.

A generator beside the server on the same cores cannot send ten times what the processor could answer. It can send ten
times what an endpoint answers that takes its time, four calls at once: then all that is too much is sent, and met.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app_under_test import KEY
from tests.beside import going_on
from tests.contract.exchange import Request
from tests.contract.transports import Socket
from tests.functional.crowd import Account, crowd, elsewhere
from tests.functional.test_crowds import BODY, REQUEST, many_files  # noqa: F401 - a fixture
from tests.processes import serving
from tests.sagemaker.conftest import environment_for
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime
from tests.traffic import traffic

HEALTH = Request("GET", "/health")
CALLS, CALL_S = 4, 0.04
TIMES = 10
SETTINGS = {
    **{"API_KEY": KEY, "LOG_LEVEL": "ERROR", "MAX_IN_FLIGHT": str(CALLS)},
    **{"SAGEMAKER_ENDPOINT": ENDPOINT, "AWS_REGION": REGION},
    **{"SAGEMAKER_CONCURRENCY": str(CALLS), "SAGEMAKER_COALESCE": "false"},
}


@contextmanager
def probing(port: int) -> Iterator[list[float]]:
    """Ask for /health four times a second meanwhile; how many seconds each took."""
    seconds: list[float] = []

    def probe(is_over: threading.Event) -> None:
        while not is_over.wait(0.25):
            begun = time.perf_counter()
            assert Socket(port).send(HEALTH).status == 200
            seconds.append(time.perf_counter() - begun)

    with going_on(probe):
        yield seconds


def figures(seen: Account, took: float, capacity: float, quiet_ms: float, health: list[float]) -> str:
    outcomes = seen.outcomes()
    times = outcomes.total() / took / capacity
    return (
        f"\n{outcomes.total()} requests in {took:.0f} s, {times:.1f} times the capacity of {capacity:.0f}/s: "
        f"{dict(outcomes)}, {seen.n_unsent} not sent in time, {len(seen.errors)} lost; "
        f"{outcomes[200, None] / took:.0f}/s scored; p99 of 200 {seen.quantile_ms(200, 0.99):.0f} ms, alone "
        f"{quiet_ms:.0f} ms; p99 of 503 {seen.quantile_ms(503, 0.99):.0f} ms; /health took "
        f"{max(health) * 1000:.0f} ms at most"
    )


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
def test_ten_times_the_capacity_of_the_endpoint(tmp_path: Path, runtime: Runtime, seconds: int) -> None:
    runtime.latency_s = CALL_S
    settings = {**SETTINGS, **environment_for(runtime)}
    with serving(tmp_path, **settings) as server:
        with traffic(server.port, BODY, clients=CALLS, per_second=1e6) as full:
            time.sleep(5)
        capacity = sum(full.statuses().values()) / 5
        requests, options = [REQUEST] * int(capacity * TIMES * seconds), {"connections": 256, "patience_s": 1.0}
        (tmp_path / "other").mkdir()
        # As busy a machine, but nobody else asks this server: what its own crowd costs is seen against that.
        with (
            serving(tmp_path / "other", **settings) as other,
            traffic(server.port, BODY, clients=1, per_second=20) as alone,
        ):
            elsewhere(crowd, other.port, requests, capacity * TIMES, **options)
        with probing(server.port) as health:
            seen, took = elsewhere(crowd, server.port, requests, capacity * TIMES, **options)
        with traffic(server.port, BODY, clients=2, per_second=20) as after:
            time.sleep(2)
        assert server.stop() == 0

    quiet_ms = alone.quantile_ms(0.99)
    print(figures(seen, took, capacity, quiet_ms, health))
    outcomes = seen.outcomes()
    assert seen.errors == []
    assert outcomes.total() + seen.n_unsent == len(requests)
    assert set(outcomes) == {(200, None), (503, "overloaded")}
    assert all(reply.has_wait for reply in seen.replies if reply.status == 503)
    assert set(after.statuses()) == {200}
    assert outcomes[200, None] / took >= 0.9 * capacity
    if seconds == 60:
        assert seen.n_unsent <= 0.01 * len(requests)
        assert seen.quantile_ms(200, 0.99) <= min(3 * quiet_ms, 1000)
        assert seen.quantile_ms(503, 0.99) <= 100
        assert max(health) <= 0.2
