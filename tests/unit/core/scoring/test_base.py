"""`check_scores` and the shipped double."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from core.errors import ScorerNotReadyError, ScorerResponseError
from core.scoring.base import check_scores
from core.scoring.static import StaticScorer

FEATURES = np.zeros((3, 2), dtype=np.float32)


@pytest.mark.parametrize("scores", [[0.0, 0.5, 1.0], [5e-324, -0.0, 1.0]])
def test_check_scores_one_in_range_for_each_row_passes(scores: list[float]) -> None:
    assert check_scores(np.array(scores), 3).tolist() == scores


@pytest.mark.parametrize(
    "scores",
    [
        [0.5, 0.5],
        [0.5] * 4,
        [],
        [[0.5], [0.5], [0.5]],
        [0.5, 0.5, float("nan")],
        [float("inf"), 0.5, 0.5],
        [0.5, -1e-9, 0.5],
        [0.5, 0.5, 1.0000001],
    ],
    ids=["one-few", "one-many", "none", "matrix", "nan", "infinite", "negative", "above-one"],
)
def test_check_scores_anything_else_is_refused(scores: list[float]) -> None:
    with pytest.raises(ScorerResponseError, match="one score in"):
        check_scores(np.array(scores), 3)


def test_static_scorer_constant_is_given_to_each_row_and_the_call_is_noted() -> None:
    scorer = StaticScorer(0.25)

    assert asyncio.run(scorer.score(FEATURES)).tolist() == [0.25] * 3
    assert scorer.calls == [3]


def test_static_scorer_function_sees_the_matrix() -> None:
    scorer = StaticScorer(lambda features: features[:, 0] + 0.5)

    assert asyncio.run(scorer.score(FEATURES)).tolist() == [0.5] * 3


def test_static_scorer_error_is_raised_by_both_methods() -> None:
    scorer = StaticScorer(ScorerNotReadyError())

    with pytest.raises(ScorerNotReadyError):
        asyncio.run(scorer.score(FEATURES))
    with pytest.raises(ScorerNotReadyError):
        asyncio.run(scorer.check_ready())
