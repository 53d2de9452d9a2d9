"""A bundle of another shape than the shipped one, made in a moment: three fields, two features, one tree.

Its fields are named so as to trip what takes names for granted; `class` is required of the caller and not fed
to the model, and `log.amount` is scaled in two steps.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from core.bundle import BOOSTER, GOLDEN, MIN_GOLDEN_CASES, ONNX_MODEL, write_bundle
from core.calibration import PriorCorrection
from core.preprocessing import FeatureSpec, FieldSpec, Preprocessor

FIELDS = [
    {"name": "json", "minimum": -10.0, "maximum": 10.0, "description": "Fed to the model as it is."},
    {"name": "class", "minimum": 0.0, "maximum": 1e300, "description": "Not fed to the model."},
    {"name": "log.amount", "minimum": 0.0, "maximum": 1e6},
]
FEATURES = [
    {"name": "scaled", "field": "log.amount", "steps": [
        {"kind": "standardise", "mean": 100.0, "scale": 50.0},
        {"kind": "standardise", "mean": 1.0, "scale": 2.0},
    ]},
    {"name": "json", "field": "json"},
]  # fmt: skip
BASELINE = [[-5.0, 1.0, 50.0], [0.0, 9.0, 120.0], [3.5, 0.0, 260.0]]
LEAVES = (-6.0, -1.0, 1.5, 4.0)
"""Margins for: little and low, little and high, much and low, much and high."""
ODDS_FACTOR = 0.25
EXPECTED_LOSS = {
    "kind": "expected_loss",
    "amount_field": "log.amount",
    "loss_share": 1.0,
    "chargeback_fee": 15.0,
    "false_decline": 25.0,
    "review": 4.0,
}


Leaves = tuple[float, float, float, float]


def write_tiny_bundle(path: Path, *, leaves: Leaves = LEAVES, onnx: bytes | None = None, **changes: Any) -> str:
    """Write the bundle into `path` and return its digest; `changes` replace members of the manifest."""
    files = tiny_files(leaves)
    return write_bundle(path, {**tiny_manifest(), **changes}, {**files, ONNX_MODEL: onnx or files[ONNX_MODEL]})


def tiny_manifest() -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": "tiny",
        "version": "tiny-1.0",
        "fields": FIELDS,
        "features": FEATURES,
        "calibration": {"kind": "prior_correction", "odds_factor": ODDS_FACTOR},
        "thresholds": {"review": 0.1, "decline": 0.5},
        "prevalence": 0.01,
        "holdout": {"n_frauds": 7, "n_legitimate": 93, "metrics": {"roc_auc": {"value": 0.9, "low": 0.8, "high": 1.0}}},
        "explanation": {"baseline": BASELINE},
        "training": {"seed": 1},
        "libraries": {},
    }


def tiny_files(leaves: Leaves = LEAVES) -> dict[str, bytes]:
    return {
        ONNX_MODEL: tree_model(leaves),
        BOOSTER: b"{}",
        GOLDEN: json.dumps(golden_cases(leaves)).encode(),
        "baseline.json": b"{}",
        "MODEL_CARD.md": b"# tiny\n",
    }


def golden_cases(leaves: Leaves = LEAVES) -> dict[str, Any]:
    """Return golden cases whose scores are worked out here, without the model."""
    generator = np.random.default_rng(7)
    values = np.column_stack([
        generator.uniform(-10, 10, MIN_GOLDEN_CASES),
        generator.uniform(0, 5, MIN_GOLDEN_CASES),
        generator.uniform(0, 400, MIN_GOLDEN_CASES),
    ]).round(3)  # fmt: skip
    scores = np.array([_score(expected_margin(first, amount, leaves)) for first, _, amount in values.tolist()])
    features = Preprocessor(
        [FieldSpec.model_validate(field) for field in FIELDS],
        [FeatureSpec.model_validate(feature) for feature in FEATURES],
    ).transform(values)
    calibration = PriorCorrection(kind="prior_correction", odds_factor=ODDS_FACTOR)
    names = [str(field["name"]) for field in FIELDS]
    return {
        "transactions": [dict(zip(names, row, strict=True)) for row in values.tolist()],
        "features": features.astype(float).tolist(),
        "raw_scores": scores.tolist(),
        "fraud_scores": calibration.probabilities(scores).tolist(),
    }


def expected_margin(json_value: float, amount: float, leaves: Leaves = LEAVES) -> float:
    """Return the leaf that the tree must answer with: split at an amount of 200, then at `json` = 2."""
    return leaves[2 * (amount > 200.0) + (json_value > 2.0)]


def _score(margin: float) -> float:
    return 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0


def tree_model(
    leaves: Leaves, *, n_features: int = 2, input_type: int = TensorProto.FLOAT, n_targets: int = 1
) -> bytes:
    """Return an ONNX model of one tree; ((200 - 100) / 50 - 1) / 2 = 0.5 is the first split."""
    ids = list(range(7))
    tree = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["margin"],
        domain="ai.onnx.ml",
        n_targets=n_targets,
        nodes_treeids=[0] * 7,
        nodes_nodeids=ids,
        nodes_featureids=[0, 1, 1, 0, 0, 0, 0],
        nodes_modes=["BRANCH_LEQ"] * 3 + ["LEAF"] * 4,
        nodes_values=[0.5, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0],
        nodes_truenodeids=[1, 3, 5, 0, 0, 0, 0],
        nodes_falsenodeids=[2, 4, 6, 0, 0, 0, 0],
        target_treeids=[0] * 4,
        target_nodeids=[3, 4, 5, 6],
        target_ids=[0] * 4,
        target_weights=list(leaves),
    )
    graph = helper.make_graph(
        [tree],
        "tiny",
        [helper.make_tensor_value_info("features", input_type, [None, n_features])],
        [helper.make_tensor_value_info("margin", TensorProto.FLOAT, [None, n_targets])],
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())
