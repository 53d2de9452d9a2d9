"""Crowds on real sockets: slow clients by the thousand, guessers of keys, and far more requests than can be served.

Each has a quick form among the ordinary tests and its full figures under the marker `soak`. What depends on speed is
printed; held is what must be true on any machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.app_under_test import KEY
from tests.contract.rows import shipped_rows
from tests.functional.crowd import crowd, elsewhere, hang_up, read_reply
from tests.processes import ServerProcess, serving
from tests.traffic import traffic

MIB = 1 << 20
BODY = json.dumps(shipped_rows().fraud).encode()
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-api-key: %s\r\n"
REQUEST = HEAD % (len(BODY), KEY.encode()) + b"\r\n" + BODY
SLOWEST_END_S = 15.0
PACE_S = 0.002
"""Between two slow clients: they hold connections open, and do not storm the door."""
MANY, MANY_GUESSES = 2_000, 100_000


@contextlib.contextmanager
def two_servers(folder: Path) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Serve twice: what a crowd costs the clients of its server, and not of the machine, is seen beside the other."""
    (folder / "other").mkdir()
    settings = {"API_KEY": KEY, "LOG_LEVEL": "ERROR"}
    with serving(folder, **settings) as one, serving(folder / "other", **settings) as other:
        yield one, other


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Allow as many open sockets as the system lets us; a server inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_mib(server: ServerProcess) -> float:
    return float(psutil.Process(server.process.pid).memory_info().rss / MIB)


# T17


@pytest.mark.timed
@pytest.mark.parametrize(("seconds", "times"), [(3, 4), pytest.param(60, 10, marks=pytest.mark.soak)])
def test_overload_is_turned_away_and_forgotten_at_once(tmp_path: Path, seconds: int, times: int) -> None:
    with serving(tmp_path, API_KEY=KEY, LOG_LEVEL="ERROR", MAX_IN_FLIGHT="16") as server:
        with traffic(server.port, BODY, clients=4, per_second=1e6) as probe:
            time.sleep(3)
        capacity = sum(probe.statuses().values()) / 3
        before = resident_mib(server)
        requests = [REQUEST] * int(capacity * times * seconds)
        begun = time.perf_counter()
        seen = asyncio.run(crowd(server.port, requests, capacity * times, connections=512, patience_s=1))
        took = time.perf_counter() - begun
        time.sleep(2)
        with traffic(server.port, BODY, clients=2, per_second=20) as after:
            time.sleep(2)
        growth = resident_mib(server) - before

    outcomes = seen.outcomes()
    goodput = outcomes[200, None] / took
    print(
        f"\n{len(requests)} requests for {took:.0f} s, of which {outcomes.total() / took:.0f}/s could be sent; four "
        f"clients got {capacity:.0f}/s: {dict(outcomes)}, {len(seen.errors)} lost; {goodput:.0f}/s scored; p99 of 200 "
        f"{seen.quantile_ms(200, 0.99):.0f} ms, of 503 {seen.quantile_ms(503, 0.99):.0f} ms; memory {growth:+.1f} MiB"
    )
    assert seen.errors == []
    assert outcomes.total() + seen.n_unsent == len(requests)
    assert set(outcomes) <= {(200, None), (503, "overloaded")}
    # The sender may not manage to send more than is answered, and then nothing is refused; nor as much as was.
    assert goodput >= 0.9 * min(capacity, outcomes.total() / took)
    assert all(reply.has_wait for reply in seen.replies if reply.status == 503)
    assert after.errors == []
    assert set(after.statuses()) == {200}
    assert growth < 64


# T18


async def slow_client(
    port: int, at_once: bytes, bit_by_bit: bytes, every_s: float, after_s: float
) -> tuple[float, str]:
    """Send byte after byte; return how long the server bore it, and the status that it answered."""
    await asyncio.sleep(after_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()

    async def drip() -> None:
        writer.write(at_once)
        for byte in bit_by_bit:
            writer.write(bytes([byte]))
            await asyncio.sleep(every_s)

    dripping = asyncio.create_task(drip())
    try:
        said = await asyncio.wait_for(reader.readuntil(b"\r\n"), 60)
        return time.monotonic() - begun, said[9:12].decode()
    except (OSError, EOFError) as error:
        return time.monotonic() - begun, type(error).__name__
    finally:
        dripping.cancel()
        await hang_up(writer)


async def slow_crowd(port: int, n_heads: int, n_bodies: int, n_idle: int, every_s: float) -> list[tuple[float, str]]:
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(n_idle)]
    await use(idle)
    half = HEAD % (1000, KEY.encode()) + b"\r\n"
    heads = (slow_client(port, b"", b"GET /model HTTP/1.1\r\nx: y" * 9, every_s, n * PACE_S) for n in range(n_heads))
    bodies = (slow_client(port, half, b"{" * 999, every_s, n * PACE_S) for n in range(n_bodies))
    ended = await asyncio.gather(*heads, *bodies)
    await use(idle)
    for _, writer in idle:
        await hang_up(writer)
    return list(ended)


async def use(kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    """Send one request over each connection: it must still be open."""
    for reader, writer in kept:
        writer.write(REQUEST)
        assert (await read_reply(reader, 0)).status == 200


@pytest.mark.timed
@pytest.mark.parametrize(
    ("n_heads", "n_bodies", "n_idle", "every_s"),
    [(100, 40, 50, 0.5), pytest.param(MANY, 500, 1000, 5, marks=pytest.mark.soak)],
)
def test_slow_clients_are_ended_and_nobody_else_notices(
    tmp_path: Path, n_heads: int, n_bodies: int, n_idle: int, every_s: float
) -> None:
    sizes = n_heads, n_bodies, n_idle, every_s
    with two_servers(tmp_path) as (server, other):
        with traffic(server.port, BODY, clients=4, per_second=100) as beside:
            if n_heads == MANY:
                elsewhere(slow_crowd, other.port, *sizes)
        with traffic(server.port, BODY, clients=4, per_second=100) as honest:
            ended, _ = elsewhere(slow_crowd, server.port, *sizes)
        assert server.stop() == 0

    slowest, how = max(seconds for seconds, _ in ended), Counter(status for _, status in ended)
    print(
        f"\n{n_heads} slow heads, {n_bodies} slow bodies, {n_idle} idle: ended {dict(how)}, the last after "
        f"{slowest:.1f} s; honest clients {dict(honest.statuses())}, {len(honest.errors)} lost, p99 "
        f"{honest.quantile_ms(0.99):.1f} ms, while another server has the crowd {beside.quantile_ms(0.99):.1f} ms"
    )
    assert len(ended) == n_heads + n_bodies
    assert set(how) == {"408"}
    assert slowest <= SLOWEST_END_S
    assert honest.errors == []
    assert set(honest.statuses()) == {200}
    if n_heads == MANY:
        assert honest.quantile_ms(0.99) <= 2 * beside.quantile_ms(0.99)


# T33


@pytest.mark.timed
@pytest.mark.parametrize(
    ("n_guesses", "per_second"), [(1_000, 500), pytest.param(MANY_GUESSES, 1_000, marks=pytest.mark.soak)]
)
def test_guessed_keys_open_nothing_and_cost_others_nothing(tmp_path: Path, n_guesses: int, per_second: int) -> None:
    """All from one address; a client with a key, at another address, goes on asking."""
    guesses = [
        b"GET /model HTTP/1.1\r\nhost: x\r\nx-api-key: %s%d\r\n\r\n" % (KEY.encode(), n) for n in range(n_guesses)
    ]
    options = {"connections": 64, "source": "127.0.0.2"}
    with two_servers(tmp_path) as (server, other):
        with traffic(server.port, BODY, clients=4, per_second=50) as beside:
            if n_guesses == MANY_GUESSES:
                elsewhere(crowd, other.port, guesses, per_second, **options)
        with traffic(server.port, BODY, clients=4, per_second=50) as honest:
            seen, took = elsewhere(crowd, server.port, guesses, per_second, **options)
        assert server.stop() == 0

    outcomes = seen.outcomes()
    print(
        f"\n{n_guesses} wrong keys in {took:.0f} s: {dict(outcomes)}, {len(seen.errors)} lost; the client with a key "
        f"{dict(honest.statuses())}, p99 {honest.quantile_ms(0.99):.1f} ms, while another server is asked "
        f"{beside.quantile_ms(0.99):.1f} ms"
    )
    assert seen.errors == honest.errors == []
    assert outcomes.total() == n_guesses
    assert set(outcomes) == {(401, "unauthorized"), (429, "too_many_auth_failures")}
    assert outcomes[401, "unauthorized"] <= 20 * (1 + took / 60) + 1
    assert all(reply.has_wait for reply in seen.replies if reply.status == 429)
    assert set(honest.statuses()) == {200}
    if n_guesses == MANY_GUESSES:
        assert honest.quantile_ms(0.99) <= 1.5 * beside.quantile_ms(0.99)
