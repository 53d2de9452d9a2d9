"""How much is taken on at once: so many requests at work, as many more for a moment in a queue, and no more."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Scope

from core.errors import OverloadedError

ARRIVED = "fraud_scoring.arrived"
"""Under this a server notes in the scope when the head of the request was there, by `time.perf_counter`."""
AT_WORK = "fraud_scoring.at_work"
"""Under this a server notes in the scope all requests that are at work; who looks wants to know how many there are."""
MAX_WAIT_S = 0.1
"""Longest wait for a turn. Who waited that long is better served by another process, or a little later."""
STANDING_S = 0.5
"""So long waits must have been too long before anybody is refused for his: a pause of the process is no overload."""


class Admission:
    """Hands out `limit` places; as many more may wait, in the order in which they came.

    A place is held while a request is worked on, and not while its body comes in: else a few slow senders could
    take them all.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = limit
        self._late_since = self._late_last = float("-inf")
        # In order; a mapping, because who gives up waiting leaves from the middle.
        self._waiting: dict[asyncio.Future[bool], None] = {}

    def refuses(self, scope: Scope) -> bool:
        """Tell, before anything of the body is read, whether the request would wait in vain.

        It would if the queue is full, or if it has waited long enough for the server to turn to it at all: where
        scoring keeps the event loop busy, that is where requests queue.
        """
        if self._free == 0 and len(self._waiting) >= self._limit:
            return True
        arrived: float | None = scope.get(ARRIVED)
        now = time.perf_counter()
        if arrived is None or now - arrived <= MAX_WAIT_S:
            self._late_since = float("inf")
            return False
        if self._late_since > now or now - self._late_last > STANDING_S:
            self._late_since = now
        self._late_last = now
        return now - self._late_since >= STANDING_S

    async def enter(self) -> None:
        """Take a place; whoever does must `leave` it.

        Raises
        ------
        OverloadedError
            None became free in time, or too many wait already.
        """
        if self._free > 0:
            self._free -= 1
            return
        if len(self._waiting) >= self._limit or not await self._turn():
            raise OverloadedError

    def leave(self) -> None:
        """Give the place to the first who waits."""
        if self._waiting:
            first = next(iter(self._waiting))
            del self._waiting[first]
            first.set_result(True)
        else:
            self._free += 1

    async def _turn(self) -> bool:
        """Wait; tell whether a place was given."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting[turn] = None
        timer = loop.call_later(MAX_WAIT_S, self._give_up, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if self._waiting.pop(turn, True):  # the place was given in the same moment
                self.leave()
            raise
        finally:
            timer.cancel()

    def _give_up(self, turn: asyncio.Future[bool]) -> None:
        if turn in self._waiting:
            del self._waiting[turn]
            turn.set_result(False)
