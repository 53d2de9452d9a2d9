"""What the manifest records of how decisions were chosen, and of what they cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.decision import Thresholds
from training.costs import Capacity, CostModel
from training.policies import Outcome, Rule, Stream, compare, flagged, standard_rules
from training.thresholds import LABEL_SHARE, OperatingPoint, point_of


def describe_decisions(
    rule: Rule, costs: CostModel, capacity: Capacity | None, parts: dict[str, Stream], seed: int
) -> dict[str, Any]:
    """Return the member `decisions` of the manifest's `training`.

    Parameters
    ----------
    parts : rows to judge the rule on, by name; those it was chosen on are called `validation`
    """
    return {
        "costs": {
            "mean_fraud_amount": costs.mean_fraud_amount,
            "missed_fraud": costs.missed_fraud,
            **asdict(costs.assumed),
        },
        "capacity": None if capacity is None else asdict(capacity),
        "label_share": LABEL_SHARE,
        **{name: _describe_part(rule, costs, stream, seed) for name, stream in parts.items()},
    }


def operating_points(rule: Rule, stream: Stream) -> dict[str, OperatingPoint]:
    """Return what is flagged by `review` and anything stricter, and what by `decline`."""
    decisions = stream.decisions(rule)
    review, decline = (rule.review, rule.decline) if isinstance(rule, Thresholds) else (None, None)
    return {
        "review": point_of(stream.scored, flagged(decisions, "review"), review),
        "decline": point_of(stream.scored, flagged(decisions, "decline"), decline),
    }


def _describe_part(rule: Rule, costs: CostModel, stream: Stream, seed: int) -> dict[str, Any]:
    outcomes = compare(stream, standard_rules(rule), costs.assumed, seed)
    return {
        **{name: asdict(point) for name, point in operating_points(rule, stream).items()},
        "n_frauds": stream.scored.n_frauds,
        "n_legitimate": stream.scored.n_legitimate,
        "outcomes": {name: _describe_outcome(outcome) for name, outcome in outcomes.items()},
    }


def _describe_outcome(outcome: Outcome) -> dict[str, Any]:
    return {**asdict(outcome), "mean_cost": outcome.mean_cost.model_dump()}
