"""Chooses how raw scores become probabilities, on the validation rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from core.calibration import Calibration, Isotonic, Platt, PriorCorrection
from training.arrays import Floats, Rows
from training.evaluate import Scored

N_FOLDS = 5
N_STANDARD_ERRORS = 2.0
"""By how many of its standard errors a gain must exceed zero. With a few dozen frauds one of two candidates will
often look a little better by chance, and a needless step makes every later score harder to account for."""

_MAX_KNOTS = 1000
_SMALLEST = 1e-15
"""No probability is taken to be nearer to 0 or 1: one such mistake would cost infinitely much."""


@dataclass(frozen=True)
class CalibrationTrial:
    """What one kind reached on validation rows that it was not fitted on, weighted to the real prevalence."""

    log_loss: float
    brier: float
    gain: float
    """By how much the log loss is below that of the prior correction alone."""
    standard_error: float
    """Of the gain."""


@dataclass(frozen=True)
class CalibrationChoice:
    """The calibration to serve, and what each kind reached that could be fitted."""

    calibration: Calibration
    trials: dict[str, CalibrationTrial]


def choose_calibration(raw: Scored, odds_factor: float, seed: int) -> CalibrationChoice:
    """Return the kind with the least cross-validated log loss among those that beat the prior correction beyond noise.

    Parameters
    ----------
    raw : raw scores of the validation rows. They also said when to stop growing trees, so that they flatter
        the booster a little, but every kind alike.
    """
    prior = PriorCorrection(kind="prior_correction", odds_factor=odds_factor)
    trials = {"prior_correction": _trial(raw, prior.probabilities(raw.scores), prior.probabilities(raw.scores))}
    chosen: Calibration = prior
    for name, fit in _FITS.items():
        whole, out_of_fold = fit(raw, prior), _out_of_fold(raw, prior, fit, seed)
        if whole is None or out_of_fold is None:
            continue
        trials[name] = trial = _trial(raw, out_of_fold, prior.probabilities(raw.scores))
        is_certain = trial.gain > N_STANDARD_ERRORS * trial.standard_error
        if is_certain and trial.gain > trials[chosen.kind].gain:
            chosen = whole
    return CalibrationChoice(chosen, trials)


def fit_platt(raw: Scored, prior: PriorCorrection) -> Platt | None:
    """Return the line in log-odds with the least weighted log loss, or None if it would turn the ranking over."""
    log_odds = _log_odds(prior.probabilities(raw.scores))[:, np.newaxis]
    # Without a penalty. Weights of mean 1 keep the stopping rule of the solver meaningful.
    line = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    line.fit(log_odds, raw.is_fraud, sample_weight=raw.weights / raw.weights.mean())
    slope, intercept = float(line.coef_[0, 0]), float(line.intercept_[0])
    if not (0.0 < slope <= 10.0 and abs(intercept) <= 20.0):
        return None
    return Platt(kind="platt", odds_factor=prior.odds_factor, slope=slope, intercept=intercept)


def fit_isotonic(raw: Scored, prior: PriorCorrection) -> Isotonic | None:
    """Return lines through the centres of the blocks of the weighted isotonic regression, or None without any.

    A block whose rows are all legitimate, or all frauds, says nothing of how much to trust its scores and makes no
    knot: below the lowest knot probabilities are scaled, and keep their order.
    """
    x, distinct = np.unique(prior.probabilities(raw.scores), return_inverse=True)
    weights = np.bincount(distinct, raw.weights)
    share = np.bincount(distinct, raw.weights * raw.is_fraud) / weights
    values, block = np.unique(isotonic_regression(share, sample_weight=weights), return_inverse=True)
    centres = np.bincount(block, weights * x) / np.bincount(block, weights)
    knots = [(centre, value) for centre, value in zip(centres.tolist(), values.tolist(), strict=True) if 0 < value < 1]
    if not 0 < len(knots) <= _MAX_KNOTS:
        return None
    return Isotonic(kind="isotonic", odds_factor=prior.odds_factor, knots=tuple(knots))


Fit = Callable[[Scored, PriorCorrection], Platt | Isotonic | None]
_FITS: dict[str, Fit] = {"platt": fit_platt, "isotonic": fit_isotonic}


def _out_of_fold(raw: Scored, prior: PriorCorrection, fit: Fit, seed: int) -> Floats | None:
    """Return a probability for each row by a calibration fitted on the other folds; None if one cannot be."""
    if min(raw.n_frauds, raw.n_legitimate) < N_FOLDS:
        return None
    probabilities = np.empty(len(raw.scores))
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    for others, fold in folds.split(raw.scores, raw.is_fraud):
        calibration = fit(_rows(raw, others), prior)
        if calibration is None:
            return None
        probabilities[fold] = calibration.probabilities(raw.scores[fold])
    return probabilities


def _rows(raw: Scored, rows: Rows) -> Scored:
    return Scored.of(raw.scores[rows], raw.is_fraud[rows], raw.weights[rows])


def _trial(raw: Scored, probabilities: Floats, by_prior: Floats) -> CalibrationTrial:
    loss = _log_losses(raw, probabilities)
    gains = _log_losses(raw, by_prior) - loss
    weights = raw.weights / raw.weights.sum()
    # The mean of a stratified sample: one class after the other.
    variance = sum(
        weights[of_class].sum() ** 2 * gains[of_class].var(ddof=1) / of_class.sum()
        for of_class in (raw.is_fraud, ~raw.is_fraud)
        if of_class.sum() > 1
    )
    return CalibrationTrial(
        log_loss=float(weights @ loss),
        brier=float(weights @ (probabilities - raw.is_fraud) ** 2),
        gain=float(weights @ gains),
        standard_error=float(np.sqrt(variance)),
    )


def _log_losses(raw: Scored, probabilities: Floats) -> Floats:
    of_truth = np.where(raw.is_fraud, probabilities, 1.0 - probabilities)
    return -np.log(np.maximum(of_truth, _SMALLEST))


def _log_odds(probabilities: Floats) -> Floats:
    inside = np.clip(probabilities, _SMALLEST, 1.0 - _SMALLEST)
    return np.log(inside / (1.0 - inside))
