"""The use case: transactions in, predictions out. It knows nothing of HTTP, files or AWS."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from itertools import repeat
from typing import NamedTuple

import anyio.to_thread

from core.bundle import Bundle
from core.calibration import Scores
from core.decision import Decision
from core.errors import ScorerError
from core.explanation import Explainer, Reason
from core.gathering import Gatherer
from core.preprocessing import FeatureMatrix, FieldValues
from core.scoring.base import Scorer, check_scores
from core.transactions import Transaction, Transactions, tabulate

_FEW = 5
"""Transactions that are explained in less time than it takes to go to a thread and back on a busy machine."""

_MOST_TOGETHER = 64
"""Single transactions that one call scores: enough to make it cheap, and too few to keep others waiting."""


class Prediction(NamedTuple):
    """The answer for one transaction; `fraud_score` is a calibrated probability in [0, 1]."""

    transaction_id: str | None
    fraud_score: float
    decision: Decision
    degraded_by: str | None = None
    """Code of the error for which the fallback answered in place of the scorer."""
    reasons: tuple[Reason, ...] | None = None
    """None: nobody asked."""


_AS_PREDICTION = partial(tuple.__new__, Prediction)
"""`Prediction._make` without a call of Python's: there are thousands in a batch."""


class Predictions(NamedTuple):
    """The answers for transactions, in order, one column for each part of a `Prediction`."""

    transaction_ids: Sequence[str | None]
    fraud_scores: list[float]
    decisions: list[Decision]
    degraded_by: str | None
    """One scorer answers all, or the fallback does."""
    reasons: list[tuple[Reason, ...]] | None = None

    def rows(self) -> list[Prediction]:
        reasons = repeat(None) if self.reasons is None else self.reasons
        columns = zip(self.transaction_ids, self.fraud_scores, self.decisions, repeat(self.degraded_by), reasons)
        return list(map(_AS_PREDICTION, columns))


class ScoringService:
    """Scores transactions with one bundle and one scorer, or with the fallback while the scorer fails."""

    def __init__(self, bundle: Bundle, scorer: Scorer, fallback: Scorer | None = None) -> None:
        self.bundle = bundle
        self.scorer = scorer
        self._fallback = fallback
        self._preprocessor = bundle.preprocessor
        self._calibration = bundle.manifest.calibration
        self._decider = bundle.decider
        self.explainer = _explainer(bundle)
        """None: the bundle says nothing that reasons could be measured against."""
        self._gatherer = Gatherer(self._score_gathered, most=_MOST_TOGETHER)

    async def score(self, transactions: Transactions) -> Predictions:
        """Return one prediction for each transaction, in order.

        Raises
        ------
        ScorerError
            At least one transaction has no score; then none has a prediction.
        """
        features = self._preprocessor.transform(transactions.values)
        return self._predictions(transactions, *await self._score(features))

    @property
    def gathers(self) -> bool:
        """Whether single transactions are better scored with others that come in at the same time."""
        return self.scorer.keeps_loop_busy

    def score_in_company(self, transaction: Transaction) -> Awaitable[Predictions]:
        """Return, once awaited, what `score` would: one call answers all who ask within a few turns of the loop.

        Raises
        ------
        ScorerError
            There is no score for this one.
        """
        return self._gatherer.answer(transaction)

    async def _score_gathered(self, singles: list[Transaction]) -> list[Predictions]:
        """Return the predictions of single transactions, each with its own columns."""
        ids, scores, decisions, degraded_by, _ = await self.score(tabulate(singles))
        columns = zip(ids, scores, decisions, strict=True)
        return [Predictions([id_], [score], [decision], degraded_by) for id_, score, decision in columns]

    async def explain(self, transactions: Transactions, explainer: Explainer) -> Predictions:
        """Return what `score` does, with the reasons of each prediction.

        One call scores the transactions and the rows that explain them, so that score and reasons are of one scorer,
        or there are neither.

        Raises
        ------
        ScorerError
        """
        values = transactions.values
        # For a batch each of both takes milliseconds; other requests go on meanwhile.
        large = len(values) > _FEW
        derive = partial(self._derived_features, explainer, values)
        scores, degraded_by = await self._score(await anyio.to_thread.run_sync(derive) if large else derive())
        read = partial(explainer.reasons, values, scores)
        reasons = await anyio.to_thread.run_sync(read) if large else read()
        return self._predictions(transactions, scores[: len(values)], degraded_by)._replace(reasons=reasons)

    async def score_many(self, transactions: Transactions) -> list[Prediction]:
        """Return what `score` does, row by row."""
        return (await self.score(transactions)).rows()

    async def explain_many(self, transactions: Transactions, explainer: Explainer) -> list[Prediction]:
        """Return what `explain` does, row by row."""
        return (await self.explain(transactions, explainer)).rows()

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

    def close(self) -> None:
        """Give back what the scorers hold, without waiting for calls that nobody waits for any more."""
        for scorer in (self.scorer, self._fallback):
            if scorer is not None:
                scorer.close(wait=False)

    def _derived_features(self, explainer: Explainer, values: FieldValues) -> FeatureMatrix:
        return self._preprocessor.transform(explainer.derive(values))

    def _predictions(self, transactions: Transactions, scores: Scores, degraded_by: str | None) -> Predictions:
        probabilities = self._calibration.probabilities(scores).tolist()
        decisions = self._decider.decide(probabilities, transactions.values)
        return Predictions(transactions.ids, probabilities, decisions, degraded_by)

    async def _score(self, features: FeatureMatrix) -> tuple[Scores, str | None]:
        """Return the scores, and the code of the error if they are the fallback's."""
        try:
            return check_scores(await self.scorer.score(features), len(features)), None
        except ScorerError as error:
            if self._fallback is None:
                raise
            # It leads to what was waited for, and that back to it: all the features of a batch would stay for a while.
            error.__traceback__ = None
            return check_scores(await self._fallback.score(features), len(features)), error.code


def _explainer(bundle: Bundle) -> Explainer | None:
    manifest = bundle.manifest
    if manifest.explanation is None:
        return None
    used = {feature.field for feature in manifest.features}
    return Explainer(manifest.fields, used, manifest.explanation.baseline, manifest.calibration.probabilities)
