"""A key that is limited to scopes opens the routes of these, and no others."""

from __future__ import annotations

import json

import pytest
from starlette.responses import Response

from core.api.middleware import context_of
from core.bundle import Bundle
from core.scoring.static import StaticScorer
from core.settings import Settings
from tests.app_under_test import app_with
from tests.contract.case import JSON_TYPE, json_batch, post
from tests.contract.exchange import Reply, Request
from tests.contract.transports import TRANSPORTS, InProcess

ROW = json.dumps({"json": 1.5, "class": 2, "log.amount": 3.25})
KEYS = "plain,p:predict,b:batch,a:admin,all:predict+batch+admin"
REQUESTS = {
    "predict": post("/predict", ROW, headers=(JSON_TYPE,)),
    "batch": post("/predict/batch", json_batch([ROW]), headers=(JSON_TYPE,)),
    "model": Request("GET", "/model"),
    "openapi": Request("GET", "/openapi.json"),
}


def ask(tiny: Bundle, transport: str, key: str, request: Request) -> Reply:
    with TRANSPORTS[transport](app_with(tiny, StaticScorer(0.5), api_key=KEYS)) as opened:
        headers = ((b"x-api-key", key.encode()), *request.headers)
        return opened.send(Request(request.method, request.target, headers, request.body))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("key", "opened"),
    [
        ("plain", {"predict", "batch"}),
        ("p", {"predict"}),
        ("b", {"batch"}),
        ("a", set()),
        ("all", {"predict", "batch"}),
    ],
)
def test_key_opens_the_routes_of_its_scopes(tiny: Bundle, transport: str, key: str, opened: set[str]) -> None:
    for name, request in REQUESTS.items():
        reply = ask(tiny, transport, key, request)
        if name in opened | {"model", "openapi"}:
            assert reply.status == 200
        else:
            assert (reply.status, reply.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "settings", [{"api_key": KEYS}, {"api_key": None, "auth_disabled": True}], ids=["keys", "none"]
)
def test_context_of_a_request_names_the_holder_of_the_key(tiny: Bundle, settings: dict[str, str]) -> None:
    app = app_with(tiny, StaticScorer(0.5), **settings)
    seen = []

    async def endpoint(request):
        seen.append(context_of(request.scope).key_id)
        return Response()

    app.add_route("/who", endpoint)
    with InProcess.open(app) as transport:
        for key in (b"plain", b"p", b"p"):
            transport.send(Request("GET", "/who", ((b"x-api-key", key),)))
    assert len(seen) == 3
    assert seen[1] == seen[2]
    assert (seen[0] == seen[1] == "anonymous") is Settings(_env_file=None, **settings).auth_disabled
