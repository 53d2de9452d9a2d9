"""What is done once for all requests that one turn of the event loop brought: system calls, which cost most of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sized

_HEAD, _CONTINUE = b"HTTP/1.1 ", b"HTTP/1.1 100 "


class EndOfTurn:
    """Runs callbacks when all that is ready now has had its turn; belongs to the thread it is made in."""

    def __init__(self, loop: asyncio.AbstractEventLoop, at_work: Sized) -> None:
        """`at_work` are the requests that are at work: with one, there is nothing to wait for."""
        self._loop = loop
        self._thread = threading.get_ident()
        self._at_work = at_work
        self._due: dict[Callable[[], None], None] = {}

    def call(self, callback: Callable[[], None]) -> None:
        """Have `callback` run: at once if nobody else is at work or in another thread, else once for all calls."""
        if len(self._at_work) <= 1 or threading.get_ident() != self._thread:
            callback()
            return
        if not self._due:
            self._loop.call_soon(self._run)
        self._due[callback] = None

    def _run(self) -> None:
        due, self._due = self._due, {}
        for callback in due:
            callback()


class Outgoing:
    """A transport that sends the head of a reply with the beginning of its body, as ASGI wants it, in one packet.

    It has what uvicorn asks of a transport once a connection is made.
    """

    def __init__(self, transport: asyncio.Transport, turn: EndOfTurn) -> None:
        self._transport = transport
        self._turn = turn
        self._parts: list[bytes] = []
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        if not data.startswith(_HEAD) or data.startswith(_CONTINUE):
            self._turn.call(self._flush)

    def write_whole(self, reply: bytes) -> None:
        """Send head and body."""
        self._parts.append(reply)
        self._turn.call(self._flush)

    def end_reply(self) -> None:
        """Send a head that no body has followed."""
        if self._parts and self._parts[-1].startswith(_HEAD):
            self._turn.call(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self.is_closing():
            # Not by `writelines`: that of asyncio, where there is no uvloop, held nobody back before Python 3.12.9.
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
