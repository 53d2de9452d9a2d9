"""What a request costs, held by counts: calls made, and objects left behind. A time would depend on the machine."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio.to_thread
import pytest
from _pytest.logging import LogCaptureHandler
from fastapi import FastAPI
from starlette.types import Message

from core.api.app import create_app
from core.bundle import Bundle
from core.calibration import Scores
from core.errors import ScorerModelError
from core.preprocessing import FeatureMatrix
from core.scoring.embedded import EmbeddedScorer
from core.scoring.static import StaticScorer
from core.service import ScoringService
from tests.app_under_test import KEY, app_with, settings_of_tests
from tests.one_turn import Connections, request_for

CALLS_OF_ONE = 99
"""Of Python functions, for one transaction with its line in the log. By way of the router of FastAPI there were 136.

Before Python 3.12 a comprehension is a call as well: it has a few more, and so has a line of the log whose keys have no
value, as those that other tests give to the one logger.
"""
CALLS_OF_ONE_OF_A_DOZEN = 150
"""The same of requests in one turn, with the server's part and that of asyncio, a part that is no Python in uvloop."""
CALLS_OF_ONE_MORE_ROW = 0.5
"""Of Python functions and those of C, for one more row of a batch. With an object for each row there were 5."""


def request_of(path: str, media_type: bytes, body: bytes) -> dict[str, Any]:
    headers = [(b"content-type", media_type), (b"x-api-key", KEY.encode()), (b"content-length", b"%d" % len(body))]
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}


async def answer(app: FastAPI, scope: dict[str, Any], body: bytes) -> int:
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(dict(scope), receive, send)
    return status


@contextmanager
def counting(events: set[str]) -> Iterator[list[str]]:
    """Give what will hold each of `events` of the profiler that happens meanwhile."""
    counted: list[str] = []

    def count(frame: object, event: str, argument: object) -> None:
        if event in events:
            counted.append(event)

    gc.disable()
    sys.setprofile(count)
    try:
        yield counted
    finally:
        sys.setprofile(None)
        gc.enable()


def calls_of(app: FastAPI, path: str, media_type: bytes, body: bytes, events: set[str]) -> int:
    """Return how many `events` of the profiler one request makes, once everything is warm."""
    scope = request_of(path, media_type, body)

    async def run() -> int:
        for _ in range(3):
            assert await answer(app, scope, body) == 200
        with counting(events) as counted:
            assert await answer(app, scope, body) == 200
        return len(counted)

    return asyncio.run(run())


@pytest.fixture
def app(creditcard: Bundle) -> FastAPI:
    return app_with(creditcard, EmbeddedScorer(creditcard), log_level="INFO")


@pytest.fixture(autouse=True)
def without_pytest_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest would format and keep each line too."""
    monkeypatch.setattr(LogCaptureHandler, "handle", lambda handler, record: None)


def rows_of(bundle: Bundle, n: int) -> list[dict[str, float]]:
    return bundle.golden.transactions[:n]


def test_one_transaction_takes_no_more_calls_than_it_did(app: FastAPI, creditcard: Bundle) -> None:
    body = json.dumps(rows_of(creditcard, 1)[0]).encode()

    assert calls_of(app, "/predict", b"application/json", body, {"call"}) <= CALLS_OF_ONE


def test_one_request_of_a_dozen_takes_no_more_calls_than_it_did(app: FastAPI, creditcard: Bundle) -> None:
    headers = f"x-api-key: {KEY}", "content-type: application/json"
    requests = [request_for("/predict", *headers, body=json.dumps(row).encode()) for row in rows_of(creditcard, 12)]

    async def run() -> int:
        connections = Connections(app, len(requests))
        await connections.ask(*requests)
        with counting({"call"}) as counted:
            replies = await connections.ask(*requests)
        connections.close()
        assert [b"".join(pieces).count(b"HTTP/1.1 200") for pieces in replies] == [1] * len(requests)
        return len(counted)

    assert asyncio.run(run()) / len(requests) <= CALLS_OF_ONE_OF_A_DOZEN


@pytest.mark.parametrize("media_type", [b"application/json", b"text/csv"])
def test_another_row_of_a_batch_takes_few_calls(app: FastAPI, creditcard: Bundle, media_type: bytes) -> None:
    calls = []
    for n in (10, 50):
        rows = rows_of(creditcard, n)
        body = json.dumps({"transactions": rows})
        if media_type == b"text/csv":
            body = "\n".join([",".join(rows[0]), *(",".join(map(repr, row.values())) for row in rows)])
        calls.append(calls_of(app, "/predict/batch", media_type, body.encode(), {"call", "c_call"}))

    assert (calls[1] - calls[0]) / 40 <= CALLS_OF_ONE_MORE_ROW


def test_requests_leave_no_objects_behind(app: FastAPI, creditcard: Bundle) -> None:
    body = json.dumps(rows_of(creditcard, 1)[0]).encode()
    scope = request_of("/predict", b"application/json", body)

    async def run(n: int) -> None:
        for _ in range(n):
            await answer(app, scope, body)
        app.state.metrics.flush()

    asyncio.run(run(200))
    gc.collect()
    before = len(gc.get_objects())
    asyncio.run(run(1000))
    gc.collect()

    assert len(gc.get_objects()) - before < 100


def left_behind(app: FastAPI, body: bytes, status: int) -> int:
    """Return how many objects of one batch nothing but the collector of garbage takes back."""
    scope = request_of("/predict/batch", b"application/json", body)

    async def run() -> int:
        assert await answer(app, scope, body) == status
        gc.collect()
        gc.disable()
        try:
            await answer(app, scope, body)
            return gc.collect()
        finally:
            gc.enable()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("document", "status"),
    [("{", 400), ('{"transactions": [{}]}', 422), ('{"transactions": [%s{}]}' % ("{}," * 99), 413)],
    ids=["no JSON", "invalid", "too many"],
)
def test_large_body_that_is_refused_is_let_go_at_once(app: FastAPI, document: str, status: int) -> None:
    """It is read in a thread, and the error comes back by a future, which its own traceback would lead to."""
    assert left_behind(app, document.encode().ljust(100_000), status) == 0


class FailingInAThread(StaticScorer):
    """Fails as the scorers do that let something else do the work."""

    def __init__(self, error: type[Exception]) -> None:
        super().__init__(0.5)
        self._error = error

    async def score(self, features: FeatureMatrix) -> Scores:
        return await anyio.to_thread.run_sync(self._fail, features)

    def _fail(self, features: FeatureMatrix) -> Scores:
        raise self._error


@pytest.mark.parametrize(("error", "status"), [(ScorerModelError, 200), (ZeroDivisionError, 500)])
def test_batch_that_the_scorer_fails_on_is_let_go_at_once(
    creditcard: Bundle, error: type[Exception], status: int
) -> None:
    service = ScoringService(creditcard, FailingInAThread(error), fallback=StaticScorer(0.5))
    app = create_app(service, settings_of_tests())
    body = json.dumps({"transactions": rows_of(creditcard, 2)}).encode()

    assert left_behind(app, body, status) == 0
