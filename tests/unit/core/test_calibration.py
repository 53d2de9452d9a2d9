"""`PriorCorrection`: the odds are scaled, ends stay ends, ranks stay ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.calibration import PriorCorrection

SCORES = st.floats(0, 1)
FACTORS = st.floats(1e-9, 1e6)


def correction(odds_factor: float) -> PriorCorrection:
    return PriorCorrection(kind="prior_correction", odds_factor=odds_factor)


@pytest.mark.parametrize(
    ("score", "factor", "probability"),
    [(0.5, 1.0, 0.5), (0.5, 1 / 99, 0.01), (0.9, 1 / 9, 0.5), (0.0, 0.1, 0.0), (1.0, 0.1, 1.0)],
)
def test_probabilities_odds_are_multiplied(score: float, factor: float, probability: float) -> None:
    assert correction(factor).probabilities(np.array([score]))[0] == pytest.approx(probability, abs=1e-15)


def test_probabilities_agree_with_undersampling_formula() -> None:
    """Dal Pozzolo et al. (2015): p = beta p_s / (beta p_s - p_s + 1)."""
    beta, p_s = 0.02, np.linspace(0, 1, 101)

    assert correction(beta).probabilities(p_s) == pytest.approx(beta * p_s / (beta * p_s - p_s + 1), abs=1e-15)


@given(st.lists(SCORES, min_size=2), FACTORS)
def test_probabilities_stay_in_range_and_in_order(scores: list[float], factor: float) -> None:
    probabilities = correction(factor).probabilities(np.sort(np.array(scores)))

    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (np.diff(probabilities) >= -1e-15).all()


@given(st.lists(SCORES, min_size=1, max_size=40), FACTORS)
def test_probabilities_alone_and_together_are_the_same_bits(scores: list[float], factor: float) -> None:
    together = correction(factor).probabilities(np.array(scores))

    assert together.tolist() == [correction(factor).probabilities(np.array([score]))[0] for score in scores]


@pytest.mark.parametrize("factor", [0.0, -1.0, 1e7, float("inf"), float("nan"), "1", True])
def test_prior_correction_bad_factor_is_refused(factor: object) -> None:
    with pytest.raises(ValidationError):
        PriorCorrection.model_validate({"kind": "prior_correction", "odds_factor": factor})
