"""How the cost of a request grows: with the rows of a batch, the trees and the features of the model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from benchmarks.in_process import KEY, best_seconds, body_of, rows_of, seconds_of
from benchmarks.sections import Section
from benchmarks.transactions import features_of
from core.api.app import create_app
from core.bootstrap import build_service
from core.bundle import BOOSTER, GOLDEN, ONNX_MODEL, write_bundle
from core.preprocessing import FeatureSpec, FieldSpec, Preprocessor, Standardise
from core.service import ScoringService
from core.settings import Settings
from training.export import export_onnx
from training.train import booster_bytes, raw_scores_of

ROWS = (1, 10, 100, 1000, 5000)
TREES = (100, 300, 1000, 2000)
FEATURES = (8, 30, 100, 200)
USUAL_TREES, USUAL_FEATURES = 300, 30
DEPTH = 4
N_GOLDEN = 50
SINGLE_REQUESTS = 300

OnStep = Callable[[str], None]


def growth(on_step: OnStep) -> Section:
    """Return what one transaction costs with models of several sizes, and one row of batches of several sizes."""
    section = Section(
        "How cost grows: CPU in the process",
        ("what", "request, µs", "a row, µs", "model alone, a row, µs"),
        f"Models of {USUAL_TREES} trees (depth {DEPTH}) on {USUAL_FEATURES} features unless said otherwise, grown on "
        "random numbers; one thread; no server and no socket. The model alone is the scorer on a matrix in memory.",
    )
    for trees in TREES:
        on_step(f"growth: {trees} trees")
        section.rows.append(_measured(f"{trees:,} trees", trees, USUAL_FEATURES, 1))
    for features in FEATURES:
        on_step(f"growth: {features} features")
        section.rows.append(_measured(f"{features} features", USUAL_TREES, features, 1))
    for rows in ROWS:
        on_step(f"growth: {rows} rows")
        section.rows.append(_measured(f"{rows:,} rows in a batch", USUAL_TREES, USUAL_FEATURES, rows))
    return section


def _measured(what: str, n_trees: int, n_features: int, n_rows: int) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as folder:
        write_random_bundle(Path(folder), n_trees, n_features)
        settings = Settings(_env_file=None, api_key=KEY.decode(), model_bundle=Path(folder), log_level="ERROR")
        service = build_service(settings)
        rows = rows_of(service, n_rows)
        is_batch = "batch" in what
        body = body_of(rows) if is_batch else json.dumps(rows[0]).encode()
        path = "/predict/batch" if is_batch else "/predict"
        n = max(1, SINGLE_REQUESTS // n_rows)
        ours = seconds_of(create_app(service, settings), path, b"application/json", body, n)
        return what, f"{ours * 1e6:,.0f}", f"{ours / n_rows * 1e6:.1f}", f"{bare_seconds(service, rows, n) * 1e6:.1f}"


def bare_seconds(service: ScoringService, rows: list[dict[str, float]], n: int) -> float:
    """Return the CPU seconds that the scorer takes for one of the rows, given as one matrix."""
    features = features_of(service.bundle, rows)
    return best_seconds(partial(service.scorer.score, features), n) / len(rows)


def write_random_bundle(folder: Path, n_trees: int, n_features: int) -> None:
    """Write a whole, valid bundle with a booster of this size, grown on random numbers, into `folder`."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2000, n_features)).round(6)
    labels = (values @ rng.normal(size=n_features) + rng.normal(size=2000) > 1.0).astype(np.float32)
    fields = [FieldSpec(name=f"f{index}", minimum=-1e6, maximum=1e6) for index in range(n_features)]
    step = Standardise(kind="standardise", mean=0.1, scale=1.1)
    specs = [FeatureSpec(name=field.name, field=field.name, steps=(step,)) for field in fields]
    features = Preprocessor(fields, specs).transform(values)
    parameters = {"max_depth": DEPTH, "eta": 0.02, "base_score": 0.5, "objective": "binary:logistic", "nthread": 1}
    booster = xgb.train(parameters, xgb.DMatrix(features, labels), n_trees)
    scores = raw_scores_of(booster, features[:N_GOLDEN])
    golden = {
        "transactions": [dict(zip((f.name for f in fields), row, strict=True)) for row in values[:N_GOLDEN].tolist()],
        "features": features[:N_GOLDEN].astype(float).tolist(),
        "raw_scores": scores.tolist(),
        "fraud_scores": scores.tolist(),
    }
    manifest: dict[str, Any] = {
        "schema_version": 1,
        "name": "random",
        "version": f"random-{n_trees}-{n_features}",
        "fields": [field.model_dump() for field in fields],
        "features": [spec.model_dump() for spec in specs],
        "calibration": {"kind": "prior_correction", "odds_factor": 1.0},
        "thresholds": {"review": 0.1, "decline": 0.5},
        "prevalence": 0.2,
        "holdout": {"n_frauds": 0, "n_legitimate": 0, "metrics": {}},
        "training": {},
        "libraries": {},
    }
    files = {BOOSTER: booster_bytes(booster), ONNX_MODEL: export_onnx(booster), GOLDEN: json.dumps(golden).encode()}
    write_bundle(folder, manifest, {**files, "baseline.json": b"{}", "MODEL_CARD.md": b"# Random\n"})
