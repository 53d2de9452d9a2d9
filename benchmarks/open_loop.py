"""Open-loop load: requests are sent when they are due, whether or not the earlier ones were answered.

A closed loop slows down with the server it measures and so hides the waiting ("coordinated omission"); here a
request that is sent late, for want of a free connection, has waited from the moment at which it was due.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import uvloop

MOST_ARRIVALS = 3000
"""A second: beyond that the generator itself would be late."""
CONNECTIONS = 64
DRAIN_S = 5


@dataclass(frozen=True)
class Seen:
    """What became of the requests that were due."""

    answered: float
    """Share with a 200 before the end."""
    p50_ms: float
    p99_ms: float


def run(
    port: int, path: str, headers: Mapping[str, str], body: bytes, *, rate: float, seconds: float, core: int = 1
) -> Seen:
    """Send `rate` requests a second for `seconds`, from one core."""
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return uvloop.run(_run(port, _request(path, headers, body), rate, round(rate * seconds)))
    finally:
        os.sched_setaffinity(0, whole)


async def _run(port: int, request: bytes, rate: float, n: int) -> Seen:
    due: asyncio.Queue[float] = asyncio.Queue()
    waits: list[float] = []
    senders = [asyncio.create_task(_sender(port, request, due, waits)) for _ in range(CONNECTIONS)]
    begun = time.perf_counter() + 0.1
    for index in range(n):
        at = begun + index / rate
        delay = at - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        due.put_nowait(at)
    end = time.perf_counter() + DRAIN_S
    while len(waits) < n and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    for sender in senders:
        sender.cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    p50, p99 = np.percentile(waits, [50, 99]) * 1000
    return Seen(len(waits) / n, float(p50), float(p99))


async def _sender(port: int, request: bytes, due: asyncio.Queue[float], waits: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            at = await due.get()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0]))
            assert head.startswith(b"HTTP/1.1 200"), head[:40]
            waits.append(time.perf_counter() - at)
    finally:
        writer.close()


def _request(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
