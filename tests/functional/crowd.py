"""Clients that send when it is time to, whether or not they were answered before: an open loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """One reply, and how long it took."""

    status: int
    code: str | None
    has_wait: bool
    seconds: float


async def read_reply(reader: asyncio.StreamReader, since: float) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    lines = head.split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    document = json.loads(await reader.readexactly(length))
    has_wait = b"\r\nretry-after: " in head
    return Reply(int(lines[0].split()[1]), document.get("code"), has_wait, time.perf_counter() - since)


@dataclass
class Account:
    """What became of all requests of a crowd."""

    replies: list[Reply] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    n_unsent: int = 0
    """No connection was free for them in time: the crowd itself was too slow."""

    def outcomes(self) -> Counter[tuple[int, str | None]]:
        return Counter((reply.status, reply.code) for reply in self.replies)

    def quantile_ms(self, status: int, share: float) -> float:
        waits = sorted(reply.seconds for reply in self.replies if reply.status == status)
        return waits[int((len(waits) - 1) * share)] * 1000 if waits else 0.0


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def crowd(
    port: int,
    requests: list[bytes],
    per_second: float,
    *,
    connections: int,
    source: str = "127.0.0.1",
    patience_s: float = math.inf,
) -> Account:
    """Send each request when it is due, whether or not the ones before were answered (an open loop).

    Those for which no connection is free within `patience_s` are not sent.
    """
    account, due = Account(), asyncio.Queue[tuple[float, bytes] | None]()

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        try:
            while (order := await due.get()) is not None:
                at, request = order
                if time.perf_counter() - at > patience_s:
                    account.n_unsent += 1
                    continue
                try:
                    writer.write(request)
                    account.replies.append(await read_reply(reader, time.perf_counter()))
                except (OSError, EOFError) as error:
                    account.errors.append(repr(error))
                    await hang_up(writer)
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        finally:
            await hang_up(writer)

    senders = [asyncio.create_task(sender()) for _ in range(connections)]
    begun = time.perf_counter() + 0.1
    for index, request in enumerate(requests):
        at = begun + index / per_second
        if at > time.perf_counter():
            await asyncio.sleep(at - time.perf_counter())
        due.put_nowait((at, request))
    for _ in senders:
        due.put_nowait(None)
    await asyncio.gather(*senders)
    return account


def elsewhere(what: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, **options: Any) -> tuple[T, float]:
    """Run it in a process of its own, so that its work delays no client of this one; return the seconds it took too."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        return other.submit(_run, what, arguments, options).result()


def _run(what: Callable[..., Coroutine[Any, Any, T]], arguments: Any, options: Any) -> tuple[T, float]:
    begun = time.perf_counter()
    return asyncio.run(what(*arguments, **options)), time.perf_counter() - begun
