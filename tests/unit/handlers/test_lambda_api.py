"""The handler: every event answered, in its sender's form, and never with an exception."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from core.bundle import Bundle, load_bundle
from core.scoring.static import StaticScorer
from handlers.lambda_api import TEXT_TYPES, LambdaApi
from scripts.lambda_events import EVENTS, KEY, http, lambda_events, rest, text_of
from tests.app_under_test import app_with
from tests.repository import BUNDLE

REQUESTS = {name: event for name, event in lambda_events().items() if name != "api_warmup.json"}
FOREIGN = [{}, {"Records": [{"eventSource": "aws:sqs"}]}, {"source": "aws.events"}, None, [], "text", 1, {"warmup": 1}]


@pytest.fixture
def app(creditcard: Bundle) -> FastAPI:
    return app_with(creditcard, StaticScorer(0.5), api_key=KEY, docs="public")


@pytest.fixture
def handler(app: FastAPI) -> Iterator[LambdaApi]:
    handler = LambdaApi(app)
    yield handler
    handler.close()


def failing_app(app: FastAPI, *, after_start: bool) -> FastAPI:
    """Let the app fail in a way that none of its own handlers sees."""

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("4111111111111111")

    app.middleware_stack = fail
    return app


def problem_of(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["isBase64Encoded"] is False
    headers = {**answer.get("headers", {}), **{k: v[0] for k, v in answer.get("multiValueHeaders", {}).items()}}
    problem: dict[str, Any] = json.loads(answer["body"])
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["request_id"]
    assert headers["x-model-version"]
    assert answer["statusCode"] == problem["status"]
    return problem


@pytest.mark.parametrize("name", lambda_events())
def test_event_file_is_the_sample_request_in_lambdas_form(name: str) -> None:
    assert (EVENTS / name).read_text(encoding="utf-8") == text_of(lambda_events()[name])


@pytest.mark.parametrize("name", REQUESTS)
def test_event_file_is_answered(handler: LambdaApi, name: str) -> None:
    answer = handler(REQUESTS[name])

    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert json.loads(answer["body"])


def test_warm_up_is_told_from_an_event_that_went_astray(handler: LambdaApi, creditcard: Bundle) -> None:
    version = creditcard.version

    assert handler({"warmup": True}) == {"status": "warm", "model_version": version}
    assert [handler(event) for event in FOREIGN] == [{"status": "ignored", "model_version": version}] * len(FOREIGN)


@pytest.mark.parametrize(("body", "is_base64"), [("no base64!", True), ("\ud800", False), ({"V1": 1}, False)])
@pytest.mark.parametrize("name", [name for name in REQUESTS if "predict" in name])
def test_unreadable_body_is_a_400(handler: LambdaApi, name: str, body: Any, is_base64: bool) -> None:
    problem = problem_of(handler({**REQUESTS[name], "body": body, "isBase64Encoded": is_base64}))

    assert (problem["status"], problem["code"]) == (400, "invalid_json")


def test_unreadable_body_is_looked_at_after_the_key_and_only_where_there_should_be_one(handler: LambdaApi) -> None:
    broken = {"body": "no base64!", "isBase64Encoded": True}
    keyless = rest("POST", "/predict")
    keyless["headers"], keyless["multiValueHeaders"] = {}, {}

    assert problem_of(handler({**keyless, **broken}))["code"] == "unauthorized"
    assert handler({**rest("GET", "/health"), **broken})["statusCode"] == 200


def test_null_body_is_an_empty_one(handler: LambdaApi) -> None:
    event = {**REQUESTS["api_rest_predict_fraud.json"], "body": None, "isBase64Encoded": False}

    assert problem_of(handler(event))["code"] == "invalid_json"


@pytest.mark.parametrize(
    ("event", "prefix"),
    [
        (rest("GET", "/docs"), "/v1"),
        ({**rest("GET", "/docs"), "path": "/fraud/docs"}, "/fraud"),
        ({**http("GET", "/prod/docs")}, "/prod"),
        (http("GET", "/docs"), ""),
    ],
    ids=["stage", "custom domain", "http stage", "http default stage"],
)
def test_docs_find_their_document_below_the_prefix(handler: LambdaApi, event: Any, prefix: str) -> None:
    event = copy.deepcopy(event)
    if prefix == "/fraud":
        event["requestContext"]["path"] = "/fraud/docs"
    if prefix == "/prod":
        event["requestContext"]["stage"] = "prod"

    answer = handler(event)

    assert answer["headers"]["content-type"].startswith("text/html")
    assert f"url: '{prefix}/openapi.json'" in answer["body"]


def test_document_names_the_stage_as_server(handler: LambdaApi) -> None:
    document = json.loads(handler(rest("GET", "/openapi.json"))["body"])

    assert document["servers"] == [{"url": "/v1"}]


def test_request_is_logged_under_the_gateways_id(handler: LambdaApi) -> None:
    of_rest, of_http = rest("GET", "/health"), http("GET", "/health")

    assert handler(of_rest)["headers"]["x-request-id"] == of_rest["requestContext"]["requestId"]
    assert handler(of_http)["headers"]["x-request-id"] == of_http["requestContext"]["requestId"].rstrip("=")


def test_callers_own_request_id_goes_first(handler: LambdaApi) -> None:
    event = http("GET", "/health")
    event["headers"]["x-request-id"] = "mine-1"

    assert handler(event)["headers"]["x-request-id"] == "mine-1"


def test_alb_reply_has_the_headers_in_the_form_of_the_request(handler: LambdaApi) -> None:
    single = REQUESTS["api_alb_predict_fraud.json"]
    multiple = {**single, "headers": None, "multiValueHeaders": {k: [v] for k, v in single["headers"].items()}}

    assert "multiValueHeaders" not in handler(single)
    assert handler(multiple)["multiValueHeaders"]["content-type"] == ["application/json"]
    assert "headers" not in handler(multiple)


@pytest.mark.parametrize("after_start", [False, True])
def test_failure_that_nothing_else_caught_is_our_own_500(app: FastAPI, after_start: bool) -> None:
    handler = LambdaApi(failing_app(app, after_start=after_start))

    problem = problem_of(handler(rest("GET", "/health")))

    assert problem["code"] == "internal_error"
    assert "4111" not in str(problem)
    handler.close()


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"x-api-key": "\ud800"}, "multiValueHeaders": None},
        {"headers": {"Host": "a:b:c"}, "multiValueHeaders": None},
        {"headers": {"X-Forwarded-Port": "https"}, "multiValueHeaders": None},
        {"headers": {"x-api-key": None}, "multiValueHeaders": None},
        {"headers": "x", "multiValueHeaders": None},
        {"multiValueQueryStringParameters": {"\ud800": ["1"]}},
        {"resource": None, "path": 1},
    ],
)
def test_event_that_no_gateway_sends_is_refused_or_ignored(handler: LambdaApi, change: Any) -> None:
    answer = handler({**rest("GET", "/model"), **change})

    assert answer == handler(None) or problem_of(answer)["code"] == "invalid_json"


@cache
def _app_of_events() -> FastAPI:
    return app_with(load_bundle(BUNDLE), StaticScorer(0.5), api_key=KEY)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(
    name=st.sampled_from(sorted(REQUESTS)),
    part=st.sampled_from([None, "requestContext", "headers"]),
    position=st.integers(0, 99),
    value=json_values,
)
def test_no_event_raises(name: str, part: str | None, position: int, value: object) -> None:
    """Whichever part of an event is replaced by whatever else."""
    event = copy.deepcopy(REQUESTS[name])
    place = event if part is None else event[part]
    place[sorted(place)[position % len(place)]] = value

    with closing(LambdaApi(_app_of_events())) as handler:
        answer = handler(event)

    assert answer.get("status") == "ignored" or answer["statusCode"] < 500
    json.dumps(answer)


def emf_lines(text: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if "_aws" in line]


def test_metrics_go_out_with_each_invocation_and_the_first_is_a_cold_start(
    handler: LambdaApi, capsys: pytest.CaptureFixture[str]
) -> None:
    handler({"warmup": True})
    first = emf_lines(capsys.readouterr().out)
    handler(REQUESTS["api_rest_predict_fraud.json"])
    second = emf_lines(capsys.readouterr().out)

    assert [line["ColdStart"] for line in first] == [[1]]
    assert [line["Requests"] for line in second] == [[1]]
    assert not any("ColdStart" in line for line in second)


def test_metrics_go_out_even_when_the_app_fails(app: FastAPI, capsys: pytest.CaptureFixture[str]) -> None:
    handler = LambdaApi(failing_app(app, after_start=False))

    handler(rest("GET", "/model"))

    assert emf_lines(capsys.readouterr().out)
    handler.close()


def test_log_line_names_the_invocation(creditcard: Bundle, event_lines: io.StringIO) -> None:
    handler = LambdaApi(app_with(creditcard, StaticScorer(0.5), api_key=KEY, log_level="INFO"))
    logging.getLogger("fraud-scoring").setLevel("INFO")

    for number in (1, 2):
        handler(REQUESTS["api_rest_predict_fraud.json"], SimpleNamespace(aws_request_id=f"invocation-{number}"))

    lines = [json.loads(line) for line in event_lines.getvalue().splitlines()]
    assert [(line["function_request_id"], line["cold_start"]) for line in lines] == [
        ("invocation-1", True),
        ("invocation-2", False),
    ]
    assert {line["trace_id"] for line in lines} == {"1-67a1b2c3-0123456789abcdef01234567"}
    handler.close()


def test_mangum_says_nothing_of_its_own(handler: LambdaApi, caplog: pytest.LogCaptureFixture) -> None:
    """Its lines hold the path, where a card number may stand, and tracebacks."""
    caplog.set_level(logging.DEBUG)

    handler(rest("GET", "/cards/4111111111111111"))

    assert not [record for record in caplog.records if record.name.startswith("mangum")]


def test_every_reply_type_is_text_to_the_adapter(handler: LambdaApi) -> None:
    events = [rest("GET", path) for path in ("/health", "/docs", "/openapi.json", "/nothing", "/model")]

    answers = [handler(event) for event in events]

    assert [answer["isBase64Encoded"] for answer in answers] == [False] * len(events)
    assert all(any(kind in answer["headers"]["content-type"] for kind in TEXT_TYPES) for answer in answers)


def test_body_as_base64_and_as_text_give_the_same_answer(handler: LambdaApi) -> None:
    event = REQUESTS["api_rest_predict_fraud.json"]
    as_text = {**event, "body": base64.b64decode(event["body"]).decode(), "isBase64Encoded": False}

    assert handler(event) == handler(as_text)
