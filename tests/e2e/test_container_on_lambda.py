"""The same image as a Lambda container function, under Lambda's own runtime interface emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.app_under_test import KEY
from tests.contract.exchange import Request
from tests.contract.transports import Socket
from tests.e2e.containers import HARDENED, Container, serving, started
from tests.e2e.emulator import EMULATOR, emulator, http_event, invoke
from tests.repository import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("image")]

EVENTS = ROOT / "events"
ENTRY_POINT = ("/usr/local/bin/python", "-m", "awslambdaric")
HANDLER = "handlers.api.handler"


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
