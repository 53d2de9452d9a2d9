"""Every kind: ends stay ends, ranks stay ranks, a row does not depend on its company, nonsense is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from core.calibration import Calibration, Isotonic, Platt, PriorCorrection

SCORES = st.floats(0, 1)
FACTORS = st.floats(1e-9, 1e6)
INSIDE = st.floats(1e-9, 1 - 1e-9)


def correction(odds_factor: float) -> PriorCorrection:
    return PriorCorrection(kind="prior_correction", odds_factor=odds_factor)


def platt(odds_factor: float, slope: float, intercept: float) -> Platt:
    return Platt(kind="platt", odds_factor=odds_factor, slope=slope, intercept=intercept)


def isotonic(odds_factor: float, *knots: tuple[float, float]) -> Isotonic:
    return Isotonic(kind="isotonic", odds_factor=odds_factor, knots=knots)


def isotonic_of(factor: float, x: set[float], y: set[float]) -> Isotonic:
    return isotonic(factor, *zip(sorted(x), sorted(y), strict=False))


CALIBRATIONS = st.one_of(
    st.builds(correction, FACTORS),
    st.builds(platt, FACTORS, st.floats(1e-3, 10), st.floats(-20, 20)),
    st.builds(isotonic_of, FACTORS, st.sets(INSIDE, min_size=1), st.sets(INSIDE, min_size=1)),
)


@pytest.mark.parametrize(
    ("score", "factor", "probability"),
    [(0.5, 1.0, 0.5), (0.5, 1 / 99, 0.01), (0.9, 1 / 9, 0.5), (0.0, 0.1, 0.0), (1.0, 0.1, 1.0)],
)
def test_prior_correction_odds_are_multiplied(score: float, factor: float, probability: float) -> None:
    assert correction(factor).probabilities(np.array([score]))[0] == pytest.approx(probability, abs=1e-15)


def test_prior_correction_agrees_with_undersampling_formula() -> None:
    """Dal Pozzolo et al. (2015): p = beta p_s / (beta p_s - p_s + 1)."""
    beta, p_s = 0.02, np.linspace(0, 1, 101)

    assert correction(beta).probabilities(p_s) == pytest.approx(beta * p_s / (beta * p_s - p_s + 1), abs=1e-15)


@given(st.floats(1e-12, 1 - 1e-12), FACTORS, st.floats(0.1, 3), st.floats(-5, 5))
def test_platt_is_a_line_in_log_odds(score: float, factor: float, slope: float, intercept: float) -> None:
    probability = platt(factor, slope, intercept).probabilities(np.array([score]))[0]

    margin = slope * math.log(score * factor / (1 - score)) + intercept
    assert probability == pytest.approx(1 / (1 + math.exp(-margin)), rel=1e-9)


def test_isotonic_goes_through_its_knots_and_straight_between_them() -> None:
    scores = np.array([0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])

    probabilities = isotonic(1.0, (0.2, 0.1), (0.6, 0.9)).probabilities(scores)

    assert probabilities == pytest.approx([0.0, 0.05, 0.1, 0.5, 0.9, 0.95, 1.0], abs=1e-15)


def test_isotonic_corrects_the_prior_first() -> None:
    assert isotonic(1 / 99, (0.01, 0.3)).probabilities(np.array([0.5]))[0] == pytest.approx(0.3, abs=1e-15)


def test_isotonic_keeps_different_scores_apart() -> None:
    scores = np.linspace(0.0, 1.0, 100_001)

    assert (np.diff(isotonic(0.3, (1e-4, 1e-6), (0.2, 0.3), (0.9, 0.31)).probabilities(scores)) > 0).all()


@given(CALIBRATIONS)
def test_probabilities_ends_stay_ends(calibration: Calibration) -> None:
    assert calibration.probabilities(np.array([0.0, 1.0])) == pytest.approx([0.0, 1.0], abs=1e-15)


@given(st.lists(SCORES, min_size=2), CALIBRATIONS)
def test_probabilities_stay_in_range_and_in_order(scores: list[float], calibration: Calibration) -> None:
    probabilities = calibration.probabilities(np.sort(np.array(scores)))

    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (np.diff(probabilities) >= -1e-15).all()


@given(st.lists(SCORES, min_size=1, max_size=40), CALIBRATIONS)
def test_probabilities_alone_and_together_are_the_same_bits(scores: list[float], calibration: Calibration) -> None:
    together = calibration.probabilities(np.array(scores))

    assert together.tolist() == [calibration.probabilities(np.array([score]))[0] for score in scores]


@given(CALIBRATIONS)
def test_calibration_comes_back_from_the_manifest_as_it_was(calibration: Calibration) -> None:
    adapter: TypeAdapter[Calibration] = TypeAdapter(Calibration)

    assert adapter.validate_json(calibration.model_dump_json()) == calibration


def changed(calibration: Calibration, **changes: Any) -> dict[str, Any]:
    return {**calibration.model_dump(), **changes}


@pytest.mark.parametrize("odds_factor", [0.0, -1.0, 1e7, float("inf"), float("nan"), "1", True])
@pytest.mark.parametrize("valid", [correction(1.0), platt(1.0, 1.0, 0.0), isotonic(1.0, (0.5, 0.4))])
def test_calibration_bad_factor_is_refused(valid: Calibration, odds_factor: object) -> None:
    with pytest.raises(ValidationError):
        type(valid).model_validate(changed(valid, odds_factor=odds_factor))


@pytest.mark.parametrize(
    "changes",
    [{"slope": 0.0}, {"slope": -1.0}, {"slope": 11.0}, {"intercept": 21.0}, {"intercept": float("nan")}, {"more": 1}],
)
def test_platt_that_would_invert_or_overflow_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Platt.model_validate(changed(platt(1.0, 1.0, 0.0), **changes))


@pytest.mark.parametrize(
    "knots",
    [
        [],
        [(0.0, 0.5)],
        [(0.5, 1.0)],
        [(0.2, 0.5), (0.2, 0.6)],
        [(0.2, 0.5), (0.3, 0.5)],
        [(0.2, 0.5), (0.3, 0.4)],
        [(0.3, 0.4), (0.2, 0.5)],
        [(1e-320, 0.5)],
        [(0.2, float("nan"))],
        [(0.2, "0.3")],
        [(0.2,)],
        [(step / 2000, step / 2000) for step in range(1, 1002)],
    ],
    ids=lambda knots: str(knots)[:30],
)
def test_isotonic_knots_that_do_not_rise_are_refused(knots: list[Any]) -> None:
    with pytest.raises(ValidationError):
        Isotonic.model_validate(changed(isotonic(1.0, (0.5, 0.4)), knots=knots))
