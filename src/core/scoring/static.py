"""The shipped test double: a scorer that answers what it was told to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.calibration import Scores
from core.preprocessing import FeatureMatrix


class StaticScorer:
    """Answers each row with a fixed score, with a function of the matrix, or with an error.

    For tests and for wiring without a model. It cannot be chosen by a setting: a constant is no fraud score.
    """

    name = "static"
    keeps_loop_busy = False

    def __init__(self, answer: float | Exception | Callable[[FeatureMatrix], Scores]) -> None:
        self.answer = answer
        self.calls: list[int] = []
        """The number of rows of each call so far."""

    async def score(self, features: FeatureMatrix) -> Scores:
        self.calls.append(len(features))
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            return self.answer(features)
        return np.full(len(features), self.answer)

    async def check_ready(self) -> None:
        if isinstance(self.answer, Exception):
            raise self.answer

    def close(self, *, wait: bool = True) -> None:
        """Nothing is held."""
