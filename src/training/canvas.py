"""The look of every picture: colours that differ in brightness too, axes, and PNGs of reproducible bytes."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.arrays import Floats

# Okabe and Ito's palette, which people with any kind of colour vision can tell apart.
FRAUD, LEGITIMATE, REVIEW, DECLINE, GOOD = "#d55e00", "#0072b2", "#e69f00", "#5b2a86", "#009e73"
GREY, LIGHT = "#6b7280", "#e5e7eb"
SIZE = (7.2, 5.0)
"""Inches; at 110 dots an inch as wide as a column of text."""

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
EDGE = 0.997
"""Where probabilities that are too near to 1 for the scale are drawn."""


def canvas(title: str, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """Return an empty picture with its title."""
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def png(figure: Figure) -> bytes:
    """Return the picture as a file."""
    buffer = io.BytesIO()
    # Without this the file names the version of the drawing library.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def log_odds(probabilities: Floats | float) -> Floats:
    clipped = np.clip(probabilities, 1e-9, 1.0 - 1e-9)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def log_odds_axis(axes: Axes, which: str) -> None:
    """Label an axis of log-odds with the probabilities they stand for."""
    ticks, labels = [float(log_odds(tick)) for tick in _TICKS], list(_TICKS.values())
    limits = (ticks[0] - 0.7, float(log_odds(EDGE)) + 0.5)
    if which == "x":
        axes.set_xticks(ticks, labels)
        axes.set_xlim(limits)
    else:
        axes.set_yticks(ticks, labels)
        axes.set_ylim(limits)
