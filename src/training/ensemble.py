"""Several boosters that differ by their seed, as one: its margin is the mean of theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost as xgb

from core.preprocessing import FeatureMatrix
from training.errors import ExportError
from training.train import booster_bytes, margins_of

TOLERANCE = 1e-6
"""Largest difference in score between the one booster and the mean of the many; float32 sums differ by order."""


def average(boosters: Sequence[xgb.Booster], rows: FeatureMatrix) -> xgb.Booster:
    """Return one booster with the trees of all, each leaf divided by their number.

    Servers load one file and add up every tree in it; so the mean has to be in the leaves.

    Parameters
    ----------
    boosters : one or more, all without a margin of their own (base_score 0.5)
    rows : shape (n_rows, n_features); where the result is compared with the mean of the boosters

    Raises
    ------
    ExportError
        The result differs from the mean of the boosters.
    """
    if len(boosters) == 1:
        return boosters[0]
    document = json.loads(booster_bytes(boosters[0]))
    trees = [tree for booster in boosters for tree in _trees(json.loads(booster_bytes(booster)))]
    model = document["learner"]["gradient_booster"]["model"]
    model["trees"] = [_divided(tree, number, len(boosters)) for number, tree in enumerate(trees)]
    model["tree_info"] = [0] * len(trees)
    model["iteration_indptr"] = list(range(len(trees) + 1))
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    booster = xgb.Booster()
    booster.load_model(bytearray(json.dumps(document).encode()))
    _prove(booster, boosters, rows)
    return booster


def _trees(document: dict[str, Any]) -> list[dict[str, Any]]:
    trees: list[dict[str, Any]] = document["learner"]["gradient_booster"]["model"]["trees"]
    return trees


def _divided(tree: dict[str, Any], number: int, divisor: int) -> dict[str, Any]:
    """Return the tree with its leaves divided; a node without a left child is a leaf, and its condition the value."""
    conditions = [
        float(np.float32(condition / divisor)) if left == -1 else condition
        for condition, left in zip(tree["split_conditions"], tree["left_children"], strict=True)
    ]
    weights = [float(np.float32(weight / divisor)) for weight in tree["base_weights"]]
    return {**tree, "id": number, "split_conditions": conditions, "base_weights": weights}


def _prove(booster: xgb.Booster, boosters: Sequence[xgb.Booster], rows: FeatureMatrix) -> None:
    mean = np.mean([margins_of(each, rows).astype(np.float64) for each in boosters], axis=0)
    ours = margins_of(booster, rows).astype(np.float64)
    difference = float(np.abs(1.0 / (1.0 + np.exp(-ours)) - 1.0 / (1.0 + np.exp(-mean))).max())
    # NaN fails the comparison, so that it fails the proof.
    if not difference <= TOLERANCE:
        raise ExportError(f"the averaged booster differs from the mean of its members by {difference:.3g}")
