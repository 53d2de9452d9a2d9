"""Single transactions that come in while others are being read are scored by one call.

With many connections one turn of the event loop brings many requests, and while they are read there come more. Most of
what a call costs is the same for one row and for twenty. Nobody waits for company: who comes first lets those run that
are ready to, turn by turn, and asks for all of them as soon as a turn has brought nobody, or after `MAX_WAIT_S`: beside
batches and reasons a turn takes milliseconds, and each brings somebody. A row's prediction is the same bit for bit
alone and in any company, so nobody can tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from core.errors import ScorerError

MAX_WAIT_S = 0.003
"""After this no turn is added for the sake of company; as long as it takes to read about as many as one call scores."""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Gatherer(Generic[_Item, _Answer]):
    """Makes one call of those that are made within a turn of the loop, and the turns right after it."""

    def __init__(self, ask: Callable[[list[_Item]], Awaitable[list[_Answer]]], *, most: int) -> None:
        """`ask` answers items in order, all or none; at most `most` at a time."""
        self._ask = ask
        self._most = most
        self._group: _Group[_Item, _Answer] | None = None

    async def answer(self, item: _Item) -> _Answer:
        """Return the answer to `item`.

        Raises
        ------
        ScorerError
            `ask` has none for `item` alone.
        """
        loop = asyncio.get_running_loop()
        group = self._group
        if group is None or group.loop is not loop or len(group.items) >= self._most:
            return await self._lead(_Group(loop, item))
        answer = await group.join(item)
        return (await self._ask([item]))[0] if answer is None else answer

    async def _lead(self, group: _Group[_Item, _Answer]) -> _Answer:
        """Ask for all who join meanwhile. If there is no answer, each asks alone: the fault is that of one of them."""
        self._group = group
        answers: list[_Answer] | None = None
        try:
            n_seen, until = 0, time.perf_counter() + MAX_WAIT_S
            while n_seen < len(group.items) < self._most and time.perf_counter() <= until:
                n_seen = len(group.items)
                await asyncio.sleep(0)
            self._close(group)
            with suppress(ScorerError):
                if group.waiting:
                    answers = await self._ask(group.items)
        finally:
            # Also if the caller of the first went away: the others are not left behind.
            self._close(group)
            group.deliver(answers)
        return (await self._ask(group.items[:1]))[0] if answers is None else answers[0]

    def _close(self, group: _Group[_Item, _Answer]) -> None:
        if self._group is group:
            self._group = None


class _Group(Generic[_Item, _Answer]):
    """Those who ask together; the first of the items is that of who leads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, first: _Item) -> None:
        self.loop = loop
        self.items = [first]
        self.waiting: list[asyncio.Future[_Answer | None]] = []

    def join(self, item: _Item) -> asyncio.Future[_Answer | None]:
        """Return what will hold the answer, or None: then one is to ask alone."""
        self.items.append(item)
        place: asyncio.Future[_Answer | None] = self.loop.create_future()
        self.waiting.append(place)
        return place

    def deliver(self, answers: list[_Answer] | None) -> None:
        shares: Sequence[_Answer | None] = [None] * len(self.waiting) if answers is None else answers[1:]
        for place, answer in zip(self.waiting, shares, strict=True):
            if not place.done():  # its caller has gone away
                place.set_result(answer)
