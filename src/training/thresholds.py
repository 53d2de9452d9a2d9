"""Chooses the rule that decides: what costs least on the validation rows, within the capacity for reviews."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from core.decision import ExpectedLoss, Thresholds
from training.arrays import Flags, Floats, Rows
from training.costs import AssumedCosts, CostModel
from training.evaluate import Scored, curve_of

LABEL_SHARE = 0.5
"""What the label of a row counts against the model's own calibrated probability when a cost is estimated.

A few dozen validation frauds do not show the rare false alarm: on labels alone the cheapest place to decline may
lie anywhere above the last legitimate row that happened to be drawn.
"""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class OperatingPoint:
    """What flagging some transactions does to a stream with the real prevalence."""

    threshold: float | None
    """None where what is flagged does not hang on the score alone."""
    precision: float
    recall: float
    alert_rate: float
    n_frauds: int
    n_legitimate: int
    """Unweighted numbers of flagged rows."""


def choose_thresholds(scored: Scored, costs: CostModel, review_share: float = 1.0) -> Thresholds:
    """Return the pair with the least total cost among all cuts between the scores of `scored`.

    The cost of a pair is the sum of a term of the review cut and a term of the decline cut, so that two
    passes find the best pair. A cut lies halfway, in log-odds, between two scores; of equal pairs the highest.

    Parameters
    ----------
    review_share : at most this weighted share of the rows may lie between the two cuts
    """
    cuts = _cuts(scored)
    fraud, legitimate = _weights_from(scored, cuts)
    review_term = (costs.assumed.review - costs.missed_fraud) * fraud + costs.assumed.review * legitimate
    decline_term = (costs.assumed.false_decline - costs.assumed.review) * legitimate - costs.assumed.review * fraud
    flagged = (fraud + legitimate) / scored.weights.sum()
    # Cuts ascend, and the share flagged from each of them on descends.
    lowest = np.searchsorted(-flagged, -(flagged + review_share + _ROUNDING), side="left")
    best_review = _least_in_windows(review_term, lowest)
    total = review_term[best_review] + decline_term
    decline = int(np.flatnonzero(total == np.min(total))[-1])
    return Thresholds(review=float(cuts[best_review[decline]]), decline=float(cuts[decline]))


def choose_expected_loss(
    scored: Scored, amounts: Floats, amount_field: str, costs: AssumedCosts, review_share: float = 1.0
) -> ExpectedLoss:
    """Return the rule that decides each transaction by its own amount.

    There is nothing to choose but the shadow price of a review: the least one under which at most `review_share` of
    the rows, by weight, are sent to review. The rows then reviewed are those that gain most by it, which makes the
    rule the cheapest within the capacity (the multiplier of a constraint: Everett, Operations Research 11, 1963).

    Parameters
    ----------
    amounts : of the rows of `scored`, shape (n_rows,)
    """
    approve = scored.scores * costs.missed_fraud(amounts)
    decline = (1.0 - scored.scores) * costs.false_decline
    gain = np.minimum(approve, decline) - costs.review
    order = np.argsort(-gain, kind="stable")
    gain, share = gain[order], np.cumsum(scored.weights[order]) / scored.weights.sum()
    n_reviewed = min(int(np.sum(share <= review_share + _ROUNDING)), int(np.sum(gain >= 0.0)))
    price = 0.0
    if n_reviewed < len(gain) and gain[n_reviewed] >= 0.0:
        # Rows that gain the same are reviewed all or none.
        limit = gain[n_reviewed]
        higher = gain[gain > limit + _ROUNDING * (limit + costs.review)]
        price = float((limit + higher[-1]) / 2 if len(higher) else 2 * limit + costs.review)
    return ExpectedLoss(
        kind="expected_loss",
        amount_field=amount_field,
        loss_share=costs.loss_share,
        chargeback_fee=costs.chargeback_fee,
        false_decline=costs.false_decline,
        review=costs.review,
        review_shadow_price=price,
    )


def mean_cost(scored: Scored, thresholds: Thresholds | None, costs: CostModel, label_share: float = 1.0) -> float:
    """Return the mean cost of one transaction, each fraud at the mean amount; without thresholds all are approved.

    `label_share` 1 counts what happened, `LABEL_SHARE` is what `choose_thresholds` minimises.
    """
    fraud = _fraud_share(scored, label_share)
    cost = costs.missed_fraud * fraud
    if thresholds is not None:
        cost = np.where(scored.scores >= thresholds.review, costs.assumed.review, cost)
        cost = np.where(scored.scores >= thresholds.decline, costs.assumed.false_decline * (1.0 - fraud), cost)
    return float(scored.weights @ cost / scored.weights.sum())


def point_of(scored: Scored, flagged: Flags, threshold: float | None = None) -> OperatingPoint:
    """Describe what flagging these rows would do."""
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


def _least_in_windows(values: Floats, first: Rows) -> Rows:
    """Return where the least of values[first[j]] ... values[j] is, for each j; of equal ones the last.

    `first` does not descend, so that a queue of candidates does it in one pass.
    """
    candidates: deque[int] = deque()
    least = np.empty(len(values), dtype=np.intp)
    for j, (value, start) in enumerate(zip(values.tolist(), first.tolist(), strict=True)):
        while candidates and values[candidates[-1]] >= value:
            candidates.pop()
        candidates.append(j)
        while candidates[0] < start:
            candidates.popleft()
        least[j] = candidates[0]
    return least


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
