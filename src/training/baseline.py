"""The distributions that live traffic is compared with to notice drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.arrays import Floats
from training.data import Table
from training.evaluate import Scored
from training.policies import Rule, cuts_of
from training.rounding import significant
from training.schema import TableSchema
from training.weighting import real_world_weights

_DECILES = np.arange(1, 10) / 10


def baseline(
    train: Table, scored_validation: Scored, rule: Rule, schema: TableSchema, prevalence: float
) -> dict[str, Any]:
    """Return the content of `baseline.json`.

    Fields are described by the training rows. Scores are described by the validation rows, because a model
    is surer of rows that it was trained on than it will be of live ones.
    """
    weights = real_world_weights(train, prevalence)
    fields = {
        name: _distribution(train.values[:, column], weights, []) for column, name in enumerate(schema.field_names)
    }
    return {
        "schema_version": 1,
        "description": (
            "Bin i holds the values x with edges[i-1] <= x < edges[i]; the first and the last bin are open. "
            "Proportions are weighted to the real prevalence."
        ),
        "fields": fields,
        "fraud_score": score_distribution(scored_validation, rule),
    }


def score_distribution(scored: Scored, rule: Rule) -> dict[str, list[float]]:
    """Return the member `fraud_score`; the cuts of the rule are edges, so that bins add up to shares of alerts."""
    return _distribution(scored.scores, scored.weights, list(cuts_of(rule)))


def _distribution(values: Floats, weights: Floats, more_edges: list[float]) -> dict[str, list[float]]:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    deciles = significant(values[order][np.searchsorted(share, _DECILES)], 6)
    edges = np.unique(np.concatenate([deciles, more_edges]))
    bins = np.searchsorted(edges, values, side="right")
    proportions = np.bincount(bins, weights=weights, minlength=len(edges) + 1) / weights.sum()
    return {"edges": edges.tolist(), "proportions": np.round(proportions, 9).tolist()}
