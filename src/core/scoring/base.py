"""The port that every scorer implements, and the check that every answer passes."""

from __future__ import annotations

from typing import Protocol

from core.calibration import Scores
from core.errors import ScorerResponseError
from core.preprocessing import FeatureMatrix


class Scorer(Protocol):
    """Turns feature vectors into raw scores: a rank in [0, 1], not yet a probability."""

    name: str
    keeps_loop_busy: bool
    """While it scores a few rows nothing else goes on, so that rows of many requests are better scored together."""

    async def score(self, features: FeatureMatrix) -> Scores:
        """Return one raw score in [0, 1] for each row, shape (n,), for features of shape (n, n_features).

        Raises
        ------
        ScorerError
            There is no score for at least one row; then there is none for any.
        """
        ...

    async def check_ready(self) -> None:
        """Return when the scorer could score now.

        Raises
        ------
        ScorerError
            It could not.
        """
        ...

    def close(self, *, wait: bool = True) -> None:
        """Give threads and connections back, those of calls under way once they end; `wait` for that.

        Nothing may be scored any more.
        """
        ...


def check_scores(scores: Scores, n_rows: int) -> Scores:
    """Return `scores` if there is one finite number in [0, 1] for each of `n_rows` rows.

    Raises
    ------
    ScorerResponseError
        There are more or fewer, or one is out of range or not a number.
    """
    if scores.shape != (n_rows,) or not _are_in_range(scores):
        raise ScorerResponseError("The scorer did not answer with one score in [0, 1] for each transaction.")
    return scores


def _are_in_range(scores: Scores) -> bool:
    # NaN fails both comparisons, so that it fails the check. For one row NumPy would take five times as long.
    if len(scores) == 1:
        return 0.0 <= scores.item() <= 1.0
    return bool(((scores >= 0.0) & (scores <= 1.0)).all())
