"""The manifest of a training run; no time and no path in it, so that equal runs give equal bytes."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

import xgboost as xgb

from core.manifest import HoldoutMetrics
from training.bundle_columns import describe_columns
from training.cross_validation import means, spread
from training.data import Table
from training.decisions import describe_decisions
from training.evaluate import point_values
from training.reference import compare_with_published
from training.reliability import reliability_curve
from training.repeat import recorded
from training.run import TrainingRun
from training.split import SHARES
from training.typical import explanation

_LIBRARIES = ("matplotlib", "numpy", "onnx", "onnxmltools", "onnxruntime", "pandas", "scikit-learn")
_SPLITS = {
    "random": "random, stratified by label, uniform_random and difficulty; rows with equal features share a part",
    "out-of-time": "by time, training first and holdout last; rows with features of an earlier part are left out",
}


def make_manifest(run: TrainingRun) -> dict[str, Any]:
    """Return `manifest.json` complete but for the list of files."""
    holdout = HoldoutMetrics(n_frauds=run.holdout.n_frauds, n_legitimate=run.holdout.n_legitimate, metrics=run.metrics)
    return {
        "schema_version": 1,
        "name": run.options.name,
        "version": run.options.version,
        "fields": [each.model_dump(exclude_defaults=True) for each in run.schema.fields],
        "features": [each.model_dump() for each in run.model.features],
        "calibration": run.model.calibration.model_dump(),
        "thresholds": run.thresholds.model_dump(),
        "prevalence": run.prevalence,
        "holdout": holdout.model_dump(),
        "explanation": explanation(run.split.train, run.schema, run.options.seed),
        "training": _describe_training(run),
        "libraries": _library_versions(),
    }


def _describe_training(run: TrainingRun) -> dict[str, Any]:
    return {
        "options": recorded(run.options),
        "notice": run.options.notice or run.schema.notice,
        "seed": run.options.seed,
        "data": {
            "sha256": run.data.sha256,
            "rows": run.data.n_rows,
            "exact_duplicates_dropped": run.data.n_duplicates,
            "has_uniform_column": run.data.has_uniform_column,
            "files": run.data.n_files,
            "warnings": list(run.data.warnings),
            **({"allowed_leaks": list(run.data.leaks)} if run.data.leaks else {}),
        },
        "columns": describe_columns(run.schema),
        "split": {
            "kind": _SPLITS[run.split.kind],
            "by": run.split.kind,
            "rows_dropped_as_known_from_an_earlier_part": run.split.n_dropped,
            "rows_grouped_with_an_equal_one": run.split.n_grouped,
            "parts": {name: {"share": SHARES[name], **_count(part)} for name, part in run.split.parts().items()},
        },
        "imported": run.options.imported,
        "booster": {
            **({} if run.options.imported else asdict(run.parameters)),
            "n_trees": run.model.booster.num_boosted_rounds(),
        },
        "preprocessing": run.steps.describe(),
        **({} if run.search is None else {"search": run.search}),
        "export_proof": asdict(run.proof),
        "calibration_trials": {kind: asdict(trial) for kind, trial in run.model.calibration_trials.items()},
        "validation_metrics": point_values(run.validation),
        "cross_validation": {"folds": run.folds, "means": means(run.folds), "spread": spread(run.folds)},
        "reliability": {"holdout": reliability_curve(run.holdout), "validation": reliability_curve(run.validation)},
        **compare_with_published(run),
        "decisions": describe_decisions(run.thresholds, run.costs, None, run.streams(), run.options.seed),
    }


def _count(part: Table) -> dict[str, Any]:
    return {
        "rows": len(part),
        "frauds": int(part.is_fraud.sum()),
        "uniform_legitimate": int(part.is_uniform.sum()),
        "sha256": part.digest(),
    }


def _library_versions() -> dict[str, str]:
    versions = {name: metadata.version(name) for name in _LIBRARIES}
    # Its distribution is called xgboost-cpu, but not on every platform.
    return dict(sorted({**versions, "python": platform.python_version(), "xgboost": xgb.__version__}.items()))
