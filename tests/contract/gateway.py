"""A gateway before the Lambda handler: real HTTP in front, one event at a time behind, as in one environment."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from tests.contract.exchange import Request
from tests.contract.transports import LAMBDA_TRANSPORTS, Transport

DROPPED = (b"connection", b"content-length", b"host", b"transfer-encoding")
"""Headers between two neighbours, which a gateway does not pass on, and those that each event form adds itself."""


@contextmanager
def gateway(app: FastAPI, form: str) -> Iterator[int]:
    """Serve `app` by events of this form, and return the port."""
    with LAMBDA_TRANSPORTS[form](app) as invocation, socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(_relay(invocation), log_config=None, lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def _relay(invocation: Transport):  # type: ignore[no-untyped-def] # an ASGI app
    turn = asyncio.Lock()

    async def relay(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = scope["query_string"].decode("latin-1")
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        headers = tuple((name, value) for name, value in scope["headers"] if name not in DROPPED)
        async with turn:
            reply = await asyncio.to_thread(invocation.send, Request(scope["method"], target, headers, body))
        sent = [(name.encode(), value.encode("latin-1")) for name, value in reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": sent})
        await send({"type": "http.response.body", "body": reply.body})

    return relay
