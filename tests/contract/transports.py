"""Ways to the app. A transport is one object with `send(request) -> Reply`; opening it starts what it needs.

One more transport is one more class here and one more line in `TRANSPORTS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI
from starlette.types import Message, Scope

from core.settings import Settings
from ecs.server import Server, bind
from tests.contract.exchange import Headers, Reply, Request
from tests.contract.lambda_transports import LAMBDA_TRANSPORTS

TIMEOUT_S = 20


class Transport(Protocol):
    """A way to send a request to the app."""

    def send(self, request: Request) -> Reply: ...


class InProcess:
    """Calls the ASGI app as a server would, on an event loop of its own."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()

    def send(self, request: Request) -> Reply:
        return self._loop.run_until_complete(asyncio.wait_for(call_app(self._app, request), TIMEOUT_S))

    @classmethod
    @contextmanager
    def open(cls, app: FastAPI) -> Iterator[InProcess]:
        transport = cls(app)
        try:
            yield transport
        finally:
            transport._loop.close()


async def call_app(app: FastAPI, request: Request) -> Reply:
    """Call the app as a server would, on the running event loop."""
    parts = list(request.chunks or (request.body,))
    sent: list[Message] = []

    async def receive() -> Message:
        if not parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(request), receive, send)
    start, *bodies = sent
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"])
    # A server sends no body in reply to HEAD, whatever the app says (RFC 9110, 9.3.2).
    body = b"" if request.method == "HEAD" else b"".join(message.get("body", b"") for message in bodies)
    return Reply(start["status"], headers, body)


def _scope(request: Request) -> Scope:
    path, _, query = request.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in (*request.framing(), *request.headers)],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


class Socket:
    """Writes the bytes of HTTP/1.1 to a server that listens on this machine; one connection a request."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, request: Request) -> Reply:
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as connection:
            # A refused body makes the server stop reading: its reply is there nevertheless.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(_head(request))
                for part in _wire_parts(request):
                    connection.sendall(part)
            return read_reply(connection, request.method)

    @classmethod
    @contextmanager
    def open_uvicorn(cls, app: FastAPI) -> Iterator[Socket]:
        """Serve `app` as `ecs/server.py` does, but in a thread."""
        listener = bind(Settings(_env_file=None, auth_disabled=True, port=0))
        listening = threading.Event()
        server = Server(app, drain_seconds=0, on_listening=listening.set)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert listening.wait(TIMEOUT_S), "uvicorn did not start"
            yield cls(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


def read_reply(connection: socket.socket, method: str) -> Reply:
    """Read one HTTP/1.1 reply."""
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        body = response.read()
    finally:
        response.close()
    return Reply(response.status, tuple((name.lower(), value) for name, value in response.getheaders()), body)


def _head(request: Request) -> bytes:
    headers: Headers = ((b"host", b"localhost"), (b"connection", b"close"), *request.framing(), *request.headers)
    lines = [f"{request.method} {request.target} HTTP/1.1".encode("ascii")]
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in headers), b"", b""])


def _wire_parts(request: Request) -> Iterator[bytes]:
    if not request.chunks:
        yield request.body
        return
    for chunk in request.chunks:
        yield b"%x\r\n%b\r\n" % (len(chunk), chunk)
    yield b"0\r\n\r\n"


TRANSPORTS: dict[str, Callable[[FastAPI], AbstractContextManager[Transport]]] = {
    "in-process": InProcess.open,
    "uvicorn": Socket.open_uvicorn,
    **LAMBDA_TRANSPORTS,
}
