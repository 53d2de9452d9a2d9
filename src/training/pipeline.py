"""From a data file to a model bundle: the steps of `python -m training train`, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.bundle import BOOSTER, GOLDEN, ONNX_MODEL, Bundle
from core.preprocessing import FeatureMatrix, Preprocessor
from core.scoring.embedded import EmbeddedScorer
from training.baseline import baseline
from training.card_pictures import card_pictures
from training.costs import CostModel
from training.cross_validation import cross_validate
from training.data import DataFile, Table
from training.errors import ExportError
from training.evaluate import evaluate, point_values
from training.export import TOLERANCE, export_onnx, probe_rows, prove_equal
from training.golden import golden_cases
from training.manifest import make_manifest
from training.model import FittedModel, fit_model
from training.preprocessing_trials import NOTHING_TRIED, PlanChoice, choose_plan
from training.publish import check_target, publish_bundle
from training.report import model_card
from training.run import Options, SearchBudget, TrainingRun
from training.schema import TableSchema
from training.search import search
from training.simulate import fit_simulator
from training.split import Split, split_table
from training.thresholds import choose_thresholds
from training.train import Parameters, booster_bytes
from training.weighting import real_prevalence


class OnProgress(Protocol):
    """Told the name of a step, the share of it that is done, and what there is to say of it."""

    def __call__(self, step: str, share: float, note: str = "", /) -> None: ...


FitModel = Callable[[Split, TableSchema, Parameters, float, int, Callable[[float], None]], FittedModel]
"""Fits a model to a split with these parameters, this prevalence and this seed: `fit_model`, or what stands for it."""


def _silent(_step: str, _share: float, _note: str = "") -> None:
    pass


def train_bundle(
    data: DataFile,
    schema: TableSchema,
    options: Options,
    out: Path,
    on_progress: OnProgress = _silent,
    fit: FitModel = fit_model,
) -> Bundle:
    """Train on `data`, prove the result, and put the bundle at `out`.

    Raises
    ------
    TrainingError
        The data or the target will not do, or a proof failed; whatever was at `out` is still there.
    """
    check_target(out)
    run = train(data, schema, options, on_progress, fit)
    on_progress("bundle", 0.0)
    manifest = make_manifest(run)
    bundle = publish_bundle(out, manifest, _bundle_files(run, manifest), partial(_prove_bundle, run))
    on_progress("bundle", 1.0)
    return bundle


def train(
    data: DataFile,
    schema: TableSchema,
    options: Options,
    on_progress: OnProgress = _silent,
    fit: FitModel = fit_model,
) -> TrainingRun:
    """Split, fit, export, choose thresholds on the validation rows, and only then look at the holdout."""
    prevalence = real_prevalence(data, options.prevalence)
    steps = _choose_steps(data.table, schema, options, prevalence, partial(on_progress, "steps"))
    schema = replace(schema, plan=steps.plan)
    split = split_table(data.table, schema, options.seed, kind=options.split)
    schema = schema.with_stand_ins(split.stand_ins)
    options, parameters, searched = _search(split, schema, options, prevalence, on_progress)
    model = fit(split, schema, parameters, prevalence, options.seed, partial(on_progress, "trees"))
    onnx_model = export_onnx(model.booster)
    validation = model.score(split.validation, prevalence)
    costs = CostModel.of(split.train, schema, options.costs)
    thresholds = choose_thresholds(validation, costs)
    holdout = model.score(split.holdout, prevalence)
    return TrainingRun(
        options=options,
        parameters=parameters,
        search=searched,
        schema=schema,
        data=data,
        prevalence=prevalence,
        split=split,
        steps=steps,
        model=model,
        onnx_model=onnx_model,
        proof=prove_equal(onnx_model, model.booster, _proof_rows(model, split.train, options.seed)),
        validation=validation,
        holdout=holdout,
        costs=costs,
        thresholds=thresholds,
        folds=cross_validate(
            data.table, schema, replace(options, parameters=parameters), prevalence, partial(on_progress, "folds")
        )
        or [{"n_frauds": holdout.n_frauds, **point_values(holdout)}],
        metrics=evaluate(holdout, options.seed, on_progress=partial(on_progress, "intervals")),
    )


def _search(
    split: Split, schema: TableSchema, options: Options, prevalence: float, on_progress: OnProgress
) -> tuple[Options, Parameters, dict[str, Any] | None]:
    """Return the options with the trials that were made, the parameters to use, and the record of the search."""
    if options.search.is_empty:
        return options, options.parameters, None
    found = search(split, schema, options, prevalence, partial(on_progress, "search"))
    made = replace(options, search=SearchBudget(trials=len(found.trials)))
    return made, found.parameters, found.describe()


def _choose_steps(
    table: Table, schema: TableSchema, options: Options, prevalence: float, on_progress: Callable[[float], None]
) -> PlanChoice:
    if not options.choose_steps:
        return NOTHING_TRIED
    # Nothing completed yet: what stands for missing values is a choice, too.
    split = split_table(table, replace(schema, optional_fields=frozenset()), options.seed, kind=options.split)
    known = split.train.join(split.validation)
    return choose_plan(known, schema, options.split, prevalence, options.seed, on_progress)


def _proof_rows(model: FittedModel, train: Table, seed: int) -> FeatureMatrix:
    ends = Preprocessor(model.schema.fields, model.features).ranges().astype(np.float32)
    return probe_rows(model.booster, model.transform(train.values), ends, seed)


def _bundle_files(run: TrainingRun, manifest: dict[str, Any]) -> dict[str, bytes]:
    seed = run.options.seed
    golden = golden_cases(run.model, run.thresholds, fit_simulator(run.split.train, run.schema), seed)
    drift = baseline(run.split.train, run.validation, run.thresholds, run.schema, run.prevalence)
    return {
        BOOSTER: booster_bytes(run.model.booster),
        ONNX_MODEL: run.onnx_model,
        GOLDEN: _json_bytes(golden),
        "baseline.json": _json_bytes(drift),
        "MODEL_CARD.md": model_card(manifest).encode(),
        **card_pictures(run.streams()["holdout"], run.thresholds, run.costs.assumed, seed, run.validation),
    }


def _json_bytes(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _prove_bundle(run: TrainingRun, bundle: Bundle) -> None:
    """Score the holdout through the written bundle and the scorer that serves; it must say what training said."""
    values = run.split.holdout.values
    served = asyncio.run(EmbeddedScorer(bundle).score(bundle.preprocessor.transform(values)))
    difference = np.abs(bundle.manifest.calibration.probabilities(served) - run.model.fraud_scores(values)).max()
    if not difference <= TOLERANCE:
        raise ExportError(f"the written bundle scores the holdout differently, by up to {difference:.3g}")
