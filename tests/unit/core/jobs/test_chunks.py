"""The worker function: every row has its place in the result, scored as by the service or with its own fault."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from core.bundle import Bundle, load_bundle
from core.errors import JobFailedError, ScorerUnavailableError
from core.jobs import chunks
from core.jobs.chunks import score_chunk
from core.jobs.rows import Fault, Rows, validate_rows
from core.scoring.embedded import EmbeddedScorer
from core.scoring.static import StaticScorer
from core.service import ScoringService
from core.transactions import Transactions, TransactionSchema
from tests.tiny_bundle import write_tiny_bundle

GOOD = {"json": 1.5, "class": 3, "log.amount": 20.0}


def rows_of(tiny: Bundle, *items: object) -> Rows:
    transactions, faults = validate_rows(items, TransactionSchema(tiny.manifest.fields))
    return Rows(faults, transactions, {"n": list(range(len(items)))})


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (GOOD, None),
        ({**GOOD, "transaction_id": "t-1"}, None),
        ({"features": [1.5, 3, 20.0]}, None),
        ({**GOOD, "log.amount": -1}, "greater_than_equal:log.amount"),
        ({**GOOD, "json": "1.5"}, "float_type:json"),
        ({**GOOD, "json": float("inf")}, "finite_number:json"),
        ({**GOOD, "json": 10**401}, "unreadable_value"),
        ({"json": 1.5, "class": 3}, "missing:log.amount"),
        ({**GOOD, "4111111111111111": 1}, "extra_forbidden"),
        ({"features": [1.5]}, "too_short:features"),
        (["x"], "object_type"),
        (Fault("row_width"), "row_width"),
    ],
)
def test_validate_rows_names_the_fault_of_a_row_and_spares_its_neighbours(
    tiny: Bundle, item: object, fault: str | None
) -> None:
    rows = rows_of(tiny, GOOD, item, GOOD)

    assert rows.faults == [None, fault, None]
    assert len(rows.transactions.ids) == len(rows.transactions.values) == 2 + (fault is None)


def test_score_chunk_keeps_the_order_and_scores_as_the_service_does(tiny: Bundle) -> None:
    service = ScoringService(tiny, EmbeddedScorer(tiny))
    items = [{**GOOD, "log.amount": amount} for amount in (20.0, -1.0, 300.0)]

    scored = asyncio.run(score_chunk(rows_of(tiny, *items), service))

    alone = [asyncio.run(service.score_one(rows_of(tiny, item).transactions)) for item in (items[0], items[2])]
    assert scored.fraud_scores == [alone[0].fraud_score, None, alone[1].fraud_score]
    assert scored.decisions == [alone[0].decision, None, alone[1].decision]
    assert scored.statuses == ["scored", "greater_than_equal:log.amount", "scored"]
    assert (scored.n_rows, scored.n_scored, scored.n_rejected) == (3, 2, 1)
    assert scored.model_version == "tiny-1.0"
    assert scored.carried == {"n": [0, 1, 2]}


def test_score_chunk_calls_the_scorer_with_a_bounded_number_of_rows(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "ROWS_PER_CALL", 4)
    scorer = StaticScorer(0.5)
    transactions = Transactions([None] * 10, np.ones((10, 3)))

    scored = asyncio.run(score_chunk(Rows([None] * 10, transactions, {}), ScoringService(tiny, scorer)))

    assert scorer.calls == [4, 4, 2]
    assert scored.n_scored == 10


def test_score_chunk_without_a_row_to_score_asks_nobody(tiny: Bundle) -> None:
    scorer = StaticScorer(ScorerUnavailableError("down"))

    scored = asyncio.run(score_chunk(rows_of(tiny, {}, []), ScoringService(tiny, scorer)))

    assert scorer.calls == []
    assert scored.statuses == ["missing:json", "object_type"]


def test_score_chunk_has_no_result_when_the_scorer_fails(tiny: Bundle) -> None:
    with pytest.raises(ScorerUnavailableError):
        asyncio.run(
            score_chunk(rows_of(tiny, GOOD), ScoringService(tiny, StaticScorer(ScorerUnavailableError("down"))))
        )


def test_score_chunk_gives_each_scored_row_the_reasons_that_it_has_alone(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "EXPLAINED_PER_CALL", 2)
    service = ScoringService(tiny, EmbeddedScorer(tiny))
    assert service.explainer is not None
    items = [{**GOOD, "log.amount": amount} for amount in (20.0, 150.0, -1.0, 300.0)]

    scored = asyncio.run(score_chunk(rows_of(tiny, *items), service, reasons=True))

    alone = [
        asyncio.run(service.explain_many(rows_of(tiny, items[index]).transactions, service.explainer))[0]
        for index in (0, 1, 3)
    ]
    assert scored.reasons is not None
    assert scored.reasons.pop(2) is None
    assert scored.reasons == [[reason.as_dict() for reason in each.reasons or ()] for each in alone]
    assert scored.reasons[2][0]["feature"] == "log.amount"
    assert [score for score in scored.fraud_scores if score is not None] == [each.fraud_score for each in alone]


def test_score_chunk_derives_the_rows_of_a_bounded_number_of_transactions_at_a_time(
    tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "EXPLAINED_PER_CALL", 4)
    scorer = StaticScorer(0.5)
    service = ScoringService(tiny, scorer)
    assert service.explainer is not None
    transactions = Transactions([None] * 10, np.ones((10, 3)))

    scored = asyncio.run(score_chunk(Rows([None] * 10, transactions, {}), service, reasons=True))

    assert scorer.calls == [service.explainer.n_rows(n) for n in (4, 4, 2)]
    assert scored.reasons == [[]] * 10, "what has the score of the baseline has no reasons, which is not none asked for"


def test_score_chunk_with_a_model_that_has_no_baseline_is_refused(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "bundle", explanation=None)
    bundle = load_bundle(tmp_path / "bundle")

    with pytest.raises(JobFailedError) as raised:
        asyncio.run(score_chunk(rows_of(bundle, GOOD), ScoringService(bundle, EmbeddedScorer(bundle)), reasons=True))

    assert raised.value.job_code == "not_available"
