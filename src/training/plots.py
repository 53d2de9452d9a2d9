"""How well scores tell fraud from the rest: the pictures of the model card and of the report."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from training.arrays import Flags, Floats
from training.canvas import (
    DECLINE,
    EDGE,
    FRAUD,
    GREY,
    LEGITIMATE,
    REVIEW,
    canvas,
    log_odds,
    log_odds_axis,
    png,
)
from training.decisions import operating_points
from training.evaluate import Scored, curve_of, resample_weights, roc_auc
from training.policies import Rule, Stream, cuts_of

PRECISION_RECALL = "precision-recall.png"
ROC = "roc.png"
CALIBRATION = "calibration.png"
SCORE_DISTRIBUTION = "score-distribution.png"

_FRAUDS_PER_BIN = 11
_BAND_RESAMPLES = 1000
_AT_ONCE = 50
_GRID = np.linspace(0.0, 1.0, 201)


def precision_recall(judged: Stream, rule: Rule, seed: int, chosen_on: Scored | None = None) -> bytes:
    """Draw precision over recall with a band of 95 %, and where the rule operates."""
    figure, axes = canvas("Precision and recall, weighted to the real prevalence")
    scored = judged.scored
    _band(axes, scored, seed)
    if chosen_on is not None:
        curve = curve_of(chosen_on)
        label = f"validation ({chosen_on.n_frauds} frauds)"
        axes.step(curve.recall, curve.precision, where="pre", label=label, color=GREY, linewidth=1.2, linestyle="--")
    curve = curve_of(scored)
    label = f"judged on {scored.n_frauds} frauds, with 95 % band"
    axes.step(curve.recall, curve.precision, where="pre", label=label, color=LEGITIMATE, linewidth=2.2)
    for (name, point), color, marker in zip(
        operating_points(rule, judged).items(), (REVIEW, DECLINE), ("o", "s"), strict=True
    ):
        cut = "" if point.threshold is None else f" from {point.threshold:.3g}"
        label = f"{name}{cut}: precision {point.precision:.2f}, recall {point.recall:.2f}"
        axes.plot(point.recall, point.precision, marker, markersize=9, color=color, label=label, zorder=3)
    axes.set(xlabel="recall: share of frauds flagged", ylabel="precision: share of flagged that are frauds")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03))
    axes.legend(loc="lower left", framealpha=0.9, edgecolor="none")
    return png(figure)


def _band(axes: Axes, scored: Scored, seed: int) -> None:
    rng = np.random.default_rng(seed)
    on_grid = []
    for _ in range(_BAND_RESAMPLES // _AT_ONCE):
        curves = curve_of(scored, resample_weights(scored, _AT_ONCE, rng))
        on_grid += [_step(*each) for each in zip(curves.recall, curves.precision, strict=True)]
    low, high = np.quantile(on_grid, [0.025, 0.975], axis=0)
    axes.fill_between(_GRID, low, high, color=LEGITIMATE, alpha=0.15, linewidth=0, zorder=1)


def _step(recall: Floats, precision: Floats) -> Floats:
    """Return the precision at which each recall of the grid is first reached."""
    return np.asarray(precision[np.searchsorted(recall, _GRID - 1e-12).clip(max=len(recall) - 1)])


def roc(scored: Scored) -> bytes:
    """Draw the share of frauds over the share of legitimate rows flagged, on a scale that shows the rare ones."""
    figure, axes = canvas("ROC, share of legitimate transactions on a logarithmic scale")
    curve = curve_of(scored)
    false_alarms = curve.false_positives / curve.false_positives[-1]
    least = 0.5 / scored.n_legitimate
    label = f"AUC {float(roc_auc(curve)):.4f} ({scored.n_frauds} frauds, {scored.n_legitimate:,} legitimate rows)"
    axes.step(np.maximum(false_alarms, least), curve.recall, where="post", color=LEGITIMATE, linewidth=2.2, label=label)
    chance = np.geomspace(least, 1.0, 200)
    axes.plot(chance, chance, color=GREY, linewidth=1.2, linestyle="--", label="chance")
    axes.set_xscale("log")
    axes.set(
        xlabel="share of legitimate transactions flagged (left edge: none)", ylabel="recall: share of frauds flagged"
    )
    axes.set(xlim=(least, 1.0), ylim=(0, 1.03))
    axes.legend(loc="center left", framealpha=0.9, edgecolor="none")
    return png(figure)


def calibration(scored: Scored, seed: int) -> bytes:
    """Draw the share of frauds over the mean score, in bins with about as many frauds each."""
    figure, axes = canvas("Calibration, weighted to the real prevalence")
    bins = _bins_of_equal_frauds(scored)
    predicted = _bin_means(scored.weights[np.newaxis], scored.scores, bins)[0]
    observed = _bin_means(scored.weights[np.newaxis], scored.is_fraud, bins)[0]
    resampled = _bin_means(resample_weights(scored, 1000, np.random.default_rng(seed)), scored.is_fraud, bins)
    low, high = np.nanquantile(resampled, [0.025, 0.975], axis=0)
    # A bin of frauds alone lies at infinity on this scale: it is drawn at the edge.
    low, high, shown = (np.minimum(log_odds(each), log_odds(EDGE)) for each in (low, high, observed))
    axes.plot([-20, 20], [-20, 20], color=GREY, linewidth=1, linestyle="--", label="perfect")
    axes.vlines(log_odds(predicted), low, high, color=LEGITIMATE, linewidth=1.6)
    is_mixed = observed < 1.0
    for rows, marker, label in (
        (is_mixed, "o", f"about {_FRAUDS_PER_BIN} frauds each, with 95 % interval"),
        (~is_mixed, "^", f"about {_FRAUDS_PER_BIN} frauds each, and nothing else"),
    ):
        axes.plot(log_odds(predicted[rows]), shown[rows], marker, color=LEGITIMATE, markersize=8, label=label)
    log_odds_axis(axes, "x")
    log_odds_axis(axes, "y")
    axes.set(xlabel="mean fraud score of the bin", ylabel="share of frauds in the bin")
    axes.legend(loc="upper left", framealpha=0.9, edgecolor="none")
    return png(figure)


def score_distribution(scored: Scored, rule: Rule) -> bytes:
    """Draw how the scores of each class spread, with the cuts of the rule if it has any."""
    figure, axes = canvas("Fraud scores by class")
    edges = np.linspace(float(log_odds(1e-5)) - 1, float(log_odds(EDGE)) + 1, 41).tolist()
    for name, rows, color in (
        (f"legitimate ({scored.n_legitimate:,} rows)", ~scored.is_fraud, LEGITIMATE),
        (f"fraud ({scored.n_frauds} rows)", scored.is_fraud, FRAUD),
    ):
        values = np.clip(log_odds(scored.scores[rows]), edges[0], edges[-1])
        share = np.full(len(values), 1 / len(values))
        axes.hist(values, edges, weights=share, color=color, alpha=0.35, histtype="stepfilled", zorder=2)
        axes.hist(values, edges, weights=share, color=color, linewidth=1.6, histtype="step", label=name, zorder=3)
    for name, cut, color, style in zip(
        ("review", "decline"), cuts_of(rule), (REVIEW, DECLINE), ("-", "--"), strict=False
    ):
        position = float(log_odds(cut))
        axes.axvline(position, ymax=0.85, color=color, linewidth=2, linestyle=style, label=f"{name} from {cut:.3g}")
    axes.set_yscale("log")
    axes.set(xlabel="fraud score (log-odds scale)", ylabel="share of the class in each bin (logarithmic)")
    log_odds_axis(axes, "x")
    axes.set_xlim(edges[0], edges[-1])
    axes.legend(loc="upper center", frameon=False, ncols=2)
    axes.set_ylim(top=5.0)
    return png(figure)


def _bins_of_equal_frauds(scored: Scored) -> list[slice]:
    """Return runs of rows, best scores first, each with about the same number of frauds."""
    frauds = np.flatnonzero(scored.is_fraud)
    # The last bin takes what does not fill one of its own, and all the low scores.
    last = frauds[_FRAUDS_PER_BIN - 1 : -(_FRAUDS_PER_BIN // 2) : _FRAUDS_PER_BIN]
    cuts = [0, *(int(index) + 1 for index in last), len(scored.scores)]
    return [slice(start, stop) for start, stop in zip(cuts, cuts[1:], strict=False) if stop > start]


def _bin_means(weights: Floats, values: Floats | Flags, bins: list[slice]) -> Floats:
    """Return the weighted mean of each bin for each row of `weights`, shape (n_resamples, n_bins)."""
    with np.errstate(invalid="ignore"):
        return np.column_stack([weights[:, each] @ values[each] / weights[:, each].sum(axis=1) for each in bins])
