"""Every case of the table on every transport: the exact status, code and body, and nothing of what was sent."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import numpy as np
import pytest

from core.api.errors import INTERNAL, PROBLEMS, ROUTING
from core.bootstrap import build_app
from core.bundle import Bundle
from core.explanation import Reason
from core.service import Prediction, ScoringService
from core.transactions import Transactions
from tests.app_under_test import settings_of_tests
from tests.contract.case import Case, Scored
from tests.contract.exchange import Reply
from tests.contract.made_up import made_up_values
from tests.contract.table import ROWS, TABLE
from tests.contract.transports import TRANSPORTS

Ask = Callable[[str, str], Reply]
"""(transport, case) -> reply; asked once, then remembered."""

PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
LOCATION_NAMES = {"query", "explain", "body", "transactions", "transaction_id", "features", "<unknown>", *ROWS.names}


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    app = build_app(settings_of_tests())
    with ExitStack() as stack:
        transports = {name: stack.enter_context(opening(app)) for name, opening in TRANSPORTS.items()}
        yield cache(lambda transport, case: transports[transport].send(TABLE[case].named_request()))


def expressible() -> list[Any]:
    return [
        pytest.param(transport, name, id=f"{transport}-{name}")
        for transport in TRANSPORTS
        for name, case in TABLE.items()
        if transport not in case.not_on
    ]


@pytest.mark.parametrize(("transport", "name"), expressible())
def test_reply_is_the_promised_one(ask: Ask, service: ScoringService, transport: str, name: str) -> None:
    case, reply = TABLE[name], ask(transport, name)
    assert reply.status == case.status, reply.body[:500]
    _check_request_id(case, reply)
    assert reply.header("x-model-version") == service.bundle.version
    for header, value in case.headers.items():
        assert sorted((reply.header(header) or "").split(", ")) == value.split(", ")
    if case.request.method == "HEAD":
        assert reply.body == b""
    elif case.code is None:
        _check_good_body(case, reply, service)
    else:
        _check_problem(case, reply)
        _check_nothing_is_echoed(case, reply)


@pytest.mark.parametrize("name", [name for name, case in TABLE.items() if len(TRANSPORTS) - len(case.not_on) > 1])
def test_body_is_the_same_on_every_transport(ask: Ask, name: str) -> None:
    case = TABLE[name]
    replies = [ask(transport, name) for transport in TRANSPORTS if transport not in case.not_on]
    assert len({_without_request_id(reply) for reply in replies}) == 1


NOT_OF_A_REQUEST = {
    "model_refused",
    "bad_request",
    "request_timeout",
    "headers_too_large",
    "rate_limited",
    "too_many_auth_failures",
}
"""What only a server answers, or depends on what was asked before."""


def test_table_has_the_cases_that_are_asked_for() -> None:
    bad = [case for case in TABLE.values() if case.code is not None]
    assert len(TABLE) >= 80
    assert len(bad) >= 60
    met = {case.code for case in bad}
    assert met == {p.code for p in (*PROBLEMS.values(), *ROUTING.values()) if p.status < 500} - NOT_OF_A_REQUEST


def test_golden_rows_score_as_recorded(ask: Ask, creditcard: Bundle) -> None:
    """The oracle of this module is the service: tie it to what training recorded."""
    recorded = {tuple(row.values()): score for row, score in zip(ROWS.golden, ROWS.fraud_scores, strict=True)}
    for name in ("object-fraud", "object-legitimate", "batch-of-the-most", "csv-of-the-most"):
        for scored, prediction in zip(TABLE[name].scored, _predictions(ask("in-process", name)), strict=True):
            expected = recorded[tuple(scored.row.values())]
            assert math.isclose(prediction["fraud_score"], expected, rel_tol=0, abs_tol=1e-6)
            assert prediction["decision"] == creditcard.manifest.thresholds.decide(expected)


def _check_request_id(case: Case, reply: Reply) -> None:
    answered = reply.header("x-request-id") or ""
    if case.replaces_request_id:
        # Behind a gateway it is the gateway's own, so that both logs name the request alike.
        assert re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answered)
    else:
        assert [answered.encode()] == [v for name, v in case.named_request().headers if name == b"x-request-id"]


def _check_good_body(case: Case, reply: Reply, service: ScoringService) -> None:
    assert reply.header("content-type") == "application/json"
    if case.body is not None:
        assert reply.json() == case.body
    if case.scored:
        expected = _expected_predictions(case.scored, service)
        assert _predictions(reply) == expected  # floats compare bit by bit, but for the sign of zero
        assert reply.json()["model_version"] == service.bundle.version


def _expected_predictions(scored: tuple[Scored, ...], service: ScoringService) -> list[dict[str, Any]]:
    async def score() -> list[Prediction]:
        values = np.array([[each.row[name] for name in ROWS.names] for each in scored])
        transactions = Transactions([each.transaction_id for each in scored], values)
        if scored[0].explained and service.explainer is not None:
            return await service.explain_many(transactions, service.explainer)
        return await service.score_many(transactions)

    return [
        {
            "transaction_id": each.transaction_id,
            "fraud_score": each.fraud_score,
            "decision": each.decision,
            **({} if each.reasons is None else {"reasons": list(map(_expected_reason, each.reasons))}),
        }
        for each in asyncio.run(score())
    ]


def _expected_reason(reason: Reason) -> dict[str, Any]:
    return {
        "feature": reason.feature,
        "value": reason.value,
        "impact": reason.impact,
        "direction": "raises" if reason.impact > 0 else "lowers",
    }


def _predictions(reply: Reply) -> list[dict[str, Any]]:
    document = reply.json()
    if "predictions" in document:
        assert set(document) == {"predictions", "model_version"}
        return list(document["predictions"])
    assert set(document) - {"reasons"} == {"transaction_id", "fraud_score", "decision", "model_version"}
    return [{name: value for name, value in document.items() if name != "model_version"}]


def _check_problem(case: Case, reply: Reply) -> None:
    assert reply.header("content-type") == "application/problem+json"
    problem = reply.json()
    assert problem["code"] == case.code != INTERNAL.code
    assert problem["status"] == reply.status
    assert problem["type"] == f"urn:fraud-scoring:problem:{case.code}"
    assert problem["request_id"] == reply.header("x-request-id")
    assert all(isinstance(problem[member], str) and problem[member] for member in PROBLEM_MEMBERS - {"status"})
    assert set(problem) == PROBLEM_MEMBERS | ({"errors"} if case.code == "invalid_request" else set())
    for error in problem.get("errors", []):
        assert set(error) == {"loc", "code", "message"}
        assert all(isinstance(part, int) or part in LOCATION_NAMES for part in error["loc"])
    if case.issues is not None:
        assert [(tuple(e["loc"]), e["code"]) for e in problem["errors"]] == [(i.loc, i.code) for i in case.issues]
        assert all(i.hint in e["message"] for e, i in zip(problem["errors"], case.issues, strict=True))


def _check_nothing_is_echoed(case: Case, reply: Reply) -> None:
    answered = _without_request_id(reply)
    assert not [value for value in made_up_values(case.request, LOCATION_NAMES) if value in answered]


def _without_request_id(reply: Reply) -> bytes:
    return reply.body.replace((reply.header("x-request-id") or "<none>").encode(), b"")
