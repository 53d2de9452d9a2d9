"""The published figures for the public data set, and this model's at a comparable threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.manifest import Metric
from training.arrays import Floats
from training.evaluate import CONFIDENCE, N_RESAMPLES, RESAMPLES_AT_ONCE, Scored, curve_of, interval, resample_weights
from training.run import TrainingRun
from training.schema import CREDITCARD

PUBLISHED = {
    "source": "a published model for the same data: random holdout of the whole file with 98 frauds, one threshold; "
    "no interval was published, and those of precision and recall follow from its counts",
    "n_frauds": 98,
    "figures": {
        "precision": {"value": 0.835, "low": 0.75, "high": 0.90},
        "recall": {"value": 0.827, "low": 0.74, "high": 0.89},
        "f1": {"value": 0.831},
        "roc_auc": {"value": 0.9635},
    },
}


def compare_with_published(run: TrainingRun) -> dict[str, Any]:
    """Return the manifest's `reference`, or nothing if the data are not said to be the public data set.

    The model's threshold is the one with the best F1 on the validation rows, so that the holdout judges a choice
    that it had no part in. Precision and F1 are weighted to the real prevalence.
    """
    if (run.options.notice or run.schema.notice) != CREDITCARD.notice:
        return {}
    threshold = best_f1_threshold(run.validation)
    metrics = {**figures_at(run.holdout, threshold, run.options.seed), "roc_auc": run.metrics["roc_auc"]}
    model = {
        "threshold": threshold,
        "n_frauds": run.holdout.n_frauds,
        "figures": {name: metric.model_dump() for name, metric in metrics.items()},
    }
    return {"reference": {"published": PUBLISHED, "model": model}}


def best_f1_threshold(scored: Scored) -> float:
    """Return the lowest score that is flagged where F1 is largest."""
    curve = curve_of(scored)
    flagged = curve.true_positives + curve.false_positives
    return float(curve.thresholds[np.argmax(2 * curve.true_positives / (flagged + curve.true_positives[-1]))])


def figures_at(scored: Scored, threshold: float, seed: int, n_resamples: int = N_RESAMPLES) -> dict[str, Metric]:
    """Return precision, recall and F1 of flagging everything from `threshold` on, with bootstrap intervals.

    Where no legitimate row is flagged, no resample flags one either, and every precision is 1. Then the lower ends
    are those of as many false alarms as the sample may have missed: the exact binomial bound (Clopper and Pearson,
    Biometrika 26, 1934) on their rate, for none among the legitimate rows.
    """
    rng = np.random.default_rng(seed)
    sizes = [min(RESAMPLES_AT_ONCE, n_resamples - start) for start in range(0, n_resamples, RESAMPLES_AT_ONCE)]
    chunks = [_figures(scored, threshold, resample_weights(scored, size, rng)) for size in sizes]
    own = scored.weights[np.newaxis]
    metrics = {
        name: interval(float(value[0]), np.concatenate([chunk[name] for chunk in chunks]))
        for name, value in _figures(scored, threshold, own).items()
    }
    if (~scored.is_fraud & (scored.scores >= threshold)).any():
        return metrics
    unseen = 1.0 - ((1.0 - CONFIDENCE) / 2) ** (1.0 / scored.n_legitimate)
    worst = _figures(scored, threshold, own, unseen * float(scored.weights @ ~scored.is_fraud))
    lows = {name: min(metric.low, float(worst[name][0])) for name, metric in metrics.items()}
    return {name: metric.model_copy(update={"low": lows[name]}) for name, metric in metrics.items()}


def _figures(scored: Scored, threshold: float, weights: Floats, unseen: float = 0.0) -> dict[str, Floats]:
    """Return the figures under each row of `weights`; `unseen` is a weight of false alarms to add."""
    flagged = weights * (scored.scores >= threshold)
    caught, all_flagged = flagged @ scored.is_fraud, flagged.sum(axis=-1) + unseen
    # A resample in which nothing is flagged has nothing wrong.
    precision = np.divide(caught, all_flagged, out=np.ones_like(caught), where=all_flagged > 0)
    n_frauds = weights @ scored.is_fraud
    return {"precision": precision, "recall": caught / n_frauds, "f1": 2 * caught / (all_flagged + n_frauds)}
