import numpy as np
import pytest

from core.calibration import PriorCorrection
from training.calibrate import choose_calibration, fit_isotonic, fit_platt
from training.evaluate import Scored

PRIOR = PriorCorrection(kind="prior_correction", odds_factor=0.5)


def rows(slope=1.0, intercept=0.0, n_rows=40_000, seed=1):
    """Raw scores whose log-odds, after the prior correction, are off by a line; a legitimate row weighs three."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(-3.0, 2.0, n_rows)
    is_fraud = rng.random(n_rows) < 1 / (1 + 3 * np.exp(-(slope * margins + intercept)))
    raw = 1 / (1 + np.exp(-(margins - np.log(PRIOR.odds_factor))))
    return Scored.of(raw, is_fraud, np.where(is_fraud, 3.0, 1.0))


def test_choose_calibration_right_probabilities_are_left_alone():
    choice = choose_calibration(rows(), PRIOR.odds_factor, seed=1)

    assert choice.calibration == PRIOR
    assert choice.trials["prior_correction"].gain == 0.0
    assert set(choice.trials) == {"prior_correction", "platt", "isotonic"}


def test_choose_calibration_wrong_slope_is_mended_by_a_line():
    choice = choose_calibration(rows(slope=0.5, intercept=1.0), PRIOR.odds_factor, seed=1)

    assert choice.calibration.kind == "platt"
    assert choice.calibration.slope == pytest.approx(0.5, abs=0.05)
    assert choice.calibration.intercept == pytest.approx(1.0, abs=0.1)
    assert choice.trials["platt"].log_loss < choice.trials["prior_correction"].log_loss
    assert choice.trials["platt"].brier < choice.trials["prior_correction"].brier


def test_choose_calibration_error_that_is_no_line_is_mended_by_steps():
    scored = rows()
    bent = Scored.of(np.where(scored.scores > 0.3, scored.scores, scored.scores**3), scored.is_fraud, scored.weights)

    choice = choose_calibration(bent, PRIOR.odds_factor, seed=1)

    assert choice.calibration.kind == "isotonic"


def test_choose_calibration_small_gain_is_not_trusted():
    choice = choose_calibration(rows(slope=0.9, n_rows=300), PRIOR.odds_factor, seed=1)

    assert choice.calibration == PRIOR


def test_choose_calibration_depends_on_rows_and_seed_alone():
    scored = rows(slope=0.5, n_rows=2000)

    assert choose_calibration(scored, 0.5, 1) == choose_calibration(scored, 0.5, 1)
    assert choose_calibration(scored, 0.5, 1).trials["platt"] != choose_calibration(scored, 0.5, 2).trials["platt"]


def test_choose_calibration_few_frauds_are_not_fitted_on():
    scored = rows(n_rows=4000)
    few = np.flatnonzero(~scored.is_fraud).tolist() + np.flatnonzero(scored.is_fraud)[:4].tolist()

    choice = choose_calibration(Scored.of(scored.scores[few], scored.is_fraud[few], scored.weights[few]), 0.5, 1)

    assert list(choice.trials) == ["prior_correction"]


def test_fit_isotonic_ranks_as_before_and_matches_the_observed_shares():
    scored = rows(slope=0.5, intercept=1.0)
    probabilities = fit_isotonic(scored, PRIOR).probabilities(scored.scores)

    assert (np.diff(probabilities)[np.diff(scored.scores) < 0] < 0).all()
    top = scored.scores > np.quantile(scored.scores, 0.9)
    observed = np.average(scored.is_fraud[top], weights=scored.weights[top])
    assert np.average(probabilities[top], weights=scored.weights[top]) == pytest.approx(observed, abs=0.02)


def test_fit_isotonic_classes_that_do_not_overlap_make_no_knot():
    scored = Scored.of(np.linspace(0.1, 0.9, 40), np.arange(40) >= 20, np.ones(40))

    assert fit_isotonic(scored, PRIOR) is None


def test_fit_platt_scores_that_rank_the_wrong_way_round_are_not_turned():
    scored = rows()

    assert fit_platt(Scored.of(1.0 - scored.scores, scored.is_fraud, scored.weights), PRIOR) is None
