"""Names and number formats of the figures, the same wherever they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.manifest import Metric

FIGURES = {
    "average_precision": ("Average precision", ".3f"),
    "roc_auc": ("ROC AUC", ".4f"),
    "best_f1": ("Best F1", ".3f"),
    "recall_at_90_precision": ("Recall at 90 % precision", ".3f"),
    "brier": ("Brier score", ".6f"),
    "expected_calibration_error": ("Expected calibration error", ".6f"),
    "mean_fraud_score_legitimate": ("Mean fraud score of legitimate rows", ".5f"),
}
"""Figure -> its title and its format."""


def figure_rows(metrics: Mapping[str, Metric]) -> list[dict[str, Any]]:
    """Return one row of a table for each figure that `metrics` has: name, title, value and interval as text."""
    return [
        {
            "name": name,
            "title": title,
            "value": format(metrics[name].value, form),
            "interval": f"{metrics[name].low:{form}} to {metrics[name].high:{form}}",
        }
        for name, (title, form) in FIGURES.items()
        if name in metrics
    ]


def cost_text(metric: Metric, per: float = 1000.0) -> tuple[str, str]:
    """Return a mean cost and its interval, told for so many transactions."""
    return f"{per * metric.value:,.2f}", f"{per * metric.low:,.2f} to {per * metric.high:,.2f}"
