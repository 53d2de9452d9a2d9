"""The part of the model card that sets the holdout beside the published figures."""

from __future__ import annotations

from typing import Any

_TITLES = {"precision": "Precision", "recall": "Recall", "f1": "F1", "roc_auc": "ROC AUC"}
_DECIMALS = {"roc_auc": 4}


def reference_section(manifest: dict[str, Any]) -> str:
    """Return the comparison, or nothing where the manifest has none: the data are not the public data set."""
    reference = manifest["training"].get("reference")
    if reference is None:
        return ""
    published, model = reference["published"], reference["model"]
    rows = "\n".join(
        f"| {title} | {_figure(name, model['figures'][name])} | {_figure(name, published['figures'][name])} |"
        for name, title in _TITLES.items()
    )
    return f"""
Beside {published["source"]}. Here the threshold is {model["threshold"]:.4g}, where F1 is best on the
validation rows, and precision and F1 are weighted to the real prevalence.

| figure | this model, {model["n_frauds"]} frauds | published, {published["n_frauds"]} frauds |
|---|--:|--:|
{rows}
"""


def _figure(name: str, metric: dict[str, float]) -> str:
    form = f".{_DECIMALS.get(name, 3)}f"
    value = f"{metric['value']:{form}}"
    return f"{value} ({metric['low']:{form}} to {metric['high']:{form}})" if "low" in metric else value
