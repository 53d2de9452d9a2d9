"""Groups and fields compared, as pictures."""

from __future__ import annotations

from collections.abc import Sequence

from training.breakdown import Group, Importance
from training.canvas import GREY, LEGITIMATE, canvas, png

BY_HOUR = "average-precision-by-hour.png"
BY_AMOUNT = "average-precision-by-amount.png"
IMPORTANCE = "importance.png"

_MOST_FIELDS = 20


def groups(parts: Sequence[Group], title: str, axis: str) -> bytes:
    """Draw the average precision of each group with its interval and its number of frauds."""
    figure, axes = canvas(title)
    labels = [f"{each.label}\n{each.n_frauds} frauds\n{each.n_legitimate:,} others" for each in parts]
    axes.set_xticks(range(len(parts)), labels)
    for place, each in enumerate(parts):
        metric = each.average_precision
        if metric is None:
            axes.text(place, 0.03, "too few frauds", ha="center", color=GREY, rotation=90)
            continue
        below, above = metric.value - metric.low, metric.high - metric.value
        axes.bar(place, metric.value, width=0.6, color=LEGITIMATE, alpha=0.75)
        axes.errorbar(place, metric.value, [[max(0.0, below)], [max(0.0, above)]], color="black", capsize=5)
        axes.text(place, 0.03, f"{metric.value:.2f}", ha="center", color="white", fontweight="bold")
    axes.set(xlabel=axis, ylabel="average precision, with 95 % interval", ylim=(0, 1.03))
    axes.set_xlim(-0.6, len(parts) - 0.4)
    axes.grid(visible=False, axis="x")
    return png(figure)


def importance(fields: Sequence[Importance]) -> bytes:
    """Draw what shuffling each field costs in average precision, the most important on top."""
    shown = list(fields[:_MOST_FIELDS])[::-1]
    figure, axes = canvas("Importance: what shuffling a field costs", (7.2, 1.3 + 0.27 * len(shown)))
    axes.barh(
        range(len(shown)),
        [each.loss for each in shown],
        xerr=[each.spread for each in shown],
        color=LEGITIMATE,
        ecolor="black",
        capsize=3,
        alpha=0.75,
    )
    axes.set_yticks(range(len(shown)), [each.field for each in shown])
    axes.axvline(0.0, color=GREY, linewidth=1)
    axes.set(xlabel="loss of average precision (mean and standard deviation of 5 shuffles)")
    axes.grid(visible=False, axis="y")
    axes.margins(y=0.02)
    return png(figure)
