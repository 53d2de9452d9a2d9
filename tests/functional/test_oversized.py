"""Bodies and heads around their limits and far beyond: refused, not held in memory, and health goes on (T13)."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.app_under_test import KEY
from tests.beside import going_on
from tests.contract.rows import shipped_rows
from tests.contract.transports import read_reply
from tests.processes import serving

MIB = 1 << 20
PART = b"0" * 65_536
BODY = json.dumps(shipped_rows().fraud).encode()
LIMIT = 65_536
"""The default of `MAX_BODY_BYTES`."""
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-api-key: " + KEY.encode() + b"\r\n"


def of_length(n_bytes: int) -> Iterator[bytes]:
    yield HEAD + b"content-length: %d\r\n\r\n" % n_bytes + BODY
    for _ in range((n_bytes - len(BODY)) // len(PART)):
        yield b" " * len(PART)
    yield b" " * ((n_bytes - len(BODY)) % len(PART))


def chunked(n_bytes: int) -> Iterator[bytes]:
    yield HEAD + b"transfer-encoding: chunked\r\n\r\n"
    for _ in range(n_bytes // len(PART)):
        yield b"%x\r\n%b\r\n" % (len(PART), PART)
    yield b"0\r\n\r\n"


def shorter_than_said(n_bytes: int) -> Iterator[bytes]:
    yield HEAD + b"content-length: %d\r\n\r\n" % (len(BODY) + 10) + BODY


def longer_than_said(n_bytes: int) -> Iterator[bytes]:
    yield HEAD + b"content-length: %d\r\n\r\n" % (len(BODY) - 10) + BODY


def one_long_header(n_bytes: int) -> Iterator[bytes]:
    yield b"GET /health HTTP/1.1\r\nhost: x\r\nx-long: " + b"y" * n_bytes + b"\r\n\r\n"


def many_headers(n_bytes: int) -> Iterator[bytes]:
    yield b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(10_000)) + b"\r\n"


Parts = Callable[[int], Iterator[bytes]]
CASES: dict[str, tuple[Parts, int, int]] = {
    "limit - 1": (of_length, LIMIT - 1, 200),
    "limit": (of_length, LIMIT, 200),
    "limit + 1": (of_length, LIMIT + 1, 413),
    "far beyond": (of_length, 0, 413),
    "far beyond, chunked": (chunked, 0, 413),
    "shorter than said": (shorter_than_said, 0, 408),
    "longer than said": (longer_than_said, 0, 400),
    "header of 1 MB": (one_long_header, 1_000_000, 431),
    "10,000 headers": (many_headers, 0, 431),
}


def status_of(port: int, parts: Iterator[bytes]) -> str:
    """Return the status of the reply; "reset" if it was lost to a reset, because we were still sending."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        try:
            return str(read_reply(connection, "POST").status)
        except ConnectionError:
            return "reset"


@contextmanager
def asking_for_health(port: int) -> Iterator[list[float]]:
    """Ask all the time; give the milliseconds that each answer took."""
    took: list[float] = []

    def ask(is_over: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not is_over.wait(0.01):
            begun = time.perf_counter()
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            took.append((time.perf_counter() - begun) * 1000)
        connection.close()

    with going_on(ask):
        yield took


@pytest.mark.timed
@pytest.mark.parametrize("far_beyond", [20_000_000, pytest.param(200_000_000, marks=pytest.mark.soak)])
def test_what_is_too_large_is_refused_and_not_held(tmp_path: Path, far_beyond: int) -> None:
    with serving(tmp_path, API_KEY=KEY, LOG_LEVEL="ERROR", BODY_TIMEOUT_S="2") as server:
        process = psutil.Process(server.process.pid)
        status_of(server.port, of_length(LIMIT))
        before = process.memory_info().rss
        with asking_for_health(server.port) as health:
            seen = {
                name: status_of(server.port, parts(n_bytes or far_beyond))
                for name, (parts, n_bytes, _) in CASES.items()
            }
        growth = (process.memory_info().rss - before) / MIB
        assert server.stop() == 0
        assert server.err.read_text() == ""

    print(
        f"\n{far_beyond // 10**6} MB and others: {seen}; memory {growth:+.1f} MiB; "
        f"{len(health)} questions for health, the slowest answer after {max(health):.0f} ms"
    )
    for name, (_, _, status) in CASES.items():
        may_be_lost = {"reset"} if status in {413, 431} else set()
        assert seen[name] in {str(status), *may_be_lost}, name
    assert seen["limit + 1"] == "413"
    assert growth < 32
    assert len(health) > 20
