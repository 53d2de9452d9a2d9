"""Rules compared: what each decides on the same rows, what that costs, and within which interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.decision import Decider, Decision, ExpectedLoss, Thresholds
from core.manifest import Metric
from core.preprocessing import FieldValues
from training.arrays import Flags, Floats
from training.costs import AssumedCosts
from training.data import Table
from training.evaluate import N_RESAMPLES, RESAMPLES_AT_ONCE, Scored, interval, resample_weights
from training.schema import TableSchema

Rule = Thresholds | ExpectedLoss
Decisions = npt.NDArray[np.str_]
DECISIONS: tuple[Decision, ...] = ("approve", "review", "decline")
APPROVE_ALL = "approve everything"
ONE_HALF = "decline from 0.5 on"


@dataclass(frozen=True)
class Stream:
    """Scored rows with all their fields; rows without weight are left out."""

    scored: Scored
    values: FieldValues
    """Shape (n_rows, n_fields), in the order of `scored`."""
    schema: TableSchema

    @classmethod
    def of(cls, scored: Scored, table: Table, schema: TableSchema) -> Stream:
        """Join the rows of `table` to their scores."""
        return cls(scored, table.values[scored.rows], schema)

    @property
    def amounts(self) -> Floats:
        return np.asarray(self.values[:, self.schema.amount_column])

    def decisions(self, rule: Rule | None) -> Decisions:
        """Return what the code that serves decides on each row; no rule approves everything."""
        if rule is None:
            return np.full(len(self.values), "approve")
        return np.array(Decider(rule, self.schema.field_names).decide(self.scored.scores.tolist(), self.values))


@dataclass(frozen=True)
class Outcome:
    """What one rule does to a stream with the real prevalence."""

    mean_cost: Metric
    """Of one transaction."""
    shares: dict[Decision, float]
    """Weighted share of the transactions that are decided so."""
    n_frauds: dict[Decision, int]
    n_legitimate: dict[Decision, int]
    """Unweighted numbers of rows."""


def compare(
    stream: Stream,
    rules: Mapping[str, Rule | None],
    costs: AssumedCosts,
    seed: int,
    n_resamples: int = N_RESAMPLES,
    on_progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Outcome]:
    """Return the outcome of each rule; the intervals come from the same resamples for all of them."""
    decisions = [stream.decisions(rule) for rule in rules.values()]
    row_costs = np.column_stack([costs_of_rows(stream, each, costs) for each in decisions])
    rng = np.random.default_rng(seed)
    resampled = []
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        weights = resample_weights(stream.scored, min(RESAMPLES_AT_ONCE, n_resamples - start), rng)
        resampled.append(weights @ row_costs / weights.sum(axis=1, keepdims=True))
        on_progress(min(1.0, (start + RESAMPLES_AT_ONCE) / n_resamples))
    means = np.concatenate(resampled)
    weights = stream.scored.weights
    return {
        name: _outcome(stream.scored, decided, interval(float(weights @ cost / weights.sum()), means[:, column]))
        for column, (name, decided, cost) in enumerate(zip(rules, decisions, row_costs.T, strict=True))
    }


def costs_of_rows(stream: Stream, decisions: Decisions, costs: AssumedCosts) -> Floats:
    """Return what each row costs when it is decided so, each fraud at its own amount."""
    is_fraud = stream.scored.is_fraud
    approved = np.where(is_fraud, costs.missed_fraud(stream.amounts), 0.0)
    declined = np.where(is_fraud, 0.0, costs.false_decline)
    return np.select([decisions == "approve", decisions == "review"], [approved, costs.review], declined)


def standard_rules(chosen: Rule) -> dict[str, Rule | None]:
    """Return what a rule is compared with: doing nothing, and the threshold that nobody chose."""
    return {"chosen": chosen, APPROVE_ALL: None, ONE_HALF: Thresholds(review=0.5, decline=0.5)}


def flagged(decisions: Decisions, least: Decision) -> Flags:
    """Return which rows are decided at least as strictly as `least`."""
    return np.isin(decisions, DECISIONS[DECISIONS.index(least) :])


def rule_in_words(rule: Rule) -> str:
    """Return one sentence."""
    if isinstance(rule, Thresholds):
        return f"Review from {rule.review:.4g}, decline from {rule.decline:.4g}."
    scarcity = f" and {rule.review_shadow_price:.2f} for its scarcity" if rule.review_shadow_price else ""
    return (
        f"The least expected loss for the amount in {rule.amount_field}: {rule.loss_share:.4g} of it and "
        f"{rule.chargeback_fee:.2f} for an approved fraud, {rule.false_decline:.2f} for a declined legitimate "
        f"transaction, {rule.review:.2f}{scarcity} for a review."
    )


def cuts_of(rule: Rule) -> tuple[float, ...]:
    """Return the cuts on the score, if there are any."""
    return (rule.review, rule.decline) if isinstance(rule, Thresholds) else ()


def _outcome(scored: Scored, decisions: Decisions, cost: Metric) -> Outcome:
    def count(rows: Sequence[bool] | Flags) -> dict[Decision, int]:
        return {each: int(((decisions == each) & rows).sum()) for each in DECISIONS}

    total = scored.weights.sum()
    return Outcome(
        mean_cost=cost,
        shares={each: float(scored.weights[decisions == each].sum() / total) for each in DECISIONS},
        n_frauds=count(scored.is_fraud),
        n_legitimate=count(~scored.is_fraud),
    )
