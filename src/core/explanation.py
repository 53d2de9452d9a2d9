"""Reasons for a score: Shapley values of the posted fields, measured against typical legitimate transactions.

The value of a set of fields is the log-odds of the calibrated probability when those fields are the transaction's and
all others those of a row of the baseline, averaged over its rows: Lundberg and Lee, "A unified approach to
interpreting model predictions", NeurIPS 2017, with the baseline as the background. The average over the orders in
which fields can change sides is sampled by permutations and their reverses (Mitchell, Cooper, Frank and Holmes,
"Sampling permutations for Shapley value estimation", JMLR 23, 2022, section 2), one such pair for each row of the
baseline. It takes nothing but scores, so that it is the same thing whatever scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from core.calibration import Scores
from core.preprocessing import FieldSpec, FieldValues

MAX_REASONS = 5
NO_REASONS, NO_BASELINE = "not_available", "This model has no baseline that reasons could be measured against."
"""Code and text for who asks a bundle for reasons that it cannot give."""

_SEED = 20260101
_HIGHEST_SCORE = 1.0 - 2.0**-24
"""The largest score below 1 in float32, which is what an endpoint answers in: 1 says no more than this."""
_LEAST_PROBABILITY = 1e-12
"""Nearer to 0 or to 1, probabilities are no further apart in evidence: a calibration may answer 0 itself."""
_LEAST_IMPACT = 1e-9
"""Below this an impact is the rounding of others that cancel."""

Impacts = npt.NDArray[np.float64]
"""Differences of log-odds, shape (n_transactions, n_fields)."""


@dataclass(frozen=True, slots=True)
class Reason:
    """How far one field moved the log-odds of fraud away from those of the baseline."""

    feature: str
    label: str | None
    """The field's text for people, if the bundle has one."""
    value: float
    impact: float

    @property
    def direction(self) -> Literal["raises", "lowers"]:
        return "raises" if self.impact > 0 else "lowers"

    def as_dict(self) -> dict[str, Any]:
        """Return the reason as callers get it."""
        return {
            "feature": self.feature,
            **({} if self.label is None else {"label": self.label}),
            "value": self.value,
            "impact": self.impact,
            "direction": self.direction,
        }


class Explainer:
    """Derives the rows whose scores explain transactions, and reads the reasons from those scores."""

    def __init__(
        self,
        fields: Sequence[FieldSpec],
        used: Collection[str],
        baseline: Sequence[Sequence[float]],
        calibrate: Callable[[Scores], Scores],
    ) -> None:
        """Prepare the rows to derive.

        Parameters
        ----------
        used : names of the fields that reach the model; the others are never reasons
        baseline : typical legitimate transactions, shape (n_baseline, n_fields)
        calibrate : raw scores -> probabilities
        """
        self._fields = tuple(fields)
        self._calibrate = calibrate
        self._players = np.array([index for index, field in enumerate(fields) if field.name in used])
        self._baseline = np.array(baseline, dtype=np.float64)
        n_players = len(self._players)
        # Not a Generator: only the streams of the old class are promised to stay as they are from release to release.
        random = np.random.RandomState(_SEED)
        orders = [order for _ in baseline for order in _antithetic_pair(random.permutation(n_players))]
        self._ranks = np.argsort(orders, axis=1)
        """Shape (n_orders, n_players): when each field changes sides."""
        self._masks = np.zeros((len(orders), n_players - 1, len(fields)), dtype=np.bool_)
        """Which values are the transaction's, between all of the baseline's and all of its own."""
        for mask, rank in zip(self._masks, self._ranks, strict=True):
            mask[:, self._players] = rank[np.newaxis, :] <= np.arange(n_players - 1)[:, np.newaxis]

    def n_rows(self, n_transactions: int) -> int:
        """Return how many rows are scored to score and explain so many transactions."""
        return len(self._baseline) + n_transactions * (1 + self._masks.shape[0] * self._masks.shape[1])

    def derive(self, values: FieldValues) -> FieldValues:
        """Return the rows to score, the transactions themselves first, for values of shape (n, n_fields)."""
        sides = np.repeat(self._baseline, 2, axis=0)[:, np.newaxis, :]
        mixed = np.where(self._masks, values[:, np.newaxis, np.newaxis, :], sides)
        return np.concatenate([values, self._baseline, mixed.reshape(-1, values.shape[1])])

    def impacts(self, scores: Scores) -> Impacts:
        """Return the impact of each field from the raw scores of the derived rows.

        The impacts of a transaction sum to its log-odds less the mean of the baseline's, up to rounding. Those of
        fields that the model does not see are 0.
        """
        n_orders, n_inner, n_fields = self._masks.shape
        n_baseline = len(self._baseline)
        n = (len(scores) - n_baseline) // (1 + n_orders * n_inner)
        own, base, mixed = np.split(self._log_odds(scores), [n, n + n_baseline])
        impacts = np.zeros((n, n_fields))
        chain = np.empty((n_orders, n_inner + 2))
        chain[:, 0] = np.repeat(base, 2)
        # One transaction at a time, so that its impacts come out of the same additions, alone or in a batch.
        for index, inner in enumerate(mixed.reshape(n, n_orders, n_inner)):
            chain[:, 1:-1], chain[:, -1] = inner, own[index]
            steps = np.take_along_axis(np.diff(chain, axis=1), self._ranks, axis=1)
            impacts[index, self._players] = steps.sum(axis=0) / n_orders
        return impacts

    def reasons(self, values: FieldValues, scores: Scores) -> list[tuple[Reason, ...]]:
        """Return up to five reasons for each transaction, the strongest first.

        Parameters
        ----------
        values : the transactions, shape (n, n_fields)
        scores : the raw scores of the rows that `derive` made of them
        """
        impacts = self.impacts(scores)
        strongest = np.argsort(-np.abs(impacts), axis=1, kind="stable")[:, :MAX_REASONS]
        return [
            tuple(
                Reason(self._fields[column].name, self._fields[column].label, row[column], impact[column])
                for column in columns
                if abs(impact[column]) >= _LEAST_IMPACT
            )
            for row, impact, columns in zip(values.tolist(), impacts.tolist(), strongest.tolist(), strict=True)
        ]

    def _log_odds(self, scores: Scores) -> Scores:
        probabilities = self._calibrate(np.minimum(scores, _HIGHEST_SCORE))
        certain = np.clip(probabilities, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
        # The last bit of a vectorised logarithm may depend on the place of a number in the array.
        return np.array([math.log(odds) for odds in (certain / (1.0 - certain)).tolist()])


def _antithetic_pair(order: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return order, order[::-1]
