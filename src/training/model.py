"""A fitted model as it will be served: preprocessing, booster and prior correction in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xgboost as xgb

from core.calibration import Calibration, Scores
from core.preprocessing import FeatureMatrix, FeatureSpec, FieldValues, Preprocessor
from training.calibrate import CalibrationTrial, choose_calibration
from training.data import Table
from training.ensemble import average
from training.evaluate import Scored
from training.features import fit_features
from training.schema import TableSchema
from training.split import Split
from training.train import EvaluationRows, Parameters, fit_booster, raw_scores_of
from training.weighting import growing_weights, odds_factor, real_world_weights


@dataclass(frozen=True)
class FittedModel:
    """Everything that turns posted values into a probability of fraud."""

    schema: TableSchema
    features: tuple[FeatureSpec, ...]
    booster: xgb.Booster
    calibration: Calibration
    calibration_trials: dict[str, CalibrationTrial]

    def transform(self, values: FieldValues) -> FeatureMatrix:
        """Return what the booster sees, made by the very code that serves."""
        return Preprocessor(self.schema.fields, self.features).transform(values)

    def raw_scores(self, values: FieldValues) -> Scores:
        return raw_scores_of(self.booster, self.transform(values))

    def fraud_scores(self, values: FieldValues) -> Scores:
        return self.calibration.probabilities(self.raw_scores(values))

    def score(self, table: Table, prevalence: float) -> Scored:
        """Return the fraud scores of a table with weights to the given prevalence."""
        return Scored.of(self.fraud_scores(table.values), table.is_fraud, real_world_weights(table, prevalence))


def fit_model(
    split: Split,
    schema: TableSchema,
    parameters: Parameters,
    prevalence: float,
    seed: int,
    on_progress: Callable[[float], None] = lambda _: None,
) -> FittedModel:
    """Fit preprocessing and boosters on the training rows; the validation rows say when to stop, and calibrate."""

    def fit(preprocessor: Preprocessor, stopping: EvaluationRows) -> xgb.Booster:
        features = preprocessor.transform(split.train.values)
        directions = parameters.directions(schema.model_feature_names)
        weights = growing_weights(split.train)
        boosters = []
        for number in range(parameters.n_seeds):

            def on_round(n_rounds: int, n_done: int = number) -> None:
                on_progress((n_done + n_rounds / parameters.max_rounds) / parameters.n_seeds)

            grown = fit_booster(
                features, split.train.is_fraud, stopping, parameters, seed + number, on_round, directions, weights
            )
            boosters.append(grown)
        return average(boosters, stopping.features)

    model = model_around(fit, split, schema, prevalence, seed)
    on_progress(1.0)
    return model


def model_around(
    booster_for: Callable[[Preprocessor, EvaluationRows], xgb.Booster],
    split: Split,
    schema: TableSchema,
    prevalence: float,
    seed: int,
) -> FittedModel:
    """Return a model with preprocessing of the training rows and calibration of the validation rows.

    Whoever grew the booster: `booster_for` may have it from elsewhere.
    """
    features = fit_features(split.train.values, schema)
    preprocessor = Preprocessor(schema.fields, features)
    stopping = EvaluationRows(
        preprocessor.transform(split.validation.values),
        split.validation.is_fraud,
        real_world_weights(split.validation, prevalence),
    )
    booster = booster_for(preprocessor, stopping)
    raw = Scored.of(raw_scores_of(booster, stopping.features), stopping.is_fraud, stopping.weights)
    choice = choose_calibration(raw, odds_factor(split.train.is_fraud, prevalence), seed)
    return FittedModel(schema, features, booster, choice.calibration, choice.trials)
