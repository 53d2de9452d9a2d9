"""`ScoringService`: from values to predictions, with one path for one and for many."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from core.bundle import GOLDEN, Bundle, load_bundle, write_bundle
from core.errors import ScorerError, ScorerResponseError, ScorerTimeoutError
from core.scoring.base import Scorer
from core.scoring.embedded import EmbeddedScorer
from core.scoring.static import StaticScorer
from core.service import Prediction, Predictions, ScoringService
from core.transactions import Transaction, Transactions, TransactionSchema, tabulate
from tests.tiny_bundle import (
    BASELINE,
    EXPECTED_LOSS,
    ODDS_FACTOR,
    golden_cases,
    tiny_files,
    tiny_manifest,
    write_tiny_bundle,
)

VALUES = np.array([[5.0, 0.0, 300.0], [0.0, 0.0, 300.0], [5.0, 9.0, 10.0]])
THREE = Transactions(["a", None, "c"], VALUES)


def score_many(bundle: Bundle, scorer: Scorer, transactions: Transactions = THREE) -> list[Prediction]:
    return asyncio.run(ScoringService(bundle, scorer).score_many(transactions))


def log_odds(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def test_score_many_answers_in_order_with_calibrated_probabilities(tiny: Bundle) -> None:
    scores = np.array([0.9, 0.5, 0.0])

    predictions = score_many(tiny, StaticScorer(lambda features: scores))

    expected = scores * ODDS_FACTOR / (scores * ODDS_FACTOR + 1 - scores)
    assert [p.fraud_score for p in predictions] == pytest.approx(expected.tolist(), abs=1e-15)
    assert [p.transaction_id for p in predictions] == ["a", None, "c"]
    assert [p.decision for p in predictions] == ["decline", "review", "approve"]
    assert all(type(p.fraud_score) is float for p in predictions)


def test_score_many_is_one_call_of_the_scorer_with_preprocessed_features(tiny: Bundle) -> None:
    seen = []
    scorer = StaticScorer(lambda features: (seen.append(features.tolist()), np.zeros(len(features)))[1])

    score_many(tiny, scorer)

    assert scorer.calls == [3]
    assert seen == [[[1.5, 5.0], [1.5, 0.0], [pytest.approx(-1.4), 5.0]]]


def test_score_one_is_the_first_of_many(tiny: Bundle) -> None:
    service = ScoringService(tiny, EmbeddedScorer(tiny))
    many = asyncio.run(service.score_many(THREE))

    alone = [asyncio.run(service.score_one(Transactions([THREE.ids[i]], VALUES[i : i + 1]))) for i in range(3)]

    assert alone == many


def explain_many(bundle: Bundle, scorer: Scorer, fallback: Scorer | None = None) -> list[Prediction]:
    service = ScoringService(bundle, scorer, fallback)
    assert service.explainer is not None
    return asyncio.run(service.explain_many(THREE, service.explainer))


def test_explain_many_says_what_score_many_does_with_reasons_that_lead_from_the_baseline_to_it(tiny: Bundle) -> None:
    predictions = explain_many(tiny, EmbeddedScorer(tiny))

    assert [each._replace(reasons=None) for each in predictions] == score_many(tiny, EmbeddedScorer(tiny))
    typical = score_many(tiny, EmbeddedScorer(tiny), Transactions([None] * 3, np.array(BASELINE)))
    start = sum(log_odds(each.fraud_score) for each in typical) / 3
    for prediction in predictions:
        assert prediction.reasons is not None  # two fields are used, so that all impacts are among the reasons
        end = start + sum(reason.impact for reason in prediction.reasons)
        assert end == pytest.approx(log_odds(prediction.fraud_score), abs=1e-12)


def test_explain_many_score_and_reasons_are_of_the_fallback_while_the_scorer_fails(tiny: Bundle) -> None:
    predictions = explain_many(tiny, StaticScorer(ScorerTimeoutError("late")), EmbeddedScorer(tiny))

    assert {each.degraded_by for each in predictions} == {"upstream_timeout"}
    assert [each._replace(degraded_by=None) for each in predictions] == explain_many(tiny, EmbeddedScorer(tiny))


def test_explain_many_scorer_that_cannot_answer_so_many_rows_gives_no_prediction(tiny: Bundle) -> None:
    with pytest.raises(ScorerResponseError):
        explain_many(tiny, StaticScorer(lambda features: np.full(3, 0.5)))


def test_bundle_without_a_baseline_has_no_explainer(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, explanation=None)

    assert ScoringService(load_bundle(tmp_path), StaticScorer(0.5)).explainer is None


@pytest.mark.parametrize("answer", [float("nan"), -0.1, 1.5, lambda features: np.zeros(2)])
def test_score_many_answer_that_is_no_score_gives_no_prediction(tiny: Bundle, answer: object) -> None:
    with pytest.raises(ScorerResponseError):
        score_many(tiny, StaticScorer(answer))  # type: ignore[arg-type]


def test_score_many_one_bad_score_gives_no_prediction_at_all(tiny: Bundle) -> None:
    with pytest.raises(ScorerResponseError):
        score_many(tiny, StaticScorer(lambda features: np.array([0.1, float("nan"), 0.1])))


def test_service_error_of_the_scorer_passes_unchanged(tiny: Bundle) -> None:
    error = ScorerTimeoutError("late")
    service = ScoringService(tiny, StaticScorer(error))

    for call in (service.score_many(THREE), service.score_one(THREE), service.check_ready()):
        with pytest.raises(ScorerError) as caught:
            asyncio.run(call)
        assert caught.value is error


def test_check_ready_scorer_that_is_ready_says_nothing(tiny: Bundle) -> None:
    asyncio.run(ScoringService(tiny, StaticScorer(0.5)).check_ready())


def write_expected_loss_bundle(path: Path) -> None:
    """Write the tiny bundle with decisions that depend on the amount, worked out here for its golden cases."""
    golden = golden_cases()
    golden["decisions"] = [
        cheapest(score, case["log.amount"])
        for score, case in zip(golden["fraud_scores"], golden["transactions"], strict=True)
    ]
    files = {**tiny_files(), GOLDEN: json.dumps(golden).encode()}
    write_bundle(path, {**tiny_manifest(), "thresholds": EXPECTED_LOSS}, files)


def cheapest(probability: float, amount: float) -> str:
    costs = {"decline": (1 - probability) * 25.0, "review": 4.0, "approve": probability * (amount + 15.0)}
    return min(costs, key=lambda decision: costs[decision])


def test_expected_loss_in_the_bundle_lets_the_decision_depend_on_the_amount(tmp_path: Path) -> None:
    write_expected_loss_bundle(tmp_path)
    bundle = load_bundle(tmp_path)
    scorer = StaticScorer(lambda features: np.full(len(features), 0.2))  # 1 / 17 of it is fraud
    amounts = [0.0, 50.0, 60.0, 1e6]
    values = np.array([[0.0, 0.0, amount] for amount in amounts])

    predictions = score_many(bundle, scorer, Transactions([None] * 4, values))

    probability = predictions[0].fraud_score
    assert [p.decision for p in predictions] == [cheapest(probability, amount) for amount in amounts]
    assert [p.decision for p in predictions] == ["approve", "approve", "review", "review"]


def test_expected_loss_batching_changes_no_decision(tmp_path: Path) -> None:
    write_expected_loss_bundle(tmp_path)
    bundle = load_bundle(tmp_path)
    values = np.repeat(bundle.golden_values(), 3, axis=0)
    values[:, 2] *= np.tile([0.5, 1.0, 2.0], len(values) // 3)
    service = ScoringService(bundle, EmbeddedScorer(bundle))

    many = asyncio.run(service.score_many(Transactions([None] * len(values), values)))
    alone = [asyncio.run(service.score_one(Transactions([None], row[np.newaxis]))) for row in values]

    assert alone == many
    assert {p.decision for p in many} == {"approve", "review", "decline"}


def test_single_transactions_in_company_share_one_call_and_keep_their_own_predictions(tiny: Bundle) -> None:
    scorer = StaticScorer(lambda features: np.linspace(0.1, 0.9, len(features)))
    alone = score_many(tiny, StaticScorer(scorer.answer))
    service = ScoringService(tiny, scorer)
    singles = [Transaction(id_, VALUES[row].tobytes()) for row, id_ in enumerate(THREE.ids)]

    async def ask() -> list[Predictions]:
        return await asyncio.gather(*map(service.score_in_company, singles))

    together = asyncio.run(ask())

    assert scorer.calls == [3]
    assert [predictions.rows() for predictions in together] == [[prediction] for prediction in alone]


def test_scores_of_the_model_are_the_same_bits_in_company(creditcard: Bundle) -> None:
    service = ScoringService(creditcard, EmbeddedScorer(creditcard))
    schema = TransactionSchema(creditcard.manifest.fields)
    singles = [schema.parse_one(row) for row in creditcard.golden.transactions]

    async def ask(score: Callable[[Transaction], Awaitable[Predictions]]) -> list[str]:
        return [repr(predictions.fraud_scores) for predictions in await asyncio.gather(*map(score, singles))]

    in_company = asyncio.run(ask(service.score_in_company))

    assert in_company == asyncio.run(ask(lambda single: service.score(tabulate([single]))))
