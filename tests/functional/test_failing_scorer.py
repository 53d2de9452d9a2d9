"""When there is no score: the published error, never a number, and the next request is served again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core import errors
from core.bundle import Bundle
from core.scoring.static import StaticScorer
from tests.app_under_test import app_with
from tests.contract.case import CSV_TYPE, KEY_HEADER, batch, csv_table, json_batch, post, predict
from tests.contract.exchange import Reply, Request
from tests.contract.transports import InProcess

ROW = {"json": 1.5, "class": 2, "log.amount": 3.25}
PREDICT = predict(json.dumps(ROW))
BATCH = batch(json_batch([json.dumps(ROW)] * 3))
TABLE = post("/predict/batch", csv_table(list(ROW), [list(ROW.values())]), headers=(KEY_HEADER, CSV_TYPE))
EXPLAINED = replace(PREDICT, target="/predict?explain=true"), replace(BATCH, target="/predict/batch?explain=true")
READY = Request("GET", "/health/ready")

FAILURES = {
    errors.ScorerModelError: 502,
    errors.ScorerResponseError: 502,
    errors.ScorerNotReadyError: 503,
    errors.ScorerThrottledError: 503,
    errors.ScorerUnavailableError: 503,
    errors.ScorerMisconfiguredError: 503,
    errors.ScorerTimeoutError: 504,
    errors.DeadlineExceededError: 504,
}


def ask(bundle: Bundle, answer: Any, *requests: Request) -> list[Reply]:
    with InProcess.open(app_with(bundle, StaticScorer(answer))) as transport:
        return [transport.send(request) for request in requests]


def check_problem(reply: Reply, status: int, code: str) -> None:
    assert reply.status == status
    assert reply.header("content-type") == "application/problem+json"
    assert reply.json()["code"] == code
    assert set(reply.json()) == {"type", "title", "status", "detail", "code", "request_id"}
    assert b'score":' not in reply.body
    assert (reply.header("retry-after") in {"1", "2", "3", "4", "5"}) == (status == 503)


@pytest.mark.parametrize(("error", "status"), FAILURES.items(), ids=lambda value: getattr(value, "__name__", value))
def test_failed_scorer_is_answered_as_published_on_every_route(
    tiny: Bundle, error: type[errors.ScorerError], status: int
) -> None:
    for reply in ask(tiny, error("The scorer failed."), PREDICT, BATCH, TABLE, READY, *EXPLAINED):
        check_problem(reply, status, error.code)


def nan_in_the_middle(features: Any) -> Any:
    scores = np.full(len(features), 0.5)
    scores[len(features) // 2] = float("nan")
    return scores


@pytest.mark.parametrize(
    "answer",
    [
        float("nan"),
        float("inf"),
        -1e-9,
        1.0000001,
        nan_in_the_middle,
        lambda features: np.full(len(features) + 1, 0.5),
        lambda features: np.full(len(features) - 1, 0.5),
        lambda features: np.full((len(features), 1), 0.5),
    ],
    ids=["nan", "inf", "negative", "above-one", "nan-in-the-middle", "one-more", "one-less", "matrix"],
)
def test_score_that_is_none_is_an_invalid_response(tiny: Bundle, answer: float | Callable[[Any], Any]) -> None:
    for reply in ask(tiny, answer, PREDICT, BATCH, TABLE, *EXPLAINED):
        check_problem(reply, 502, "upstream_invalid_response")


@pytest.mark.parametrize("error", [RuntimeError("4111111111111111"), errors.BundleError("4111111111111111")])
def test_bug_in_a_scorer_is_an_internal_error_without_its_text(tiny: Bundle, error: Exception) -> None:
    for reply in ask(tiny, error, PREDICT, BATCH, READY):
        check_problem(reply, 500, "internal_error")
        assert b"4111" not in reply.body
        assert reply.json()["detail"] == "Internal error."


def test_scorer_that_recovers_is_used_again(tiny: Bundle) -> None:
    scorer = StaticScorer(errors.ScorerUnavailableError("The scorer is away."))
    with InProcess.open(app_with(tiny, scorer)) as transport:
        assert transport.send(PREDICT).status == 503
        scorer.answer = 0.5
        assert transport.send(PREDICT).json()["fraud_score"] == 0.2


@pytest.mark.parametrize("request_", [predict("{}"), predict("NaN"), batch('{"transactions": []}')])
def test_bad_request_never_reaches_the_scorer(tiny: Bundle, request_: Request) -> None:
    scorer = StaticScorer(0.5)
    with InProcess.open(app_with(tiny, scorer)) as transport:
        assert transport.send(request_).status in (400, 422)
    assert scorer.calls == []


def test_batch_is_one_call_of_the_scorer(tiny: Bundle) -> None:
    scorer = StaticScorer(0.5)
    with InProcess.open(app_with(tiny, scorer)) as transport:
        transport.send(BATCH)
    assert scorer.calls == [3]


def test_explained_batch_is_one_call_of_the_scorer_too(tiny: Bundle) -> None:
    """Of the three transactions, the three rows of the baseline, and one row between for each of six orders."""
    scorer = StaticScorer(0.5)
    with InProcess.open(app_with(tiny, scorer)) as transport:
        transport.send(EXPLAINED[1])
    assert scorer.calls == [3 + 3 + 3 * 6]


def test_one_derived_row_without_a_score_leaves_no_score_at_all(tiny: Bundle) -> None:
    def last_is_missing(features: Any) -> Any:
        return np.append(np.full(len(features) - 1, 0.5), np.nan)

    for reply in ask(tiny, last_is_missing, *EXPLAINED):
        check_problem(reply, 502, "upstream_invalid_response")


def test_draining_process_is_not_ready_and_goes_on_scoring(tiny: Bundle) -> None:
    app = app_with(tiny, StaticScorer(0.5))
    with InProcess.open(app) as transport:
        assert transport.send(READY).status == 200
        app.state.readiness.drain()
        check_problem(transport.send(READY), 503, "shutting_down")
        assert transport.send(Request("GET", "/health")).status == 200
        assert transport.send(PREDICT).status == 200
