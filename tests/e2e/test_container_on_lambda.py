"""The same image as a Lambda container function, under Lambda's own runtime interface emulator."""

from __future__ import annotations

import http.client
import json
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.app_under_test import KEY
from tests.contract.exchange import Request
from tests.contract.transports import Socket
from tests.e2e.containers import HARDENED, READY_S, Container, serving, started
from tests.repository import ROOT
from tests.tools import tool

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("image")]

EVENTS = ROOT / "events"
ENTRY_POINT = ("/usr/local/bin/python", "-m", "awslambdaric")
HANDLER = "handlers.api.handler"
INVOKE = "/2015-03-31/functions/function/invocations"
EMULATOR = "/usr/local/bin/aws-lambda-rie"


def emulator() -> str:
    """Return the path of the emulator, which the SAM CLI brings along."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    [path] = tool("sam").glob(f"lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}")
    return str(path)


@contextmanager
def function(**settings: str) -> Iterator[Container]:
    """Run the image as Lambda does: no file can be written but below /tmp, and by a user that Lambda chooses."""
    environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    options = (
        *("--read-only", "--tmpfs", "/tmp:mode=1777", "--user", "993:990", "--cap-drop", "ALL"),  # noqa: S108 - its own
        *("--publish", "127.0.0.1::8080", "--volume", f"{emulator()}:{EMULATOR}:ro"),
        *("--env", "AWS_LAMBDA_FUNCTION_NAME=fraud-scoring", "--entrypoint", EMULATOR),
    )
    with started(*options, *environment, command=(*ENTRY_POINT, HANDLER)) as container:
        yield container


def invoke(container: Container, event: Any) -> Any:
    deadline = time.monotonic() + READY_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", container.published(8080), timeout=READY_S)
        try:
            connection.request("POST", INVOKE, json.dumps(event))
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline, container.output()
            time.sleep(0.1)
        finally:
            connection.close()


def http_event(method: str, path: str, body: str | None = None, **headers: str) -> dict[str, Any]:
    """Return what an HTTP API sends (payload format 2.0)."""
    http_part = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "api.example.com", **headers},
        "requestContext": {
            "http": http_part,
            "requestId": "lambda-1",
            "stage": "$default",
            "domainName": "example.com",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def test_function_answers_as_the_server_does() -> None:
    body = (EVENTS / "predict_fraud.json").read_text()
    headers = {"content-type": "application/json", "x-api-key": KEY}
    with function(API_KEY=KEY) as lambda_container:
        predicted = invoke(lambda_container, http_event("POST", "/predict", body, **headers))
        refused = invoke(lambda_container, http_event("POST", "/predict", body, **{**headers, "x-api-key": "wrong"}))
        warm = invoke(lambda_container, {"warmup": True})
    with serving(*HARDENED, API_KEY=KEY) as container:
        encoded = tuple((name.encode(), value.encode()) for name, value in headers.items())
        served = Socket(container.port).send(Request("POST", "/predict", encoded, body.encode()))

    assert predicted["statusCode"] == served.status == 200
    assert predicted["body"].encode() == served.body
    assert predicted["isBase64Encoded"] is False
    assert (refused["statusCode"], json.loads(refused["body"])["code"]) == (401, "unauthorized")
    assert warm["status"] == "warm"
