"""The pictures of the model card, as PNG files whose bytes depend on the numbers and the libraries alone."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from core.decision import Thresholds
from training.arrays import Flags, Floats
from training.evaluate import Scored, curve_of, resample_weights
from training.thresholds import operating_point

PRECISION_RECALL = "precision-recall.png"
CALIBRATION = "calibration.png"
SCORE_DISTRIBUTION = "score-distribution.png"

_FRAUD, _LEGITIMATE, _REVIEW, _DECLINE, _GREY = "#c0392b", "#2c6fbb", "#e08e0b", "#7b241c", "#8a8f98"
_FRAUDS_PER_BIN = 11
_TICKS = {
    1e-5: "0.00001",
    1e-4: "0.0001",
    1e-3: "0.001",
    0.01: "0.01",
    0.1: "0.1",
    0.5: "0.5",
    0.9: "0.9",
    0.99: "0.99",
}
_EDGE = 0.997


def draw_plots(holdout: Scored, validation: Scored, thresholds: Thresholds, seed: int) -> dict[str, bytes]:
    """Return file name -> PNG for every plot of the model card."""
    return {
        PRECISION_RECALL: _precision_recall(holdout, validation, thresholds),
        CALIBRATION: _calibration(holdout, seed),
        SCORE_DISTRIBUTION: _score_distribution(holdout, thresholds),
    }


def _precision_recall(holdout: Scored, validation: Scored, thresholds: Thresholds) -> bytes:
    figure, axes = _canvas("Precision and recall, weighted to the real prevalence")
    for name, scored, color, width in (
        ("validation", validation, _GREY, 1.2),
        ("holdout", holdout, _LEGITIMATE, 2.2),
    ):
        curve = curve_of(scored)
        label = f"{name} ({scored.n_frauds} frauds)"
        axes.step(curve.recall, curve.precision, where="pre", label=label, color=color, linewidth=width)
    for name, threshold, color in (("review", thresholds.review, _REVIEW), ("decline", thresholds.decline, _DECLINE)):
        point = operating_point(holdout, threshold)
        label = f"{name} from {threshold:.3g}: precision {point.precision:.2f}, recall {point.recall:.2f}"
        axes.plot(point.recall, point.precision, "o", markersize=9, color=color, label=label, zorder=3)
    axes.set(xlabel="recall: share of frauds flagged", ylabel="precision: share of flagged that are frauds")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03))
    axes.legend(loc="lower left", frameon=False)
    return _png(figure)


def _calibration(holdout: Scored, seed: int) -> bytes:
    figure, axes = _canvas("Calibration on the holdout, weighted to the real prevalence")
    bins = _bins_of_equal_frauds(holdout)
    predicted = _bin_means(holdout.weights[np.newaxis], holdout.scores, bins)[0]
    observed = _bin_means(holdout.weights[np.newaxis], holdout.is_fraud, bins)[0]
    resampled = _bin_means(resample_weights(holdout, 500, np.random.default_rng(seed)), holdout.is_fraud, bins)
    low, high = np.nanquantile(resampled, [0.025, 0.975], axis=0)
    # A bin of frauds alone lies at infinity on this scale: it is drawn at the edge.
    low, high, shown = (np.minimum(_log_odds(each), _log_odds(_EDGE)) for each in (low, high, observed))
    axes.plot([-20, 20], [-20, 20], color=_GREY, linewidth=1, linestyle="--", label="perfect")
    axes.vlines(_log_odds(predicted), low, high, color=_LEGITIMATE, linewidth=1.6)
    is_mixed = observed < 1.0
    for rows, marker, label in (
        (is_mixed, "o", f"about {_FRAUDS_PER_BIN} frauds each, with 95 % interval"),
        (~is_mixed, "^", f"about {_FRAUDS_PER_BIN} frauds each, and nothing else"),
    ):
        axes.plot(_log_odds(predicted[rows]), shown[rows], marker, color=_LEGITIMATE, markersize=8, label=label)
    _log_odds_axis(axes, "x")
    _log_odds_axis(axes, "y")
    axes.set(xlabel="mean fraud score of the bin", ylabel="share of frauds in the bin")
    axes.legend(loc="upper left", frameon=False)
    return _png(figure)


def _score_distribution(holdout: Scored, thresholds: Thresholds) -> bytes:
    figure, axes = _canvas("Fraud scores on the holdout, by class")
    edges = np.linspace(_log_odds(1e-5) - 1, _log_odds(_EDGE) + 1, 41).tolist()
    for name, rows, color in (
        (f"legitimate ({holdout.n_legitimate:,} rows)", ~holdout.is_fraud, _LEGITIMATE),
        (f"fraud ({holdout.n_frauds} rows)", holdout.is_fraud, _FRAUD),
    ):
        values = np.clip(_log_odds(holdout.scores[rows]), edges[0], edges[-1])
        share = np.full(len(values), 1 / len(values))
        axes.hist(values, edges, weights=share, color=color, alpha=0.35, histtype="stepfilled", zorder=2)
        axes.hist(values, edges, weights=share, color=color, linewidth=1.6, histtype="step", label=name, zorder=3)
    for name, threshold, color in (("review", thresholds.review, _REVIEW), ("decline", thresholds.decline, _DECLINE)):
        axes.axvline(
            float(_log_odds(threshold)), ymax=0.85, color=color, linewidth=1.8, label=f"{name} from {threshold:.3g}"
        )
    axes.set_yscale("log")
    axes.set(xlabel="fraud score (log-odds scale)", ylabel="share of the class in each bin")
    _log_odds_axis(axes, "x")
    axes.set_xlim(edges[0], edges[-1])
    axes.legend(loc="upper center", frameon=False, ncols=2)
    axes.set_ylim(top=3.0)
    return _png(figure)


def _canvas(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 5.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without this the file names the version of the drawing library.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _log_odds(probabilities: Floats | float) -> Floats:
    clipped = np.clip(probabilities, 1e-9, 1.0 - 1e-9)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def _log_odds_axis(axes: Axes, which: str) -> None:
    ticks, labels = [float(_log_odds(tick)) for tick in _TICKS], list(_TICKS.values())
    limits = (ticks[0] - 0.7, float(_log_odds(_EDGE)) + 0.5)
    if which == "x":
        axes.set_xticks(ticks, labels)
        axes.set_xlim(limits)
    else:
        axes.set_yticks(ticks, labels)
        axes.set_ylim(limits)


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
