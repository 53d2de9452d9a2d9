"""Chooses where to review and where to decline: what costs least on the validation rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.decision import Thresholds
from training.arrays import Floats
from training.data import Table
from training.evaluate import Scored, curve_of
from training.schema import TableSchema

LABEL_SHARE = 0.5
"""What the label of a row counts against the model's own calibrated probability when a cost is estimated.

A few dozen validation frauds do not show the rare false alarm: on labels alone the cheapest place to decline may
lie anywhere above the last legitimate row that happened to be drawn.
"""


@dataclass(frozen=True)
class AssumedCosts:
    """What the data do not say, in the currency of the amounts: assumptions for the business to replace."""

    chargeback_fee: float = 15.0
    """Fee of a fraud that was approved, on top of its amount."""
    false_decline: float = 25.0
    """A legitimate transaction declined: a lost sale and an annoyed customer."""
    review: float = 4.0
    """Some minutes of an analyst, who is assumed to be right."""


@dataclass(frozen=True)
class CostModel:
    """What each kind of decision costs."""

    mean_fraud_amount: float
    assumed: AssumedCosts

    @classmethod
    def of(cls, train: Table, schema: TableSchema, assumed: AssumedCosts) -> CostModel:
        """Take the mean amount of the training frauds as what an approved fraud loses."""
        return cls(float(train.values[train.is_fraud, schema.amount_column].mean()), assumed)

    @property
    def missed_fraud(self) -> float:
        return self.mean_fraud_amount + self.assumed.chargeback_fee


@dataclass(frozen=True)
class OperatingPoint:
    """What flagging everything from a threshold on does to a stream with the real prevalence."""

    threshold: float
    precision: float
    recall: float
    alert_rate: float
    n_frauds: int
    n_legitimate: int
    """Unweighted numbers of rows at or above the threshold."""


def choose_thresholds(scored: Scored, costs: CostModel) -> Thresholds:
    """Return the pair with the least total cost among all cuts between the scores of `scored`.

    The cost of a pair is the sum of a term of the review cut and a term of the decline cut, so that two
    passes find the best pair. A cut lies halfway, in log-odds, between two scores; of equal pairs the highest.
    """
    cuts = _cuts(scored)
    fraud, legitimate = _weights_from(scored, cuts)
    review_term = (costs.assumed.review - costs.missed_fraud) * fraud + costs.assumed.review * legitimate
    decline_term = (costs.assumed.false_decline - costs.assumed.review) * legitimate - costs.assumed.review * fraud
    # Cuts ascend: of the pairs with review <= decline, the best review for each decline is a running minimum.
    is_best = review_term <= np.minimum.accumulate(review_term)
    best_review = np.maximum.accumulate(np.where(is_best, np.arange(len(cuts)), 0))
    total = review_term[best_review] + decline_term
    decline = int(np.flatnonzero(total == np.min(total))[-1])
    return Thresholds(review=float(cuts[best_review[decline]]), decline=float(cuts[decline]))


def mean_cost(scored: Scored, thresholds: Thresholds | None, costs: CostModel, label_share: float = 1.0) -> float:
    """Return the mean cost of one transaction; without thresholds everything is approved.

    `label_share` 1 counts what happened, `LABEL_SHARE` is what `choose_thresholds` minimises.
    """
    fraud = _fraud_share(scored, label_share)
    cost = costs.missed_fraud * fraud
    if thresholds is not None:
        cost = np.where(scored.scores >= thresholds.review, costs.assumed.review, cost)
        cost = np.where(scored.scores >= thresholds.decline, costs.assumed.false_decline * (1.0 - fraud), cost)
    return float(scored.weights @ cost / scored.weights.sum())


def operating_point(scored: Scored, threshold: float) -> OperatingPoint:
    """Describe what flagging everything at or above `threshold` would do."""
    flagged = scored.scores >= threshold
    weight = scored.weights * flagged
    caught = float(weight @ scored.is_fraud)
    return OperatingPoint(
        threshold=threshold,
        precision=caught / float(weight.sum()) if flagged.any() else 1.0,
        recall=caught / float(scored.weights @ scored.is_fraud),
        alert_rate=float(weight.sum() / scored.weights.sum()),
        n_frauds=int((flagged & scored.is_fraud).sum()),
        n_legitimate=int((flagged & ~scored.is_fraud).sum()),
    )


def _fraud_share(scored: Scored, label_share: float) -> Floats:
    return label_share * scored.is_fraud + (1.0 - label_share) * scored.scores


def _cuts(scored: Scored) -> Floats:
    """Return the lowest score, a cut between each two neighbours, and 1; ascending, in (0, 1]."""
    distinct = np.clip(curve_of(scored).thresholds[::-1], 1e-12, 1.0 - 1e-12)
    log_odds = np.log(distinct / (1.0 - distinct))
    between = 1.0 / (1.0 + np.exp(-(log_odds[1:] + log_odds[:-1]) / 2))
    return np.concatenate([distinct[:1], between, [1.0]])


def _weights_from(scored: Scored, cuts: Floats) -> tuple[Floats, Floats]:
    """Return the weight of fraud and of no fraud at or above each cut."""
    first = np.searchsorted(scored.scores[::-1], cuts, side="left")
    fraud = _fraud_share(scored, LABEL_SHARE)
    above = [np.append(np.cumsum(scored.weights * share)[::-1], 0.0)[first] for share in (fraud, 1.0 - fraud)]
    return above[0], above[1]
