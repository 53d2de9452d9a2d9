"""Reasons from an endpoint: those of the embedded model, within its limits and deadlines."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from core.api.app import create_app
from core.bundle import Bundle
from core.explanation import Explainer
from core.scoring.embedded import EmbeddedScorer
from core.service import Prediction, ScoringService
from core.transactions import Transactions
from tests.app_under_test import settings_of_tests
from tests.contract.case import post
from tests.contract.transports import InProcess
from tests.sagemaker.conftest import MakeScorer
from tests.sagemaker_runtime import faults
from tests.sagemaker_runtime.server import Runtime

N = 20


@pytest.fixture
def transactions(creditcard: Bundle) -> Transactions:
    """Golden transactions from the least to the most suspicious."""
    values = creditcard.golden_values()
    return Transactions([None] * N, values[np.linspace(0, len(values) - 1, N).astype(int)])


def explainer_of(service: ScoringService) -> Explainer:
    assert service.explainer is not None
    return service.explainer


def explained(service: ScoringService, transactions: Transactions) -> list[Prediction]:
    return asyncio.run(service.explain_many(transactions, explainer_of(service)))


@pytest.mark.parametrize("rows_per_call", [100, 1000])
def test_reasons_equal_the_embedded_ones_and_calls_keep_to_their_size(
    creditcard: Bundle, transactions: Transactions, make_scorer: MakeScorer, runtime: Runtime, rows_per_call: int
) -> None:
    service = ScoringService(creditcard, make_scorer(rows_per_call=rows_per_call))
    n_rows = explainer_of(service).n_rows(N)

    remote = explained(service, transactions)

    embedded = explained(ScoringService(creditcard, EmbeddedScorer(creditcard)), transactions)
    assert (sum(runtime.rows), max(runtime.rows)) == (n_rows, rows_per_call)
    assert runtime.hits == -(-n_rows // rows_per_call)
    for far, near in zip(remote, embedded, strict=True):
        assert far.fraud_score == pytest.approx(near.fraud_score, abs=1e-6)
        assert [reason.feature for reason in far.reasons or ()] == [reason.feature for reason in near.reasons or ()]
        # An endpoint answers in float32: where a score is within 1e-k of 1, the log-odds keep 7 - k digits of it.
        tolerance = 1e-6 + 2.0**-23 / (1.0 - near.fraud_score)
        for theirs, ours in zip(far.reasons or (), near.reasons or (), strict=True):
            assert theirs.impact == pytest.approx(ours.impact, abs=tolerance)


def test_one_explanation_is_one_call_of_the_endpoint(
    creditcard: Bundle, transactions: Transactions, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    service = ScoringService(creditcard, make_scorer())

    explained(service, Transactions([None], transactions.values[:1]))

    assert runtime.hits == 1
    assert runtime.rows == [explainer_of(service).n_rows(1)]


def test_endpoint_that_fails_gives_its_error_and_no_score(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    app = create_app(ScoringService(creditcard, make_scorer(rows_per_call=100)), settings_of_tests())
    runtime.script = lambda invocation: faults.MODEL_ERROR if invocation == 3 else None

    with InProcess.open(app) as transport:
        reply = transport.send(post("/predict?explain=true", json.dumps(creditcard.golden.transactions[0])))

    assert (reply.status, reply.json()["code"]) == (502, "upstream_model_error")
    assert b"score" not in reply.body.replace(b"scorer", b"").replace(b"fraud-scoring", b"")


def test_endpoint_that_fails_for_a_part_of_the_rows_leaves_score_and_reasons_to_the_fallback(
    creditcard: Bundle, transactions: Transactions, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    embedded = EmbeddedScorer(creditcard)
    runtime.script = lambda invocation: faults.MODEL_ERROR if invocation == 3 else None

    predictions = explained(ScoringService(creditcard, make_scorer(rows_per_call=1000), embedded), transactions)

    assert {each.degraded_by for each in predictions} == {"upstream_model_error"}
    expected = explained(ScoringService(creditcard, embedded), transactions)
    assert [each.reasons for each in predictions] == [each.reasons for each in expected]


def test_explanation_ends_with_the_deadline_of_batches(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    scorer = make_scorer(deadline_s=20.0, batch_deadline_s=0.3)
    app = create_app(ScoringService(creditcard, scorer), settings_of_tests())
    runtime.script = faults.always(faults.late(5))

    with InProcess.open(app) as transport:
        reply = transport.send(post("/predict?explain=true", json.dumps(creditcard.golden.transactions[0])))

    assert (reply.status, reply.json()["code"]) == (504, "upstream_timeout")
