"""`create_app`: what the settings change, several apps in one process, and the last resort."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Scope

from core.api import auth
from core.api.app import create_app
from core.api.auth import ApiKeys
from core.bundle import Bundle
from core.scoring.embedded import EmbeddedScorer
from core.scoring.static import StaticScorer
from core.service import ScoringService
from tests.app_under_test import KEY, app_with, settings_of_tests
from tests.contract.case import KEY_HEADER, predict
from tests.contract.exchange import Reply, Request
from tests.contract.transports import InProcess

ROW = {"json": 1.5, "class": 2, "log.amount": 3.25}


def ask(bundle: Bundle, request: Request, **changes: Any) -> Reply:
    with InProcess.open(app_with(bundle, StaticScorer(0.5), **changes)) as transport:
        return transport.send(request)


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
@pytest.mark.parametrize(
    ("docs", "without_key", "with_key"), [("public", 200, 200), ("key", 401, 200), ("off", 401, 404)]
)
def test_docs_follow_their_setting(tiny: Bundle, path: str, docs: str, without_key: int, with_key: int) -> None:
    assert ask(tiny, Request("GET", path), docs=docs).status == without_key
    assert ask(tiny, Request("GET", path, (KEY_HEADER,)), docs=docs).status == with_key


def test_public_docs_open_nothing_else(tiny: Bundle) -> None:
    for path in ("/model", "/docs/oauth2-redirect", "/no-such-path", "/predict"):
        assert ask(tiny, Request("GET", path), docs="public").status == 401


def test_authentication_disabled_asks_for_no_key(tiny: Bundle) -> None:
    request = predict(json.dumps(ROW), headers=((b"content-type", b"application/json"),))

    reply = ask(tiny, request, api_key=None, auth_disabled=True)

    assert reply.status == 200


def test_key_of_one_app_does_not_open_another(tiny: Bundle) -> None:
    assert ask(tiny, Request("GET", "/model", (KEY_HEADER,))).status == 200
    assert ask(tiny, Request("GET", "/model", (KEY_HEADER,)), api_key="gamma-77").status == 401


class RotatingKeys:
    """A source of keys that are changed while the app runs."""

    keys: tuple[str, ...] = ("old",)

    def fetch(self) -> tuple[str, ...]:
        return self.keys


def test_key_that_was_rotated_at_its_source_opens_and_the_revoked_one_does_not(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = RotatingKeys()
    app = create_app(ScoringService(tiny, StaticScorer(0.5)), settings_of_tests(), ApiKeys(source.fetch(), source))
    with InProcess.open(app) as transport:

        def status(key: str) -> int:
            return transport.send(Request("GET", "/model", ((b"x-api-key", key.encode()),))).status

        assert (status("old"), status("new"), status(KEY)) == (200, 401, 401)
        source.keys = ("new",)
        later = auth.time.time() + 60
        monkeypatch.setattr(auth.time, "time", lambda: later)
        assert (status("old"), status("new")) == (401, 200)


def test_two_apps_with_different_bundles_live_side_by_side(tiny: Bundle, creditcard: Bundle) -> None:
    first, second = (app_with(bundle, EmbeddedScorer(bundle)) for bundle in (tiny, creditcard))
    with InProcess.open(first) as one, InProcess.open(second) as other:
        for transport, bundle in ((one, tiny), (other, creditcard), (one, tiny)):
            reply = transport.send(predict(json.dumps(bundle.golden.transactions[7])))
            assert reply.json()["fraud_score"] == pytest.approx(bundle.golden.fraud_scores[7], abs=1e-6)
            assert reply.header("x-model-version") == reply.json()["model_version"] == bundle.version


def test_model_describes_the_bundle(tiny: Bundle) -> None:
    assert ask(tiny, Request("GET", "/model", (KEY_HEADER,))).json() == {
        "name": "tiny",
        "model_version": "tiny-1.0",
        "bundle_sha256": tiny.digest,
        "scorer": "static",
        "fields": [
            {"name": "json", "minimum": -10.0, "maximum": 10.0, "description": "Fed to the model as it is."},
            {"name": "class", "minimum": 0.0, "maximum": 1e300, "description": "Not fed to the model."},
            {"name": "log.amount", "minimum": 0.0, "maximum": 1e6, "description": ""},
        ],
        "features": ["scaled", "json"],
        "thresholds": {"kind": "cuts", "review": 0.1, "decline": 0.5},
        "prevalence": 0.01,
        "holdout": {
            "n_frauds": 7,
            "n_legitimate": 93,
            "metrics": {"roc_auc": {"value": 0.9, "low": 0.8, "high": 1.0, "confidence": 0.95}},
        },
    }


def test_field_that_is_not_fed_to_the_model_is_required_and_changes_nothing(tiny: Bundle) -> None:
    with InProcess.open(app_with(tiny, EmbeddedScorer(tiny))) as transport:
        bodies = {transport.send(predict(json.dumps({**ROW, "class": value}))).body for value in (0, 7, 1e300)}
        without = {name: value for name, value in ROW.items() if name != "class"}
        refused = transport.send(predict(json.dumps(without)))
    assert len(bodies) == 1
    assert refused.json()["errors"][0]["loc"] == ["body", "class"]


async def call(bundle: Bundle, scope: dict[str, Any], messages: list[Message], send: Any) -> None:
    async def receive() -> Message:
        return messages.pop(0)

    headers = [(b"x-api-key", KEY.encode()), (b"content-type", b"application/json")]
    whole: Scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers, **scope}
    await app_with(bundle, StaticScorer(0.5))(whole, receive, send)


def test_caller_that_goes_away_gets_no_reply_and_is_no_error(tiny: Bundle) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    messages: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    asyncio.run(call(tiny, {}, messages, send))

    assert sent == []


def test_error_after_half_a_reply_is_left_to_the_server(tiny: Bundle) -> None:
    started: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionError("the line is cut")
        started.append(message["status"])

    body = json.dumps(ROW).encode()
    with pytest.raises(ConnectionError):
        asyncio.run(call(tiny, {}, [{"type": "http.request", "body": body}], send))
    assert started == [200]  # no second reply behind the first


@pytest.mark.parametrize("root_path", ["", "/prod", "/a/b"])
def test_prefix_of_a_stage_is_not_part_of_the_route(tiny: Bundle, root_path: str) -> None:
    """Behind one, the open routes stay open and the others closed."""
    for path, expected in (("/health", 200), ("/model", 401), ("/no-such-path", 401)):
        sent: list[Message] = []

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        scope = {"method": "GET", "path": root_path + path, "root_path": root_path, "headers": []}
        asyncio.run(call(tiny, scope, [{"type": "http.request"}], send))
        assert sent[0]["status"] == expected


def test_construction_makes_no_use_of_the_scorer(tiny: Bundle) -> None:
    scorer = StaticScorer(0.5)

    create_app(ScoringService(tiny, scorer), settings_of_tests())

    assert scorer.calls == []
