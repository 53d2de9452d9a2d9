"""Two servers behind a load balancer are replaced, one after the other, under traffic: no request fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from core.scoring.static import StaticScorer
from core.settings import Settings
from ecs.server import Server, bind
from tests.app_under_test import KEY, app_with
from tests.contract.rows import shipped_rows
from tests.functional.test_server import RequestInFlight
from tests.processes import ServerProcess, free_port, serving
from tests.traffic import traffic

BODY = json.dumps(shipped_rows().fraud).encode()
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NEEDS_HAPROXY = pytest.mark.skipif(
    HAPROXY is None and os.environ.get("CI") != "true", reason="haproxy is not installed (Debian package haproxy)"
)
CHECK_S = 0.2
DRAIN_S = 1.5
LONGEST_EXIT_S = 25.0

CONFIGURATION = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout check 2s
    option redispatch
    retries 3
    retry-on conn-failure
frontend entry
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /health/ready
    http-check expect status 200
    default-server check inter {check_ms} fall 1 rise 1
"""


@contextmanager
def balancer(folder: Path, ports: list[int]) -> Iterator[int]:
    """Run haproxy before the servers on `ports`; it sends nothing new to one that is not ready."""
    assert HAPROXY is not None, "haproxy is not installed"
    port, path = free_port(), folder / "haproxy.cfg"
    servers = "".join(f"    server s{each} 127.0.0.1:{each}\n" for each in ports)
    path.write_text(CONFIGURATION.format(port=port, check_ms=int(CHECK_S * 1000)) + servers)
    process = subprocess.Popen([HAPROXY, "-db", "-q", "-f", str(path)])  # noqa: S603 - our own configuration
    try:
        time.sleep(1)  # it has asked both servers by then
        assert process.poll() is None
        yield port
    finally:
        process.kill()
        process.wait()


def replace(
    folder: Path, stack: ExitStack, old: ServerProcess, settings: dict[str, str]
) -> tuple[ServerProcess, float]:
    """Stop a server with a request half sent to it, and start the next on its port; return it, and the exit's time."""
    with closing(RequestInFlight(old.port)):
        begun = time.monotonic()
        assert old.stop() == 0
        took = time.monotonic() - begun
    new = stack.enter_context(serving(folder, PORT=str(old.port), **settings))
    time.sleep(3 * CHECK_S)
    return new, took


@NEEDS_HAPROXY
@pytest.mark.timed
@pytest.mark.parametrize("n_rolls", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_rolls_behind_a_balancer_lose_nothing(tmp_path: Path, n_rolls: int) -> None:
    settings = {"API_KEY": KEY, "DRAIN_SECONDS": str(DRAIN_S), "BODY_TIMEOUT_S": "3", "LOG_LEVEL": "ERROR"}
    exits = []
    with ExitStack() as stack:
        running = [stack.enter_context(serving(tmp_path, **settings)) for _ in range(2)]
        port = stack.enter_context(balancer(tmp_path, [server.port for server in running]))
        with traffic(port, BODY, clients=64 if n_rolls > 2 else 16, per_second=200 if n_rolls > 2 else 60) as seen:
            for _ in range(n_rolls):
                for i, old in enumerate(running):
                    running[i], took = replace(tmp_path, stack, old, settings)
                    exits.append(took)
    print(f"{n_rolls} rolls: {seen.statuses()}, errors {seen.errors[:3]}; slowest exit {max(exits):.1f} s; ", end="")
    print(f"p99 {seen.quantile_ms(0.99):.0f} ms")
    assert seen.errors == []
    assert set(seen.statuses()) == {200}
    assert sum(seen.statuses().values()) > 100
    assert max(exits) <= LONGEST_EXIT_S


@pytest.mark.timed
@pytest.mark.parametrize(("n_connections", "n_cycles"), [(20, 1), pytest.param(100, 50, marks=pytest.mark.soak)])
def test_connections_that_a_balancer_keeps_are_not_reset(n_connections: int, n_cycles: int, tiny) -> None:
    """Its idle time-out, 60 s against our 75, is scaled to 4 to 5 s against 6.25."""
    listener = bind(Settings(_env_file=None, auth_disabled=True, port=0))
    listening = threading.Event()
    server = Server(app_with(tiny, StaticScorer(0.5)), drain_seconds=0, on_listening=listening.set)
    server.config.timeout_keep_alive = 6.25  # type: ignore[assignment]
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    resets = 0
    try:
        assert listening.wait(20)
        with ExitStack() as stack:
            pool = [
                stack.enter_context(closing(HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=10)))
                for _ in range(n_connections)
            ]
            for cycle in range(n_cycles + 1):
                for connection in pool:
                    kept = connection.sock
                    connection.request("GET", "/health")
                    assert connection.getresponse().read() == b'{"status":"ok"}'
                    resets += cycle > 0 and connection.sock is not kept
                if cycle < n_cycles:
                    time.sleep(4 + (cycle % 5) / 4)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
    print(f"{n_connections * n_cycles} idle periods, {resets} resets")
    assert resets == 0


def test_second_signal_ends_the_wait_for_requests_too(tmp_path: Path) -> None:
    """The first waits for what is in flight, for its deadline at most; the second does not wait."""
    with serving(tmp_path, API_KEY=KEY) as server:
        with closing(RequestInFlight(server.port)):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert server.process.poll() is None
            begun = time.monotonic()
            assert server.stop() == 1
            assert time.monotonic() - begun < 3
