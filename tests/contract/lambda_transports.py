"""Ways to the app by an event: each gateway's form of a request, and what the gateway makes of the reply."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI

from handlers.lambda_api import LambdaApi
from tests.contract.exchange import Reply, Request

Event = dict[str, Any]
FormOf = Callable[[Request, bytes], Event]
"""(request, its body) -> event, but for the body."""

STAGE = "v1"


def rest_v1(request: Request, body: bytes) -> Event:
    """As a REST API sends it, behind its stage."""
    path, _, query = request.target.partition("?")
    values = parse_qs(query, keep_blank_values=True)
    headers = texts(request)
    return {
        "resource": "/{proxy+}" if path.strip("/") else "/",
        "path": path,
        "httpMethod": request.method,
        "headers": {name: each[-1] for name, each in headers.items()} or None,
        "multiValueHeaders": headers or None,
        "queryStringParameters": {name: each[-1] for name, each in values.items()} or None,
        "multiValueQueryStringParameters": values or None,
        "pathParameters": {"proxy": path.strip("/")} if path.strip("/") else None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}" if path.strip("/") else "/",
            "httpMethod": request.method,
            "path": f"/{STAGE}{path}",
            "stage": STAGE,
            "requestId": str(uuid.uuid4()),
            "identity": {"sourceIp": "192.0.2.1", "apiKey": None},
            "domainName": "api-id.execute-api.eu-west-1.amazonaws.com",
        },
    }


def http_v2(request: Request, body: bytes) -> Event:
    """As an HTTP API sends it with payload format 2.0, from its default stage."""
    path, _, query = request.target.partition("?")
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name: ",".join(values) for name, values in texts(request).items()},
        "requestContext": {
            "http": {"method": request.method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "stage": "$default",
            "requestId": uuid.uuid4().hex,
            "domainName": "api-id.execute-api.eu-west-1.amazonaws.com",
        },
    }


def alb(request: Request, body: bytes) -> Event:
    """As an ALB sends it: of a header that occurs twice, the last value."""
    values = {name: each[-1] for name, each in texts(request).items()}
    path, _, query = request.target.partition("?")
    parameters = dict(part.partition("=")[::2] for part in query.split("&") if part)
    return {**_alb(request, path), "headers": values, "queryStringParameters": parameters}


def alb_multi_value(request: Request, body: bytes) -> Event:
    """As an ALB sends it to a target group with multi-value headers."""
    path, _, query = request.target.partition("?")
    parts = [part.partition("=") for part in query.split("&") if part]
    values = {name: [value for other, _, value in parts if other == name] for name, _, _ in parts}
    return {**_alb(request, path), "multiValueHeaders": texts(request), "multiValueQueryStringParameters": values}


def _alb(request: Request, path: str) -> Event:
    group = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api/0123456789abcdef"
    return {"requestContext": {"elb": {"targetGroupArn": group}}, "httpMethod": request.method, "path": path}


def texts(request: Request) -> dict[str, list[str]]:
    """Return the values of each header, as the text that a gateway makes of them."""
    values: dict[str, list[str]] = {"host": ["localhost"], "x-forwarded-proto": ["https"], "x-forwarded-port": ["443"]}
    for name, value in (*request.framing(), *request.headers):
        if name.lower() != b"transfer-encoding":  # a gateway takes chunks apart itself
            values.setdefault(name.decode().lower(), []).append(value.decode("latin-1"))
    return values


class Invocation:
    """Hands events to the handler as Lambda does: through JSON, both ways."""

    def __init__(self, handler: Callable[[object], dict[str, Any]], form: FormOf, *, base64_always: bool) -> None:
        self._handler = handler
        self._form = form
        self._base64_always = base64_always

    def send(self, request: Request) -> Reply:
        body = request.sent_body
        event = {**self._form(request, body), **self._encoded(body)}
        answer = json.loads(json.dumps(self._handler(json.loads(json.dumps(event)))))
        return read_answer(answer, request.method)

    def _encoded(self, body: bytes) -> Event:
        if not body:
            return {"body": None, "isBase64Encoded": False}
        if self._base64_always or not _is_text(body):
            return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        return {"body": body.decode(), "isBase64Encoded": False}


def _is_text(body: bytes) -> bool:
    try:
        return bool(body.decode())
    except UnicodeDecodeError:
        return False


def read_answer(answer: dict[str, Any], method: str) -> Reply:
    """Return what the client of a gateway receives for the handler's answer."""
    headers = [(name.lower(), str(value)) for name, value in (answer.get("headers") or {}).items()]
    for name, values in (answer.get("multiValueHeaders") or {}).items():
        headers += [(name.lower(), value) for value in values]
    body = answer["body"].encode()
    content = base64.b64decode(body) if answer["isBase64Encoded"] else body
    return Reply(answer["statusCode"], tuple(headers), b"" if method == "HEAD" else content)


def opening(form: FormOf, *, base64_always: bool = False) -> Callable[[FastAPI], AbstractContextManager[Invocation]]:
    """Return what opens the transport of one form of event."""

    @contextmanager
    def opened(app: FastAPI) -> Iterator[Invocation]:
        handler = LambdaApi(app)
        yield Invocation(handler, form, base64_always=base64_always)
        handler.close()

    return opened


LAMBDA_TRANSPORTS = {
    # The template declares every media type as binary.
    "rest-v1": opening(rest_v1, base64_always=True),
    "rest-v1-text": opening(rest_v1),
    "http-v2": opening(http_v2),
    "alb": opening(alb),
    "alb-multi-value": opening(alb_multi_value),
}
