"""Booster -> ONNX model that gives the margin, with a proof that both are the same function."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import xgboost as xgb
from onnxmltools.convert import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from core.preprocessing import FeatureMatrix
from core.scoring.onnx_session import open_session
from training.arrays import Floats
from training.errors import ExportError
from training.train import booster_bytes, margins_of

TOLERANCE = 1e-6
MIN_PROOF_ROWS = 10_000
OPSET = 15
IR_VERSION = 8
"""Old enough for every ONNX Runtime since 1.10; the one node the model has never changed since."""


@dataclass(frozen=True)
class ExportProof:
    """How far the exported model was from the booster, on how many rows."""

    n_rows: int
    max_margin_difference: float
    max_score_difference: float


def export_onnx(booster: xgb.Booster) -> bytes:
    """Return the booster as ONNX, with the margin (log-odds) as its output."""
    margins = convert_xgboost(
        _as_regressor(booster),
        name="fraud-margin",
        initial_types=[("features", FloatTensorType([None, booster.num_features()]))],
        target_opset=OPSET,
    )
    margins.ir_version = IR_VERSION
    content: bytes = margins.SerializeToString(deterministic=True)
    return content


def _as_regressor(booster: xgb.Booster) -> xgb.Booster:
    """Return a copy that predicts the margin: a float32 sigmoid would lose the precision of small scores."""
    document = json.loads(booster_bytes(booster))
    document["learner"]["objective"] = {"name": "reg:squarederror", "reg_loss_param": {}}
    # base_score 0.5 of a logistic model is a margin of 0.
    document["learner"]["learner_model_param"]["base_score"] = "0E0"
    copy = xgb.Booster()
    copy.load_model(bytearray(json.dumps(document).encode()))
    return copy


def prove_equal(onnx_model: bytes, booster: xgb.Booster, rows: FeatureMatrix) -> ExportProof:
    """Compare both models on every row of `rows`.

    Raises
    ------
    ExportError
        There are too few rows, or the models differ by more than 1e-6 on one of them.
    """
    if len(rows) < MIN_PROOF_ROWS:
        raise ExportError(f"{len(rows)} rows prove nothing: at least {MIN_PROOF_ROWS} are compared")
    exported = open_session(onnx_model).run(None, {"features": rows})[0].reshape(-1).astype(np.float64)
    expected = margins_of(booster, rows).astype(np.float64)
    proof = ExportProof(
        n_rows=len(rows),
        max_margin_difference=float(np.abs(exported - expected).max()),
        max_score_difference=float(np.abs(_sigmoid(exported) - _sigmoid(expected)).max()),
    )
    # NaN fails the comparison, so that it fails the proof.
    if not (proof.max_margin_difference <= TOLERANCE and proof.max_score_difference <= TOLERANCE):
        raise ExportError(
            f"the exported model differs from the booster by {proof.max_margin_difference:.3g} in the margin and "
            f"{proof.max_score_difference:.3g} in the score; {TOLERANCE:g} is allowed"
        )
    return proof


def probe_rows(booster: xgb.Booster, known: FeatureMatrix, ends: FeatureMatrix, seed: int) -> FeatureMatrix:
    """Return at least 10 000 rows on which two almost equal forests would differ.

    Parameters
    ----------
    known : rows of the data, shape (n_known, n_features)
    ends : smallest and largest value of each feature, shape (2, n_features)
    """
    rng = np.random.default_rng(seed)
    probes = np.empty((MIN_PROOF_ROWS, known.shape[1]), dtype=np.float32)
    for column, thresholds in enumerate(_split_thresholds(booster, known.shape[1])):
        around = [np.nextafter(thresholds, np.float32(sign * np.inf)) for sign in (-1, 1)]
        zeros = np.array([0.0, -0.0], dtype=np.float32)
        candidates = np.concatenate([thresholds, *around, ends[:, column], zeros])
        probes[:, column] = rng.choice(candidates, size=len(probes))
    extremes = np.concatenate([ends, _one_extreme_each(known[:1], ends)])
    return np.concatenate([known, probes, extremes, np.zeros_like(ends), -np.zeros_like(ends)])


def _split_thresholds(booster: xgb.Booster, n_features: int) -> list[FeatureMatrix]:
    """Return, for each feature, the distinct values at which the booster splits it, float32."""
    trees = json.loads(booster_bytes(booster))["learner"]["gradient_booster"]["model"]["trees"]
    found: list[set[float]] = [set() for _ in range(n_features)]
    for tree in trees:
        nodes = zip(tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True)
        for feature, condition, left in nodes:
            if left != -1:
                found[feature].add(condition)
    return [np.array(sorted(values), dtype=np.float32) for values in found]


def _one_extreme_each(row: FeatureMatrix, ends: FeatureMatrix) -> FeatureMatrix:
    """Return copies of `row`, each with one feature at one of its ends."""
    n_features = row.shape[1]
    rows = np.repeat(row, 2 * n_features, axis=0)
    for column in range(n_features):
        rows[2 * column : 2 * column + 2, column] = ends[:, column]
    return rows


def _sigmoid(margins: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-margins))
