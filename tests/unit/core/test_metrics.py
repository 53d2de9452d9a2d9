"""`Metrics`: EMF lines that say what happened, with few dimensions, written once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.metrics import Metrics

SCORED = {"n_transactions": 6, "approve": 3, "review": 2, "decline": 1, "score_ms": 0.5}


def flushed(metrics: Metrics, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    metrics.flush()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def totals(lines: list[dict[str, Any]]) -> dict[str, float]:
    names = [metric["Name"] for line in lines for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    return {name: sum(value for line in lines for value in line.get(name, [])) for name in names}


def test_flush_sums_up_what_was_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics("fraud-scoring")
    metrics.record_request(200, 2.0, SCORED)  # type: ignore[arg-type]
    metrics.record_request(422, 1.0, {"error_code": "invalid_request"})
    metrics.record_request(503, 4.0, {"error_code": "upstream_throttled"})
    metrics.record_request(500, 8.0, {"error_code": "internal_error"})

    assert totals(flushed(metrics, capsys)) == {
        "Requests": 4,
        "ClientErrors": 1,
        "ServerErrors": 2,
        "ScorerErrors": 1,
        "ApprovedTransactions": 3,
        "ReviewedTransactions": 2,
        "DeclinedTransactions": 1,
        "DegradedTransactions": 0,
        "RequestLatency": 15.0,
        "ScoreLatency": 0.5,
        "Errors": 3,
    }


def test_flush_explained_transactions_and_their_latency_are_apart(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics("fraud-scoring")
    explained = {name: value for name, value in SCORED.items() if name != "score_ms"}
    metrics.record_request(200, 9.0, {**explained, "explained": 6, "explain_ms": 8.0})  # type: ignore[typeddict-item]

    summed = totals(flushed(metrics, capsys))
    assert (summed["ExplainedTransactions"], summed["ExplainLatency"], summed["DeclinedTransactions"]) == (6, 8.0, 1)
    assert "ScoreLatency" not in summed


def test_flush_dimensions_are_the_service_and_the_code_alone(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics("fraud-scoring")
    metrics.record_request(401, 1.0, {"error_code": "unauthorized", "request_id": "4111111111111111"})

    lines = flushed(metrics, capsys)

    assert [sorted(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0]) for line in lines] == [
        ["service"],
        ["code", "service"],
    ]
    assert "4111" not in json.dumps(lines)


def test_flush_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics("fraud-scoring")
    metrics.count("Started")

    assert totals(flushed(metrics, capsys)) == {"Started": 1}
    assert flushed(metrics, capsys) == []


def test_flush_two_collectors_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Metrics("fraud-scoring"), Metrics("fraud-scoring-dev")
    first.count("First")
    second.count("Second")

    assert totals(flushed(first, capsys)) == {"First": 1}


def test_flush_more_values_than_one_line_may_hold_are_all_written(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics("fraud-scoring")
    for _ in range(1234):
        metrics.record_request(200, 1.0, {})

    assert totals(flushed(metrics, capsys)) == {"Requests": 1234, "RequestLatency": 1234.0}
