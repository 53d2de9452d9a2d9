"""How good a score is: weighted figures, each with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.manifest import Metric
from training.arrays import Flags, Floats, Rows

N_RESAMPLES = 1000
CONFIDENCE = 0.95
TARGET_PRECISION = 0.90
N_RELIABILITY_BINS = 10
RESAMPLES_AT_ONCE = 50


@dataclass(frozen=True)
class Scored:
    """Scores with the truth and the weight of each row; rows without weight take no part."""

    scores: Floats
    is_fraud: Flags
    weights: Floats
    rows: Rows
    """Where each row stood before they were put in order."""

    @classmethod
    def of(cls, scores: Floats, is_fraud: Flags, weights: Floats) -> Scored:
        """Keep the rows that weigh something, best score first."""
        order = np.argsort(-scores, kind="stable")
        order = order[weights[order] > 0]
        return cls(scores[order], is_fraud[order], weights[order], order)

    @property
    def n_frauds(self) -> int:
        return int(self.is_fraud.sum())

    @property
    def n_legitimate(self) -> int:
        return len(self.is_fraud) - self.n_frauds


@dataclass(frozen=True)
class Curve:
    """Cumulative weights at each distinct score, from the highest down; shape (..., n_distinct)."""

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats

    @property
    def recall(self) -> Floats:
        return self.true_positives / self.true_positives[..., -1:]

    @property
    def precision(self) -> Floats:
        flagged = self.true_positives + self.false_positives
        # A resample may miss the first rows altogether: nothing flagged, nothing wrong.
        return np.divide(self.true_positives, flagged, out=np.ones_like(flagged), where=flagged > 0)


def curve_of(scored: Scored, weights: Floats | None = None) -> Curve:
    """Return the curve under the rows' own weights or under each row of `weights`, shape (n_resamples, n)."""
    weights = scored.weights if weights is None else weights
    last_of_tie = np.flatnonzero(np.append(np.diff(scored.scores) != 0, True))
    return Curve(
        scored.scores[last_of_tie],
        np.cumsum(weights * scored.is_fraud, axis=-1)[..., last_of_tie],
        np.cumsum(weights * ~scored.is_fraud, axis=-1)[..., last_of_tie],
    )


def average_precision(curve: Curve) -> Floats:
    """Return the sum of precision times the step in recall; no interpolation."""
    steps = np.diff(curve.recall, axis=-1, prepend=0.0)
    return np.asarray((steps * curve.precision).sum(axis=-1))


def roc_auc(curve: Curve) -> Floats:
    """Return the chance that a fraud scores above a legitimate row; a tie counts one half."""
    share = curve.false_positives / curve.false_positives[..., -1:]
    width = np.diff(share, axis=-1, prepend=0.0)
    height = curve.recall - np.diff(curve.recall, axis=-1, prepend=0.0) / 2
    return np.asarray((width * height).sum(axis=-1))


def best_f1(curve: Curve) -> Floats:
    """Return the largest harmonic mean of precision and recall over all thresholds."""
    flagged = curve.true_positives + curve.false_positives
    return np.asarray((2 * curve.true_positives / (flagged + curve.true_positives[..., -1:])).max(axis=-1))


def recall_at_precision(curve: Curve, target: float = TARGET_PRECISION) -> Floats:
    """Return the largest recall among thresholds with at least the target precision; 0 if there is none."""
    return np.asarray(np.where(curve.precision >= target, curve.recall, 0.0).max(axis=-1))


def reliability_bins(scored: Scored) -> Rows:
    """Return where each bin of the reliability curve begins; equal scores share one. Rows come best score first.

    Bins are of equal mass, of which each class has one half: with plain quantiles at a prevalence of 0.2 %, one
    bin would hold all frauds and every score that decides anything.
    """
    share = np.where(scored.is_fraud, 1.0 / max(scored.n_frauds, 1), 1.0 / max(scored.n_legitimate, 1))
    # The middle of a row says which bin it is in.
    bin_of_row = np.floor((np.cumsum(share) - share / 2) / share.sum() * N_RELIABILITY_BINS)
    first_of_bin = np.flatnonzero(np.diff(bin_of_row, prepend=-1.0))
    # A bin that would begin amid equal scores begins before them.
    is_new_score = np.diff(scored.scores, prepend=np.inf) != 0
    first_of_tie = np.maximum.accumulate(np.where(is_new_score, np.arange(len(share)), 0))
    return np.asarray(np.unique(first_of_tie[first_of_bin]), dtype=np.intp)


def expected_calibration_error(scored: Scored, weights: Floats) -> Floats:
    """Return the sum over the reliability bins of (share of the weight) * |mean score - share of frauds|.

    Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI (2015),
    with bins of equal mass in place of equal width, as in Nguyen and O'Connor, EMNLP (2015). It is biased upwards,
    and resampling biases it once more: its interval leans to the right of the value.
    """
    gaps = np.add.reduceat(weights * (scored.scores - scored.is_fraud), reliability_bins(scored), axis=-1)
    return np.asarray(np.abs(gaps).sum(axis=-1) / weights.sum(axis=-1))


def _figures(scored: Scored, weights: Floats) -> dict[str, Floats]:
    """Return name -> value for each row of `weights`, shape (n_resamples,)."""
    curve = curve_of(scored, weights)
    legitimate = weights * ~scored.is_fraud
    error = (scored.scores - scored.is_fraud) ** 2
    return {
        "roc_auc": roc_auc(curve),
        "average_precision": average_precision(curve),
        "best_f1": best_f1(curve),
        "recall_at_90_precision": recall_at_precision(curve),
        "brier": weights @ error / weights.sum(axis=-1),
        "expected_calibration_error": expected_calibration_error(scored, weights),
        "mean_fraud_score_legitimate": legitimate @ scored.scores / legitimate.sum(axis=-1),
    }


def point_values(scored: Scored) -> dict[str, float]:
    """Return every figure without an interval."""
    return {name: float(value[0]) for name, value in _figures(scored, scored.weights[np.newaxis]).items()}


def evaluate(
    scored: Scored, seed: int, n_resamples: int = N_RESAMPLES, on_progress: Callable[[float], None] = lambda _: None
) -> dict[str, Metric]:
    """Return every figure with its percentile interval over stratified bootstrap resamples.

    Each resample draws as many frauds and as many legitimate rows as there are, with replacement.
    `on_progress` is told the share of resamples done.
    """
    chunks: list[dict[str, Floats]] = []
    rng = np.random.default_rng(seed)
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        size = min(RESAMPLES_AT_ONCE, n_resamples - start)
        chunks.append(_figures(scored, resample_weights(scored, size, rng)))
        on_progress((start + size) / n_resamples)
    return {
        name: interval(value, np.concatenate([chunk[name] for chunk in chunks]))
        for name, value in point_values(scored).items()
    }


def interval(value: float, resampled: Floats) -> Metric:
    """Return a figure with the percentile interval of its resampled values."""
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Metric(value=value, low=float(low), high=float(high), confidence=CONFIDENCE)


def resample_weights(scored: Scored, size: int, rng: np.random.Generator) -> Floats:
    """Return the weights of the rows in each of `size` stratified resamples, shape (size, n_rows)."""
    counts = np.empty((size, len(scored.is_fraud)))
    for members in (np.flatnonzero(scored.is_fraud), np.flatnonzero(~scored.is_fraud)):
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=size)
    return counts * scored.weights
