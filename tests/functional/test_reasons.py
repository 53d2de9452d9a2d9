"""`?explain=true` on the wire: whose texts it shows, where there are no reasons, and what the log says."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from core.bundle import Bundle, load_bundle
from core.scoring.embedded import EmbeddedScorer
from core.scoring.static import StaticScorer
from tests.app_under_test import app_with
from tests.contract.case import batch, json_batch, post, predict
from tests.contract.transports import InProcess
from tests.tiny_bundle import FIELDS, write_tiny_bundle

ROW = json.dumps({"json": 1.5, "class": 2, "log.amount": 300})
EXPLAINED = post("/predict?explain=true", ROW)


def test_reply_without_explain_has_the_bytes_it_always_had(tiny: Bundle) -> None:
    with InProcess.open(app_with(tiny, StaticScorer(0.5))) as transport:
        body = transport.send(predict(ROW)).body

    assert body == b'{"transaction_id":null,"fraud_score":0.2,"decision":"review","model_version":"tiny-1.0"}'


def test_reply_with_explain_is_the_same_with_reasons_at_its_end(tiny: Bundle) -> None:
    with InProcess.open(app_with(tiny, EmbeddedScorer(tiny))) as transport:
        plain, explained = transport.send(predict(ROW)).body, transport.send(EXPLAINED).body

    assert explained.startswith(plain[:-1] + b',"reasons":[{"feature":"log.amount","value":300.0,"impact":')
    assert [set(reason) for reason in json.loads(explained)["reasons"]] == [
        {"feature", "value", "impact", "direction"}
    ] * 2


def test_label_comes_back_where_the_bundle_has_one(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, fields=[*FIELDS[:2], {**FIELDS[2], "label": "Amount, €"}])
    bundle = load_bundle(tmp_path)

    with InProcess.open(app_with(bundle, EmbeddedScorer(bundle))) as transport:
        reasons = transport.send(EXPLAINED).json()["reasons"]

    assert [reason.get("label") for reason in reasons] == ["Amount, €", None]


def test_bundle_without_a_baseline_scores_and_says_why_it_does_not_explain(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, explanation=None)
    bundle = load_bundle(tmp_path)

    with InProcess.open(app_with(bundle, EmbeddedScorer(bundle))) as transport:
        assert transport.send(predict(ROW)).status == 200
        reply = transport.send(EXPLAINED)

    assert reply.status == 422
    [error] = reply.json()["errors"]
    assert (error["loc"], error["code"]) == (["query", "explain"], "not_available")


def test_too_many_to_explain_says_how_many_may_be(tiny: Bundle) -> None:
    body = json_batch([ROW] * 4)
    with InProcess.open(app_with(tiny, EmbeddedScorer(tiny), max_explained_items=3)) as transport:
        assert transport.send(batch(body)).status == 200
        reply = transport.send(post("/predict/batch?explain=true", body))

    assert (reply.status, reply.json()["code"]) == (413, "too_many_items")
    assert reply.json()["detail"] == "At most 3 transactions may be explained in one request, not 4."


@pytest.mark.parametrize(("target", "n"), [("/predict", 1), ("/predict/batch", 2)])
def test_log_line_tells_what_was_explained_and_how_long_it_took(
    tiny: Bundle, event_lines: io.StringIO, target: str, n: int
) -> None:
    body = ROW if n == 1 else json_batch([ROW] * n)
    with InProcess.open(app_with(tiny, EmbeddedScorer(tiny), log_level="INFO")) as transport:
        transport.send(post(f"{target}?explain=true", body))
        transport.send(post(target, body))

    explained, plain = (json.loads(line) for line in event_lines.getvalue().splitlines())
    assert (explained["explained"], explained["n_transactions"], plain["n_transactions"]) == (n, n, n)
    assert explained["explain_ms"] > 0 < plain["score_ms"]
    assert "score_ms" not in explained
    assert not {"explained", "explain_ms"} & plain.keys()
