"""Which optional steps of preprocessing are worth having: tried on rows that are not the holdout, simplest first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xgboost as xgb

from core.preprocessing import Preprocessor
from training.arrays import Floats
from training.data import Table
from training.errors import SplitError
from training.evaluate import Scored, average_precision, curve_of
from training.features import fit_features
from training.schema import FeaturePlan, TableSchema
from training.split import Split, SplitKind, split_table
from training.train import Parameters
from training.weighting import growing_weights, real_world_weights

N_FOLDS = 3
LEAST_GAIN = 0.005
"""In average precision; a smaller one is not worth a step more, however sure it is."""
ERRORS_OF_NOISE = 2.0
"""A gain counts if it is more than this many standard errors of its mean over the folds."""
_WORKERS = 2
_PARAMETERS = Parameters(eta=0.1)
_ROUNDS = 150


@dataclass(frozen=True)
class Trial:
    """What one step changed."""

    name: str
    average_precision: float
    """Mean over the folds, with the step."""
    gain: float
    """Mean over the folds, above the best so far."""
    noise: float
    """The gain has to be above this."""
    verdict: str


@dataclass(frozen=True)
class PlanChoice:
    """The steps to take, and why."""

    plan: FeaturePlan
    simplest: float | None
    """Mean average precision without any optional step; None: nothing could be tried."""
    trials: tuple[Trial, ...]

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records."""
        return {
            "chosen": asdict(self.plan),
            "rows": f"training and validation rows, {N_FOLDS} folds; the holdout apart",
            "least_gain": LEAST_GAIN,
            "standard_errors": ERRORS_OF_NOISE,
            "simplest": self.simplest,
            "trials": [asdict(trial) for trial in self.trials],
        }


NOTHING_TRIED = PlanChoice(FeaturePlan(), None, ())


def choose_plan(
    table: Table,
    schema: TableSchema,
    kind: SplitKind,
    prevalence: float,
    seed: int,
    on_progress: Callable[[float], None] = lambda _: None,
) -> PlanChoice:
    """Try each step on top of those that helped before, by average precision over folds.

    Parameters
    ----------
    table : rows that may take part in choices, their missing values still missing
    """
    scores: dict[FeaturePlan, Floats] = {}
    folds: dict[bool, list[Split]] = {}
    candidates = _candidates(schema)

    def score(plan: FeaturePlan) -> Floats:
        if plan not in scores:
            planned = replace(schema, plan=plan)
            if plan.missing_below not in folds:
                folds[plan.missing_below] = [split_table(table, planned, seed, k, kind) for k in range(N_FOLDS)]
            score_fold = partial(_score_fold, schema=planned, prevalence=prevalence)
            with ThreadPoolExecutor(_WORKERS) as pool:
                scores[plan] = np.array(list(pool.map(score_fold, folds[plan.missing_below])))
            on_progress(len(scores) / (1 + len(candidates)))
        return scores[plan]

    best = FeaturePlan()
    trials = []
    try:
        for name in candidates:
            tried = replace(best, **{name: True})
            trial = _compare(name, score(tried), score(best))
            trials.append(trial)
            best = tried if trial.verdict == "taken" else best
        simplest = float(score(FeaturePlan()).mean())
    except SplitError:
        # Too few frauds for folds within folds: the simplest, then.
        return NOTHING_TRIED
    on_progress(1.0)
    return PlanChoice(best, simplest, tuple(trials))


def _candidates(schema: TableSchema) -> list[str]:
    """Return the names of the steps that make sense for such a table; raw time last, and never to be taken."""
    has_time = schema.time_field is not None
    asked = {
        "log_amounts": bool(schema.money_fields.intersection(schema.feature_names)),
        "clip": True,
        "missing_below": bool(schema.optional_fields.intersection(schema.feature_names)),
        "time_of_day": has_time and schema.time.starts_at_midnight,
        "raw_time": has_time,
    }
    return [name for name, makes_sense in asked.items() if makes_sense]


def _compare(name: str, tried: Floats, best: Floats) -> Trial:
    differences = tried - best
    gain = float(differences.mean())
    noise = max(LEAST_GAIN, ERRORS_OF_NOISE * float(differences.std(ddof=1)) / len(differences) ** 0.5)
    verdict = "taken" if gain > noise else "not above the noise"
    return Trial(name, float(tried.mean()), gain, noise, "refused" if name == "raw_time" else verdict)


def _score_fold(split: Split, schema: TableSchema, prevalence: float) -> float:
    """Grow a plain booster on the training and validation rows of a fold; return its precision on the third part."""
    known = split.train.join(split.validation)
    preprocessor = Preprocessor(schema.fields, fit_features(known.values, schema))
    booster = xgb.train(
        {**_PARAMETERS.for_xgboost(0), "disable_default_eval_metric": True},
        xgb.DMatrix(preprocessor.transform(known.values), known.is_fraud, weight=growing_weights(known), nthread=1),
        _ROUNDS,
    )
    unseen = xgb.DMatrix(preprocessor.transform(split.holdout.values), nthread=1)
    margins = booster.predict(unseen, output_margin=True).astype(np.float64)
    scored = Scored.of(margins, split.holdout.is_fraud, real_world_weights(split.holdout, prevalence))
    return float(average_precision(curve_of(scored)))
