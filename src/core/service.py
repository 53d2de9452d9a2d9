"""The use case: transactions in, predictions out. It knows nothing of HTTP, files or AWS."""

from __future__ import annotations

from dataclasses import dataclass

from core.bundle import Bundle
from core.calibration import Scores
from core.decision import Decision
from core.errors import ScorerError
from core.preprocessing import FeatureMatrix
from core.scoring.base import Scorer, check_scores
from core.transactions import Transactions


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one transaction; `fraud_score` is a calibrated probability in [0, 1]."""

    transaction_id: str | None
    fraud_score: float
    decision: Decision
    degraded_by: str | None = None
    """Code of the error for which the fallback answered in place of the scorer."""


class ScoringService:
    """Scores transactions with one bundle and one scorer, or with the fallback while the scorer fails."""

    def __init__(self, bundle: Bundle, scorer: Scorer, fallback: Scorer | None = None) -> None:
        self.bundle = bundle
        self.scorer = scorer
        self._fallback = fallback
        self._preprocessor = bundle.preprocessor
        self._calibration = bundle.manifest.calibration
        self._decider = bundle.decider

    async def score_many(self, transactions: Transactions) -> list[Prediction]:
        """Return one prediction for each transaction, in order.

        Raises
        ------
        ScorerError
            At least one transaction has no score; then none has a prediction.
        """
        features = self._preprocessor.transform(transactions.values)
        scores, degraded_by = await self._score(features)
        probabilities = self._calibration.probabilities(scores).tolist()
        decisions = self._decider.decide(probabilities, transactions.values)
        return [
            Prediction(transaction_id, probability, decision, degraded_by)
            for transaction_id, probability, decision in zip(transactions.ids, probabilities, decisions, strict=True)
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
        try:
            await self.scorer.check_ready()
        except ScorerError:
            if self._fallback is None:
                raise
            await self._fallback.check_ready()

    async def _score(self, features: FeatureMatrix) -> tuple[Scores, str | None]:
        """Return the scores, and the code of the error if they are the fallback's."""
        try:
            return check_scores(await self.scorer.score(features), len(features)), None
        except ScorerError as error:
            if self._fallback is None:
                raise
            return check_scores(await self._fallback.score(features), len(features)), error.code
