"""Requests of one turn of the event loop, through the server's own protocol: everything but the sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from http_protocol import GuardedProtocol
from loop_turn import EndOfTurn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from core.observability import flush_lines_by

Echo = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
COMMON_HEADERS = [(b"date", b"Mon, 23 Nov 2026 10:00:00 GMT")]


class Wire(asyncio.Transport):
    """The server's end of a connection; keeps what is sent."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.sent: list[bytes] = []
        self.is_open = True

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.is_open = False

    def is_closing(self) -> bool:
        return not self.is_open

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Connections:
    """`n` connections to a server in the running loop."""

    def __init__(
        self, app: FastAPI | Echo, n: int, common_headers: Sequence[tuple[bytes, bytes]] = COMMON_HEADERS
    ) -> None:
        """Any other app than ours is served by uvicorn's own protocol."""
        served: Any = app.middleware_stack if isinstance(app, FastAPI) else app
        config = uvicorn.Config(served, lifespan="off", log_config=None, access_log=False, proxy_headers=False)
        config.load()
        self._server = ServerState()
        self._server.default_headers = list(common_headers)
        protocol: Callable[..., HttpToolsProtocol] = HttpToolsProtocol
        if isinstance(app, FastAPI):
            app.state.turn = EndOfTurn(asyncio.get_running_loop(), self._server.tasks)
            flush_lines_by(app.state.turn.call)
            protocol = partial(GuardedProtocol, state=app.state)
        self.wires = [Wire() for _ in range(n)]
        self._protocols = [protocol(config=config, server_state=self._server, app_state={}) for _ in range(n)]
        for protocol, wire in zip(self._protocols, self.wires, strict=True):
            protocol.connection_made(wire)

    async def ask(self, *requests: bytes) -> list[list[bytes]]:
        """Let bytes come in on each connection, all in one turn; return the pieces that each is sent in reply."""
        for protocol, request in zip(self._protocols, requests, strict=True):
            protocol.data_received(request)
        while self._server.tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        replies = [wire.sent.copy() for wire in self.wires]
        for wire in self.wires:
            wire.sent.clear()
        return replies

    def close(self) -> None:
        for protocol in self._protocols:
            protocol.connection_lost(None)
        flush_lines_by(None)


def request_for(path: str, *headers: str, method: str = "POST", body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    head = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body
