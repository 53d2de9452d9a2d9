"""A whole reply by one call is the reply that ASGI's two messages make, and what is unusual is left to them."""

from __future__ import annotations

import asyncio
import gc
import json
import re

import pytest
from fastapi import FastAPI
from http_protocol import GuardedProtocol

from core.bundle import Bundle
from core.scoring.embedded import EmbeddedScorer
from tests.app_under_test import KEY, app_with
from tests.one_turn import COMMON_HEADERS, Connections, request_for

KEYED = f"x-api-key: {KEY}", "content-type: application/json"
ENDS = (b"connection", b"close")


@pytest.fixture
def app(tiny: Bundle) -> FastAPI:
    return app_with(tiny, EmbeddedScorer(tiny))


def predict(bundle: Bundle, n: int, *headers: str) -> bytes:
    body = json.dumps({"transaction_id": f"t-{n}", **bundle.golden.transactions[n]}).encode()
    return request_for("/predict", f"x-request-id: r-{n}", *KEYED, *headers, body=body)


def pieces_of(app: FastAPI, *requests: bytes) -> list[list[bytes]]:
    """Return the pieces that each of so many connections is sent."""

    async def run() -> list[list[bytes]]:
        connections = Connections(app, len(requests))
        pieces = await connections.ask(*requests)
        connections.close()
        return pieces

    return asyncio.run(run())


def whole(pieces: list[list[bytes]]) -> list[bytes]:
    return [b"".join(each) for each in pieces]


@pytest.fixture
def by_two_messages(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Replies go the way that any ASGI app's go, until it is undone."""
    monkeypatch.setattr(GuardedProtocol, "_reply_at_once", lambda *_: False)
    return monkeypatch


@pytest.mark.parametrize("n_connections", [1, 3])
def test_reply_at_once_is_the_same_in_every_byte(
    app: FastAPI, tiny: Bundle, by_two_messages: pytest.MonkeyPatch, n_connections: int
) -> None:
    requests = [predict(tiny, n) for n in range(n_connections)]
    expected = whole(pieces_of(app, *requests))
    by_two_messages.undo()

    pieces = pieces_of(app, *requests)

    assert whole(pieces) == expected
    assert all(reply.startswith(b"HTTP/1.1 200 OK\r\ndate: Mon") for reply in expected)
    assert [len(each) for each in pieces] == [1] * n_connections


@pytest.mark.parametrize(
    "request_",
    [
        request_for("/health", "x-request-id: r-1", method="HEAD"),
        request_for("/health", "x-request-id: r-1", "connection: close", method="GET"),
        request_for("/health", "x-request-id: r-1", method="GET") * 3,
        request_for("/health", "x-request-id: r-1", method="GET").replace(b"HTTP/1.1", b"HTTP/1.0"),
        request_for("/health", "x-request-id: r-1", "expect: 100-continue", method="GET"),
    ],
    ids=["HEAD", "close", "pipelined", "HTTP/1.0", "continue"],
)
def test_reply_to_an_unusual_request_is_the_same_in_every_byte(
    app: FastAPI, by_two_messages: pytest.MonkeyPatch, request_: bytes
) -> None:
    expected = whole(pieces_of(app, request_))
    by_two_messages.undo()

    assert whole(pieces_of(app, request_)) == expected
    assert (
        expected[0].count(b"HTTP/1.1 200 OK") == expected[0].count(b"x-request-id: r-1") == request_.count(b"/health")
    )


def test_replies_of_a_server_that_drains_end_their_connections(app: FastAPI, tiny: Bundle) -> None:
    async def run() -> tuple[bytes, bool]:
        connections = Connections(app, 1, [*COMMON_HEADERS, ENDS])
        [pieces] = await connections.ask(predict(tiny, 0))
        connections.close()
        return b"".join(pieces), connections.wires[0].is_open

    reply, is_open = asyncio.run(run())

    assert reply.count(b"connection: close\r\n") == 1
    assert not is_open


def test_pipelined_requests_are_answered_in_their_order(app: FastAPI, tiny: Bundle) -> None:
    [reply] = whole(pieces_of(app, b"".join(predict(tiny, n) for n in range(5))))

    assert re.findall(rb'"transaction_id":"t-(\d)"', reply) == [b"0", b"1", b"2", b"3", b"4"]


def test_header_that_would_split_the_reply_ends_the_connection(app: FastAPI, tiny: Bundle) -> None:
    vars(app.state.releases.current)["version_header"] = (b"x-model-version", b"1\r\nset-cookie: a=b")

    [reply] = whole(pieces_of(app, predict(tiny, 0)))

    assert reply == b""


def test_requests_leave_nothing_to_the_collector_of_garbage(app: FastAPI, tiny: Bundle) -> None:
    """It would look for cycles again and again while a crowd is served."""

    async def run() -> int:
        connections = Connections(app, 4)
        await connections.ask(*(predict(tiny, n) for n in range(4)))
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await connections.ask(*(predict(tiny, n) for n in range(4)))
            return gc.collect()
        finally:
            gc.enable()
            connections.close()

    assert asyncio.run(run()) == 0


@pytest.mark.parametrize("request_", ["scored", "refused", "unknown", "HEAD"])
def test_connection_that_ends_leaves_nothing_to_the_collector_of_garbage(
    app: FastAPI, tiny: Bundle, request_: str
) -> None:
    """What is left would hold the model that answered, which is to be given back once it was exchanged."""
    requests = {
        "scored": predict(tiny, 0),
        "refused": predict(tiny, 0).replace(KEY.encode(), b"x"),
        "unknown": request_for("/nowhere", *KEYED),
        "HEAD": request_for("/health", method="HEAD"),
    }

    async def run() -> int:
        connections = Connections(app, 4)
        await connections.ask(*[requests[request_]] * 4)
        gc.collect()
        gc.disable()
        try:
            connections.close()
            del connections
            return gc.collect()
        finally:
            gc.enable()

    assert asyncio.run(run()) == 0
