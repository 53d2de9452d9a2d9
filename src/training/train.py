"""Fits the preprocessing and the booster, on training rows only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import xgboost as xgb

from core.calibration import Scores
from core.preprocessing import FeatureMatrix
from training.arrays import Flags, Floats
from training.errors import OptionError
from training.evaluate import Scored, average_precision, curve_of

BASE_SCORE = 0.5
"""Explicit and scalar: the servers of SageMaker read no other kind without changing every score."""


@dataclass(frozen=True)
class Parameters:
    """What the booster is grown with.

    The defaults are the best of 12 combinations (depth 3, 4, 5; columns 0.3, 0.5; child weight 1, 5; 250 trees) by
    mean average precision over four folds of the shared data, the holdout apart. All twelve lie within 0.848 to
    0.857, with a standard deviation of about 0.012 between folds: a plateau.

    What more trying gave, on those folds and without the holdout: the best of 60 trials of a search had 0.865 where
    these had 0.858, but 0.858 and 0.857 over six other seeds, so that nearly all of the gain was luck; six seeds
    averaged instead of one, 0.858 instead of 0.857. Neither is worth more trees or a stranger model.
    """

    max_depth: int = 4
    eta: float = 0.05
    subsample: float = 0.8
    colsample_bytree: float = 0.5
    min_child_weight: float = 1.0
    reg_lambda: float = 1.0
    max_rounds: int = 800
    min_rounds: int = 100
    """Average precision over a few dozen frauds is noisy: without a floor, a lucky third tree can win, and then
    neither the ranking of the rest nor the probabilities are any good (seen in two of five folds)."""
    patience: int = 100
    """Rounds without a better average precision on the validation rows before growing stops."""
    n_seeds: int = 1
    """Boosters that differ by their seed alone, and whose margins are averaged."""
    increasing: tuple[str, ...] = ()
    """Features that may raise the score as they rise, and never lower it."""
    decreasing: tuple[str, ...] = ()

    def directions(self, feature_names: Sequence[str]) -> tuple[int, ...]:
        """Return 1, -1 or 0 for each feature, or nothing if no feature is held to a direction.

        Raises
        ------
        OptionError
            A name is no feature of the model, or is to rise and to fall.
        """
        named = {name: sign for sign, names in ((1, self.increasing), (-1, self.decreasing)) for name in names}
        if unknown := sorted(set(named).difference(feature_names)):
            raise OptionError(f"--increasing, --decreasing: the model has no feature {', '.join(unknown)}")
        if both := sorted(set(self.increasing).intersection(self.decreasing)):
            raise OptionError(f"--increasing, --decreasing: both are asked of {', '.join(both)}")
        return tuple(named.get(name, 0) for name in feature_names) if named else ()

    def grown_by(self) -> dict[str, float]:
        """Return what XGBoost has too, by its names there."""
        names = ("max_depth", "eta", "subsample", "colsample_bytree", "min_child_weight")
        return {**{name: getattr(self, name) for name in names}, "lambda": self.reg_lambda}

    def for_xgboost(self, seed: int, directions: tuple[int, ...] = ()) -> dict[str, Any]:
        held = {"monotone_constraints": f"({','.join(map(str, directions))})"} if directions else {}
        return {
            **self.grown_by(),
            **held,
            "objective": "binary:logistic",
            "base_score": BASE_SCORE,
            "tree_method": "hist",
            # One thread: the order of additions, and with it every bit of the model, is then always the same.
            "nthread": 1,
            "seed": seed,
            "disable_default_eval_metric": True,
        }


@dataclass(frozen=True)
class EvaluationRows:
    """The rows that decide when to stop."""

    features: FeatureMatrix
    is_fraud: Flags
    weights: Floats


_EvalsLog: TypeAlias = xgb.callback.TrainingCallback.EvalsLog


class _StopAtBest(xgb.callback.TrainingCallback):
    """Remembers the best round, and ends training when it lies `patience` rounds back."""

    def __init__(self, parameters: Parameters, on_round: Callable[[int], None]) -> None:
        super().__init__()
        self._parameters = parameters
        self._on_round = on_round
        self._best = -1.0
        self.best_round = 0

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: _EvalsLog) -> bool:
        n_rounds = epoch + 1
        self._on_round(n_rounds)
        value = float(np.ravel(evals_log["validation"]["average_precision"][-1])[0])
        if n_rounds >= self._parameters.min_rounds and value > self._best:
            self._best, self.best_round = value, n_rounds
        return n_rounds - max(self.best_round, self._parameters.min_rounds) >= self._parameters.patience


def fit_booster(
    features: FeatureMatrix,
    is_fraud: Flags,
    stopping: EvaluationRows,
    parameters: Parameters,
    seed: int,
    on_round: Callable[[int], None] = lambda _: None,
    directions: tuple[int, ...] = (),
    weights: Floats | None = None,
) -> xgb.Booster:
    """Grow trees until average precision, weighted to the real prevalence, no longer improves.

    Returns the booster cut to its best round, because servers use every tree that a file holds. `weights` are those of
    the rows that it grows on, shape (n_rows,).
    """

    def weighted_average_precision(scores: FeatureMatrix, _: xgb.DMatrix) -> tuple[str, float]:
        scored = Scored.of(scores.astype(np.float64), stopping.is_fraud, stopping.weights)
        return "average_precision", float(average_precision(curve_of(scored)))

    stop = _StopAtBest(parameters, on_round)
    booster = xgb.train(
        parameters.for_xgboost(seed, directions),
        _matrix(features, is_fraud, weights),
        parameters.max_rounds,
        evals=[(_matrix(stopping.features, stopping.is_fraud), "validation")],
        custom_metric=weighted_average_precision,
        verbose_eval=False,
        callbacks=[stop],
    )
    return booster[: stop.best_round]


def cut_to_best(booster: xgb.Booster, stopping: EvaluationRows, parameters: Parameters) -> xgb.Booster:
    """Return a booster that was grown elsewhere, for all rounds, as `fit_booster` would have returned it."""
    matrix = _matrix(stopping.features)
    stop = _StopAtBest(parameters, lambda _: None)
    margins = np.zeros(len(stopping.features), dtype=np.float32)
    for epoch in range(booster.num_boosted_rounds()):
        margins += booster.predict(matrix, output_margin=True, iteration_range=(epoch, epoch + 1))
        scored = Scored.of(1.0 / (1.0 + np.exp(-margins.astype(np.float64))), stopping.is_fraud, stopping.weights)
        value = float(average_precision(curve_of(scored)))
        if stop.after_iteration(booster, epoch, {"validation": {"average_precision": [value]}}):
            break
    return booster[: stop.best_round]


def margins_of(booster: xgb.Booster, features: FeatureMatrix) -> FeatureMatrix:
    """Return the log-odds that the booster gives, float32, shape (n_rows,)."""
    margins: FeatureMatrix = booster.predict(_matrix(features), output_margin=True)
    return margins


def raw_scores_of(booster: xgb.Booster, features: FeatureMatrix) -> Scores:
    """Return the raw scores as the embedded scorer computes them: a float64 sigmoid of the margin."""
    scores: Scores = 1.0 / (1.0 + np.exp(-margins_of(booster, features).astype(np.float64)))
    return scores


def booster_bytes(booster: xgb.Booster) -> bytes:
    """Return the booster as the JSON document that every version of XGBoost reads."""
    return bytes(booster.save_raw("json"))


def _matrix(features: FeatureMatrix, is_fraud: Flags | None = None, weights: Floats | None = None) -> xgb.DMatrix:
    return xgb.DMatrix(features, is_fraud, weight=weights, nthread=1)
