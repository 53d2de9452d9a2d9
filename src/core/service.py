"""The use case: transactions in, predictions out. It knows nothing of HTTP, files or AWS."""

from __future__ import annotations

from dataclasses import dataclass

from core.bundle import Bundle
from core.decision import Decision
from core.scoring.base import Scorer, check_scores
from core.transactions import Transactions


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one transaction; `fraud_score` is a calibrated probability in [0, 1]."""

    transaction_id: str | None
    fraud_score: float
    decision: Decision


class ScoringService:
    """Scores transactions with one bundle and one scorer."""

    def __init__(self, bundle: Bundle, scorer: Scorer) -> None:
        self.bundle = bundle
        self.scorer = scorer
        self._preprocessor = bundle.preprocessor
        self._calibration = bundle.manifest.calibration
        self._thresholds = bundle.manifest.thresholds

    async def score_many(self, transactions: Transactions) -> list[Prediction]:
        """Return one prediction for each transaction, in order.

        Raises
        ------
        ScorerError
            At least one transaction has no score; then none has a prediction.
        """
        features = self._preprocessor.transform(transactions.values)
        scores = check_scores(await self.scorer.score(features), len(features))
        probabilities = self._calibration.probabilities(scores).tolist()
        decide = self._thresholds.decide
        return [
            Prediction(transaction_id, probability, decide(probability))
            for transaction_id, probability in zip(transactions.ids, probabilities, strict=True)
        ]

    async def score_one(self, transaction: Transactions) -> Prediction:
        """Return the prediction for a single transaction: the first of `score_many`.

        Raises
        ------
        ScorerError
        """
        return (await self.score_many(transaction))[0]

    async def check_ready(self) -> None:
        """Return when a transaction could be scored now.

        Raises
        ------
        ScorerError
        """
        await self.scorer.check_ready()
