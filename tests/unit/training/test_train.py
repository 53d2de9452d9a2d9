import json

import numpy as np
import pytest
import xgboost as xgb

from core.preprocessing import Preprocessor
from training.data import Table
from training.model import fit_model
from training.schema import CREDITCARD
from training.split import Split
from training.train import Parameters, booster_bytes, fit_features, margins_of, raw_scores_of

FEW_ROUNDS = Parameters(max_rounds=40, min_rounds=10, patience=10)


def fit(split, seed=2026):
    return fit_model(split, CREDITCARD, FEW_ROUNDS, prevalence=0.05, seed=seed)


def test_fit_model_same_rows_and_seed_give_the_same_bytes(run):
    first, again, other = (booster_bytes(fit(run.split, seed).booster) for seed in (1, 1, 2))

    assert first == again != other


def test_fit_model_holdout_rows_change_nothing(run):
    split = run.split
    others = Table(split.holdout.values * 3 + 1, ~split.holdout.is_fraud, split.holdout.is_uniform)
    changed = Split(split.train, split.validation, others, split.n_grouped)

    plain, with_changed = fit(split), fit(changed)

    assert with_changed.features == plain.features
    assert booster_bytes(with_changed.booster) == booster_bytes(plain.booster)


def test_fit_features_training_rows_come_out_with_mean_0_and_deviation_1(run):
    values = run.split.train.values
    scaled = Preprocessor(CREDITCARD.fields, fit_features(values, CREDITCARD)).transform(values).astype(float)

    assert scaled.mean(axis=0) == pytest.approx(0.0, abs=1e-5)
    assert scaled.std(axis=0) == pytest.approx(1.0, abs=1e-5)


def test_fit_features_time_is_kept_from_the_model(run):
    assert [each.name for each in run.model.features] == [*(f"V{number}" for number in range(1, 29)), "Amount"]


def test_fit_features_column_without_spread_is_only_shifted(run):
    values = run.split.train.values.copy()
    values[:, 1] = 4.0

    step = fit_features(values, CREDITCARD)[0].steps[0]

    assert (step.mean, step.scale) == (4.0, 1.0)


def test_fit_booster_is_cut_to_the_best_round_within_bounds(run):
    n_trees = run.model.booster.num_boosted_rounds()

    assert Parameters.min_rounds <= n_trees <= Parameters.max_rounds
    assert run.model.booster.attributes() == {}


def test_fit_booster_has_no_fewer_rounds_than_asked(run):
    parameters = Parameters(max_rounds=30, min_rounds=25, patience=1)

    assert fit_model(run.split, CREDITCARD, parameters, 0.05, 1).booster.num_boosted_rounds() >= 25


def test_booster_bytes_is_what_the_servers_read(run):
    """A scalar base score of one half, saved by a version before 3.1: SageMaker misreads anything else."""
    document = json.loads(booster_bytes(run.model.booster))

    assert document["version"] == [3, 0, 5]
    assert float(document["learner"]["learner_model_param"]["base_score"]) == 0.5
    assert document["learner"]["learner_model_param"]["num_feature"] == "29"
    assert document["learner"]["objective"]["name"] == "binary:logistic"


def test_raw_scores_of_agree_with_those_of_the_booster(run):
    features = run.model.transform(run.split.holdout.values)
    native = run.model.booster.predict(xgb.DMatrix(features))

    assert np.abs(raw_scores_of(run.model.booster, features) - native).max() < 1e-6
    assert margins_of(run.model.booster, features).dtype == np.float32
