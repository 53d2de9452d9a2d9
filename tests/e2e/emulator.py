"""Lambda's runtime interface emulator, and events for the function that runs under it."""

from __future__ import annotations

import http.client
import json
import platform
import time
from typing import Any

from tests.e2e.containers import READY_S, Container
from tests.tools import tool

INVOKE = "/2015-03-31/functions/function/invocations"
EMULATOR = "/usr/local/bin/aws-lambda-rie"


def emulator() -> str:
    """Return the path of the emulator, which the SAM CLI brings along."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    [path] = tool("sam").glob(f"lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}")
    return str(path)


def invoke(container: Container, event: Any) -> Any:
    """Return what the function answers to the event; the first invocation starts it."""
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
