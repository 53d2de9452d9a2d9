"""Two containers behind a load balancer are replaced, one after the other, under traffic: no request fails."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.app_under_test import KEY
from tests.e2e.containers import HARDENED, Container, serving
from tests.functional.test_rolling_replacement import (
    BODY,
    CHECK_S,
    DRAIN_S,
    LONGEST_EXIT_S,
    NEEDS_HAPROXY,
    balancer,
)
from tests.functional.test_server import RequestInFlight
from tests.processes import free_port
from tests.traffic import traffic

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("image"), NEEDS_HAPROXY]

SETTINGS = {"API_KEY": KEY, "DRAIN_SECONDS": str(DRAIN_S), "BODY_TIMEOUT_S": "3", "LOG_LEVEL": "ERROR"}


class Replica:
    """A container on one port of this machine, and those that come after it."""

    def __init__(self, stack: ExitStack) -> None:
        self.port = free_port()
        self._stack = stack
        self._container = self._start()

    def _start(self) -> Container:
        return self._stack.enter_context(serving(*HARDENED, port=self.port, **SETTINGS))

    def replace(self) -> float:
        """Stop it with a request half sent to it, and start the next; return the seconds that the stop took."""
        with closing(RequestInFlight(self.port)):
            exit_code, took = self._container.stop()
        assert exit_code == 0
        self._container = self._start()
        time.sleep(3 * CHECK_S)
        return took


@pytest.mark.timed
@pytest.mark.parametrize("n_rolls", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_rolls_of_containers_lose_nothing(tmp_path: Path, n_rolls: int) -> None:
    clients, per_second = (64, 200) if n_rolls > 2 else (16, 60)
    with ExitStack() as stack:
        replicas = [Replica(stack) for _ in range(2)]
        port = stack.enter_context(balancer(tmp_path, [replica.port for replica in replicas]))
        with traffic(port, BODY, clients=clients, per_second=per_second) as seen:
            exits = [replica.replace() for _ in range(n_rolls) for replica in replicas]
    print(f"\n{n_rolls} rolls of containers: {seen.statuses()}, errors {seen.errors[:3]}; ", end="")
    print(f"slowest exit {max(exits):.1f} s; p99 {seen.quantile_ms(0.99):.0f} ms")
    assert seen.errors == []
    assert set(seen.statuses()) == {200}
    assert sum(seen.statuses().values()) > 100
    assert max(exits) <= LONGEST_EXIT_S
