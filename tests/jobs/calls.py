"""Requests to `/jobs` of a server that runs."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.app_under_test import KEY
from tests.processes import ServerProcess


def call(
    server: ServerProcess, method: str, path: str, body: object = None, idempotency_key: str = "night-1"
) -> dict[str, Any]:
    """Return the reply's document."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"http://127.0.0.1:{server.port}{path}",
        None if body is None else json.dumps(body).encode(),
        {"x-api-key": KEY, "content-type": "application/json", "idempotency-key": idempotency_key},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
        return dict(json.loads(reply.read()))
