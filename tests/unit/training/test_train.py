import json
from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb

from core.preprocessing import Preprocessor
from training.columns import Columns
from training.data import Table
from training.errors import OptionError
from training.features import fit_features
from training.model import fit_model
from training.schema import CREDITCARD
from training.split import Split, split_table
from training.train import Parameters, booster_bytes, margins_of, raw_scores_of

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


def test_fit_model_held_features_move_the_score_one_way_only(run):
    """Without the constraints the same probes find steps the other way."""
    sixty = Parameters(max_rounds=60, min_rounds=60)
    free = fit_model(run.split, CREDITCARD, sixty, 0.05, seed=1)
    held = fit_model(run.split, CREDITCARD, replace(sixty, increasing=("V4",), decreasing=("V14",)), 0.05, seed=1)
    values = run.split.holdout.values[:200]

    def steps(model, name):
        column = CREDITCARD.field_names.index(name)
        points = np.quantile(run.split.train.values[:, column], np.linspace(0, 1, 30))
        probes = np.repeat(values, len(points), axis=0)
        probes[:, column] = np.tile(points, len(values))
        return np.diff(margins_of(model.booster, model.transform(probes)).reshape(len(values), -1), axis=1)

    assert (steps(held, "V4") >= 0).all() and (steps(held, "V4") > 0).any()
    assert (steps(held, "V14") <= 0).all() and (steps(held, "V14") < 0).any()
    assert (steps(free, "V4") < 0).any() or (steps(free, "V14") > 0).any()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (Parameters(increasing=("Amont",)), "no feature Amont"),
        (Parameters(decreasing=("Time",)), "no feature Time"),
        (Parameters(increasing=("V1", "V2"), decreasing=("V2",)), "both are asked of V2"),
    ],
)
def test_directions_of_no_feature_or_of_both_ways_are_refused(parameters, message):
    with pytest.raises(OptionError, match=message):
        parameters.directions(CREDITCARD.feature_names)


def test_directions_without_any_leave_the_booster_as_it_was():
    assert Parameters().directions(CREDITCARD.feature_names) == ()
    assert "monotone_constraints" not in Parameters().for_xgboost(1)


def test_fit_model_sees_the_world_through_rows_that_were_sampled_unevenly():
    """Of legitimate transactions abroad a tenth was kept, with weight 10: fraud there is no likelier than at home."""
    rng = np.random.default_rng(11)
    is_fraud = rng.random(40_000) < 0.05
    abroad = rng.random(len(is_fraud)) < 0.5
    values = np.column_stack([rng.normal(is_fraud * 1.0, 1.0), abroad, rng.exponential(50.0, len(is_fraud))])
    kept = is_fraud | ~abroad | (rng.random(len(is_fraud)) < 0.1)
    weights = np.where(abroad & ~is_fraud, 10.0, 1.0)
    schema = Columns(target="y", amount="amount", weight="weight").table_schema(["signal", "abroad", "amount"])
    table = Table(values[kept], is_fraud[kept], ~is_fraud[kept], weights[kept])
    parameters = Parameters(max_depth=2, eta=0.3, max_rounds=30, min_rounds=30)

    def odds_abroad(given):
        split = split_table(replace(table, given_weights=given), schema, seed=1)
        model = fit_model(split, schema, parameters, prevalence=0.05, seed=1)
        scores = model.fraud_scores(values)
        odds = [scores[group].mean() / (1 - scores[group].mean()) for group in (abroad, ~abroad)]
        return odds[0] / odds[1]

    assert odds_abroad(weights[kept]) == pytest.approx(1.0, abs=0.25)
    assert odds_abroad(None) > 3.0
