"""Rates, failed authentication and overload, met at the app as clients meet them."""

from __future__ import annotations

import asyncio
import io
import json
import time
from typing import Any

import pytest
from starlette.types import Message

from core.api import admission
from core.api.admission import ARRIVED, AT_WORK
from core.api.auth import key_id
from core.bundle import Bundle
from core.scoring.embedded import EmbeddedScorer
from core.scoring.static import StaticScorer
from tests.app_under_test import KEY, OTHER_KEY, app_with
from tests.contract.case import JSON_TYPE, KEY_HEADER, predict
from tests.contract.exchange import Reply, Request
from tests.contract.transports import TRANSPORTS, call_app

ROW = json.dumps({"json": 1.5, "class": 2, "log.amount": 3.25})
MODEL, PROBE = Request("GET", "/model", (KEY_HEADER,)), Request("GET", "/health")
RELOAD = Request("POST", "/model/reload", ((b"x-api-key", OTHER_KEY.encode()),))
WRONG = Request("GET", "/model", ((b"x-api-key", b"wrong"),))


def with_key(key: str) -> Request:
    return Request("GET", "/model", ((b"x-api-key", key.encode()),))


def check_refused(reply: Reply, status: int, code: str, longest_wait: int) -> None:
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert reply.header("content-type") == "application/problem+json"
    assert reply.json()["request_id"] == reply.header("x-request-id")
    assert 1 <= int(reply.header("retry-after") or 0) <= longest_wait


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_too_many_failures_are_429_and_active_keys_still_open(tiny: Bundle, transport: str) -> None:
    with TRANSPORTS[transport](app_with(tiny, StaticScorer(0.5), auth_failures_per_minute=20)) as opened:
        assert [opened.send(WRONG).status for _ in range(20)] == [401] * 20
        for _ in range(3):
            check_refused(opened.send(WRONG), 429, "too_many_auth_failures", 4)
            assert opened.send(MODEL).status == 200
        assert opened.send(PROBE).status == 200


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_key_that_asks_too_often_is_429_and_no_other_is(tiny: Bundle, transport: str) -> None:
    with TRANSPORTS[transport](app_with(tiny, StaticScorer(0.5), key_requests_per_minute=3)) as opened:
        assert [opened.send(with_key(KEY)).status for _ in range(3)] == [200] * 3
        check_refused(opened.send(predict(ROW)), 429, "rate_limited", 20)
        assert opened.send(with_key(OTHER_KEY)).status == 200
        assert opened.send(PROBE).status == 200


def test_address_that_asks_too_often_is_429_and_no_other_is(tiny: Bundle) -> None:
    app = app_with(tiny, StaticScorer(0.5), address_requests_per_minute=3)

    def ask(address: str) -> Reply:
        return call(app, MODEL, client=(address, 1))

    assert [ask("192.0.2.1").status for _ in range(3)] == [200] * 3
    check_refused(ask("192.0.2.1"), 429, "rate_limited", 20)
    assert ask("192.0.2.2").status == 200
    assert [ask(f"2001:db8::{i}").status for i in range(4)] == [200, 200, 200, 429]


def call(app: Any, request: Request, **scope: Any) -> Reply:
    async def with_scope(known: Any, receive: Any, send: Any) -> None:
        await app({**known, **scope}, receive, send)

    return asyncio.run(call_app(with_scope, request))


def test_request_that_waited_too_long_is_503_before_its_body_is_read(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health routes answer whatever the load, or one slow moment would empty the load balancer."""
    monkeypatch.setattr(admission, "STANDING_S", 0.0)
    app = app_with(tiny, StaticScorer(0.5))
    late = {ARRIVED: time.perf_counter() - 0.2}

    async def unread() -> Message:
        raise AssertionError("the body was read")

    async def scenario(request: Request) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(name.lower(), value) for name, value in request.headers]
        scope = {"type": "http", "method": request.method, "path": request.target, "headers": headers, **late}
        await app(scope, unread, send)
        return sent

    start, body = asyncio.run(scenario(predict(ROW)))
    assert (start["status"], json.loads(body["body"])["code"]) == (503, "overloaded")
    check_refused(call(app, predict(ROW), **late), 503, "overloaded", 5)
    for path in ("/health", "/health/ready"):
        assert asyncio.run(scenario(Request("GET", path)))[0]["status"] == 200
    assert call(app, predict(ROW), **{ARRIVED: time.perf_counter()}).status == 200


def test_log_names_the_key_of_each_request_and_no_key(tiny: Bundle, event_lines: io.StringIO) -> None:
    app = app_with(tiny, StaticScorer(0.5), key_requests_per_minute=1, log_level="INFO")
    with TRANSPORTS["in-process"](app) as opened:
        for request in (with_key(KEY), with_key(KEY), WRONG, RELOAD):
            opened.send(request)

    text = event_lines.getvalue()
    lines = [line for line in map(json.loads, text.splitlines()) if line["message"] == "request"]
    first, other = key_id(KEY), key_id(OTHER_KEY)
    assert [(line["status"], line.get("key_id")) for line in lines] == [
        (200, first), (429, first), (401, None), (403, other),
    ]  # fmt: skip
    assert KEY not in text
    assert OTHER_KEY not in text


class StuckScorer(StaticScorer):
    """Answers once it is let go."""

    def __init__(self) -> None:
        super().__init__(0.5)
        self.go = asyncio.Event()

    async def score(self, features: Any) -> Any:
        await self.go.wait()
        return await super().score(features)


def test_more_than_may_be_at_work_wait_a_moment_and_the_rest_is_503(tiny: Bundle) -> None:
    async def scenario() -> None:
        scorer = StuckScorer()
        app = app_with(tiny, scorer, max_in_flight=4)
        at_work = [asyncio.create_task(call_app(app, predict(ROW))) for _ in range(4)]
        await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(call_app(app, predict(ROW))) for _ in range(4)]
        await asyncio.sleep(0.01)
        begun = time.monotonic()
        turned_away = await asyncio.gather(*(call_app(app, predict(ROW)) for _ in range(50)))
        assert time.monotonic() - begun < 1
        assert (await call_app(app, PROBE)).status == 200
        assert (await call_app(app, Request("GET", "/health/ready"))).status == 200
        given_up = await asyncio.gather(*waiting)
        for reply in (*turned_away, *given_up):
            check_refused(reply, 503, "overloaded", 5)
        scorer.go.set()
        assert [reply.status for reply in await asyncio.gather(*at_work)] == [200] * 4
        assert (await call_app(app, predict(ROW))).status == 200
        assert len(scorer.calls) == 5

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_requests_of_one_moment_that_are_scored_together_are_no_crowd(tiny: Bundle) -> None:
    """They are done in the turns of the loop in which they come, and none is refused for the places of the others."""
    app = app_with(tiny, EmbeddedScorer(tiny), max_in_flight=1)

    async def in_company(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, AT_WORK: range(2)}, receive, send)

    async def scenario() -> list[Reply]:
        return await asyncio.gather(*(call_app(in_company, predict(ROW)) for _ in range(200)))

    assert {reply.status for reply in asyncio.run(scenario())} == {200}


class SharedScorer(StaticScorer):
    """A static scorer that keeps the loop busy, as the embedded one does."""

    keeps_loop_busy = True


@pytest.mark.parametrize(
    ("scorer", "n_at_work", "calls"),
    [(SharedScorer(0.5), 3, [3]), (SharedScorer(0.5), 1, [1, 1, 1]), (StaticScorer(0.5), 3, [1, 1, 1])],
)
def test_requests_share_a_call_in_company_of_a_scorer_that_keeps_the_loop_busy(
    tiny: Bundle, scorer: StaticScorer, n_at_work: int, calls: list[int]
) -> None:
    app = app_with(tiny, scorer)

    async def at_work(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, AT_WORK: range(n_at_work)}, receive, send)

    async def scenario() -> list[Reply]:
        return await asyncio.gather(*(call_app(at_work, predict(ROW)) for _ in range(3)))

    assert {reply.status for reply in asyncio.run(scenario())} == {200}
    assert scorer.calls == calls


def test_slow_senders_take_no_places(tiny: Bundle) -> None:
    """A body that trickles in holds nothing that another request needs."""

    async def scenario() -> None:
        app = app_with(tiny, StaticScorer(0.5), max_in_flight=1)
        never = asyncio.Event()

        async def receive() -> Message:
            await never.wait()
            raise AssertionError

        headers = [KEY_HEADER, JSON_TYPE]
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
        slow = [asyncio.create_task(app(dict(scope), receive, None)) for _ in range(20)]
        await asyncio.sleep(0.01)
        assert (await call_app(app, predict(ROW))).status == 200
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scenario(), 20))
