"""The reliability curve: what was said against what happened, bin by bin."""

from __future__ import annotations

from training.evaluate import Scored, reliability_bins


def reliability_curve(scored: Scored) -> list[dict[str, float]]:
    """Return the bins behind the expected calibration error, lowest scores first, weighted to the real prevalence."""
    starts = reliability_bins(scored).tolist()
    curve = []
    for start, end in zip(starts, [*starts[1:], len(scored.scores)], strict=True):
        scores, is_fraud, weights = scored.scores[start:end], scored.is_fraud[start:end], scored.weights[start:end]
        curve.append(
            {
                "lowest_score": float(scores[-1]),
                "mean_score": float(weights @ scores / weights.sum()),
                "fraud_share": float(weights @ is_fraud / weights.sum()),
                "weight_share": float(weights.sum() / scored.weights.sum()),
                "n_frauds": int(is_fraud.sum()),
                "n_legitimate": int((~is_fraud).sum()),
            }
        )
    return curve[::-1]
