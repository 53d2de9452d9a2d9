"""Which events are HTTP requests, what is made of their bodies, and where the app is mounted."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.events import UNREADABLE, is_http, locate, readable

FOREIGN = {
    "empty": {},
    "warm-up": {"warmup": True},
    "sqs": {"Records": [{"eventSource": "aws:sqs", "body": "{}", "messageId": "1"}]},
    "s3": {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}}}]},
    "lambda-at-edge": {"Records": [{"cf": {"request": {"uri": "/", "method": "GET"}}}]},
    "eventbridge": {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
    "web-socket": {"requestContext": {"routeKey": "$connect", "connectionId": "c"}, "isBase64Encoded": False},
    "authorizer": {"type": "REQUEST", "methodArn": "arn", "httpMethod": "GET", "path": "/predict"},
    "http-without-its-part": {"version": "2.0", "requestContext": {"stage": "$default"}},
    "context-is-text": {"requestContext": "elb", "httpMethod": "GET", "path": "/"},
    "list": [{"httpMethod": "GET"}],
    "text": "GET /",
    "number": 1,
    "null": None,
}


@pytest.mark.parametrize("event", FOREIGN.values(), ids=FOREIGN)
def test_foreign_event_is_no_request(event: object) -> None:
    assert not is_http(event)


@pytest.mark.parametrize(
    ("body", "is_base64", "expected"),
    [
        (None, False, b""),
        (None, True, b""),
        ("", True, b""),
        ("text", False, b"text"),
        ("caf\u00e9", False, b"caf\xc3\xa9"),
        ("/w==", True, b"\xff"),
    ],
)
def test_body_becomes_the_bytes_that_were_sent(body: str | None, is_base64: bool, expected: bytes) -> None:
    request = readable({"body": body, "isBase64Encoded": is_base64})

    assert (request["body"], request["isBase64Encoded"], request[UNREADABLE]) == (expected, False, False)


@pytest.mark.parametrize(
    ("body", "is_base64"),
    [
        ("no base64!", True),
        ("eyJ", True),
        ("eyJ4\n", True),
        ("\ud800", False),
        ("\ud800", True),
        ({"V1": 1}, False),
        (1, True),
    ],
)
def test_body_that_is_not_what_it_says_is_marked(body: Any, is_base64: bool) -> None:
    request = readable({"body": body, "isBase64Encoded": is_base64})

    assert (request["body"], request[UNREADABLE]) == (b"", True)


def test_nulls_that_stand_for_nothing_are_taken_out() -> None:
    nothing = dict.fromkeys(
        ("headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters")
    )

    request = readable(nothing)

    assert request["headers"] == request["queryStringParameters"] == {}
    assert "multiValueHeaders" not in request
    assert "multiValueQueryStringParameters" not in request


def rest(path: str, seen: str, *, proxy: str | None = None, resource: str = "/{proxy+}", stage: str = "prod") -> Any:
    parameters = None if proxy is None else {"proxy": proxy}
    context = {"path": seen, "stage": stage}
    return {
        "httpMethod": "GET",
        "path": path,
        "resource": resource,
        "pathParameters": parameters,
        "requestContext": context,
    }


def http(path: str, *, stage: str = "$default", route: str = "$default", proxy: str | None = None) -> Any:
    parameters = {} if proxy is None else {"pathParameters": {"proxy": proxy}}
    context = {"http": {"method": "GET", "path": path}, "stage": stage}
    return {"version": "2.0", "rawPath": path, "routeKey": route, "requestContext": context, **parameters}


PLACES = {
    "rest-stage": (rest("/predict", "/prod/predict", proxy="predict"), "/prod/predict", "/prod"),
    "rest-stage-two-parts": (
        rest("/predict/batch", "/prod/predict/batch", proxy="predict/batch"),
        "/prod/predict/batch",
        "/prod",
    ),
    "rest-stage-root": (rest("/", "/prod/", resource="/"), "/prod/", "/prod"),
    "rest-stage-root-without-slash": (rest("/", "/prod", resource="/"), "/prod/", "/prod"),
    "rest-own-resource": (rest("/health", "/prod/health", resource="/health"), "/prod/health", "/prod"),
    "rest-trailing-slash": (rest("/predict/", "/prod/predict/", proxy="predict"), "/prod/predict/", "/prod"),
    "rest-stage-named-as-a-route": (
        rest("/predict", "/predict/predict", proxy="predict", stage="predict"),
        "/predict/predict",
        "/predict",
    ),
    "rest-encoded": (rest("/a%20b", "/prod/a%20b", proxy="a b"), "/prod/a b", "/prod"),
    "rest-custom-domain": (rest("/predict", "/predict", proxy="predict"), "/predict", ""),
    "rest-custom-domain-base-path": (
        rest("/fraud/v1/predict", "/fraud/v1/predict", proxy="predict"),
        "/fraud/v1/predict",
        "/fraud/v1",
    ),
    "rest-custom-domain-own-resource": (
        rest("/fraud/health", "/fraud/health", resource="/health"),
        "/fraud/health",
        "/fraud",
    ),
    "rest-custom-domain-named-as-a-route": (
        rest("/predict/predict", "/predict/predict", proxy="predict"),
        "/predict/predict",
        "/predict",
    ),
    "rest-sam-local": (rest("/predict", "/{proxy+}", proxy="predict", stage="v1"), "/predict", ""),
    "http-default-stage": (http("/predict"), "/predict", ""),
    "http-stage": (http("/prod/predict", stage="prod"), "/prod/predict", "/prod"),
    "http-stage-root": (http("/prod", stage="prod"), "/prod/", "/prod"),
    "http-stage-is-a-prefix-of-the-path": (http("/predict", stage="pre"), "/predict", ""),
    "http-proxy-route": (
        http("/prod/predict", stage="prod", route="ANY /{proxy+}", proxy="predict"),
        "/prod/predict",
        "/prod",
    ),
    "http-custom-domain": (http("/predict", stage="prod", route="ANY /{proxy+}", proxy="predict"), "/predict", ""),
    "alb": ({"httpMethod": "GET", "path": "/predict", "requestContext": {"elb": {}}}, "/predict", ""),
    "alb-empty-path": ({"httpMethod": "GET", "path": "", "requestContext": {"elb": {}}}, "/", ""),
}


@pytest.mark.parametrize(("event", "path", "root"), PLACES.values(), ids=PLACES)
def test_mount_point_is_what_the_gateway_puts_before_the_route(event: Any, path: str, root: str) -> None:
    assert locate(event) == (path, root)
