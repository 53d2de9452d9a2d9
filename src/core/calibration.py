"""Raw score of the model -> probability of fraud at the prevalence of the real world.

A row's result is the same bit for bit alone and in any position of a batch: NumPy does nothing here but additions,
multiplications and divisions, which IEEE 754 rounds correctly, and the one power is taken row by row.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Scores = npt.NDArray[np.float64]

_Inside = Annotated[float, Field(gt=0, lt=1)]
_Knot = Annotated[tuple[_Inside, _Inside], Field(strict=False)]


class PriorCorrection(BaseModel):
    """Undo the rebalancing of the training rows by scaling the odds.

    With prevalence q among the (weighted) training rows and prevalence p in the real world, the odds of a
    score are multiplied by ``odds_factor`` = (p / (1 - p)) / (q / (1 - q)): Saerens, Latinne and Decaestecker,
    "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 14 (2002), eq. 2.4;
    for undersampling it is the formula of Dal Pozzolo et al. (2015).
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["prior_correction"]
    odds_factor: Annotated[float, Field(gt=0, le=1e6)]

    def probabilities(self, scores: Scores) -> Scores:
        """Return calibrated probabilities in [0, 1], shape (n,), for raw scores in [0, 1], shape (n,)."""
        return _with_odds_scaled(scores, self.odds_factor)


class Platt(BaseModel):
    """Prior correction, then a straight line in log-odds: slope * log_odds + intercept.

    Platt, "Probabilistic outputs for support vector machines" (1999), applied to log-odds.
    """

    model_config = PriorCorrection.model_config

    kind: Literal["platt"]
    odds_factor: Annotated[float, Field(gt=0, le=1e6)]
    slope: Annotated[float, Field(gt=0, le=10)]
    """Bounded, as the intercept is, so that no odds overflow."""
    intercept: Annotated[float, Field(ge=-20, le=20)]

    def probabilities(self, scores: Scores) -> Scores:
        """Return calibrated probabilities in [0, 1], shape (n,), for raw scores in [0, 1], shape (n,)."""
        factor, slope, scale = self.odds_factor, self.slope, math.exp(self.intercept)

        def of(score: float) -> float:
            if score >= 1.0:
                return 1.0
            odds = scale * math.pow(score * factor / (1.0 - score), slope)
            return odds / (1.0 + odds)

        # math.pow and not np.power, whose last bit may depend on where in the array a value stands.
        return np.array([of(score) for score in scores.tolist()], dtype=np.float64)


def _rising(knots: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    steps = [(right[0] - left[0], right[1] - left[1]) for left, right in pairwise([(0.0, 0.0), *knots, (1.0, 1.0)])]
    if any(run <= 0.0 or rise <= 0.0 for run, rise in steps):
        raise ValueError("knots must rise strictly in both coordinates")
    if any(math.isinf(rise / run) for run, rise in steps):
        raise ValueError("knots lie too close to each other")
    return knots


class Isotonic(BaseModel):
    """Prior correction, then straight lines from (0, 0) through the knots to (1, 1).

    A step function would give many transactions one and the same probability and so destroy their order. The knots
    rise strictly, so that of two scores the higher keeps the higher probability: Oron and Flournoy, "Centered
    isotonic regression", Statistics in Biopharmaceutical Research 9 (2017).
    """

    model_config = PriorCorrection.model_config

    kind: Literal["isotonic"]
    odds_factor: Annotated[float, Field(gt=0, le=1e6)]
    knots: Annotated[tuple[_Knot, ...], Field(min_length=1, max_length=1000, strict=False), AfterValidator(_rising)]
    """(probability after prior correction, calibrated probability)."""

    def probabilities(self, scores: Scores) -> Scores:
        """Return calibrated probabilities in [0, 1], shape (n,), for raw scores in [0, 1], shape (n,)."""
        x, y, slopes = self._lines
        corrected = _with_odds_scaled(scores, self.odds_factor)
        line = np.searchsorted(x[1:-1], corrected, side="right")
        # The last bit of a product may lift a value above the end of its line.
        return np.minimum(y[line] + (corrected - x[line]) * slopes[line], y[line + 1])

    @cached_property
    def _lines(self) -> tuple[Scores, Scores, Scores]:
        x, y = np.array([(0.0, 0.0), *self.knots, (1.0, 1.0)]).T
        return x, y, np.diff(y) / np.diff(x)


Calibration: TypeAlias = Annotated[PriorCorrection | Platt | Isotonic, Field(discriminator="kind")]
"""What a bundle may hold; the kind tells which."""


def _with_odds_scaled(scores: Scores, factor: float) -> Scores:
    if len(scores) == 1:  # the same operations, and the same bits, in a third of the time
        score = scores.item()
        return np.array([score * factor / (score * factor + (1.0 - score))])
    weighted = scores * factor
    return weighted / (weighted + (1.0 - scores))
