import json

import numpy as np
import pytest
import xgboost as xgb

from training import ensemble
from training.ensemble import average
from training.errors import ExportError
from training.export import export_onnx, probe_rows, prove_equal
from training.model import fit_model
from training.schema import CREDITCARD
from training.train import Parameters, booster_bytes, margins_of

ROUNDS = {"max_rounds": 40, "min_rounds": 10, "patience": 10}


@pytest.fixture(scope="module")
def members(run):
    return [fit_model(run.split, CREDITCARD, Parameters(**ROUNDS), 0.05, seed).booster for seed in (7, 8, 9)]


@pytest.fixture(scope="module")
def rows(run, members):
    ends = [[each.minimum for each in CREDITCARD.fields], [each.maximum for each in CREDITCARD.fields]]
    known, ends = run.model.transform(run.split.train.values), run.model.transform(np.array(ends))
    return np.concatenate([probe_rows(booster, known, ends, seed=1) for booster in members])


def sigmoid(margins):
    return 1.0 / (1.0 + np.exp(-margins.astype(np.float64)))


def test_average_scores_as_the_mean_margin_of_its_members_wherever_they_split(members, rows):
    booster = average(members, rows[:10])

    mean = np.mean([margins_of(member, rows).astype(np.float64) for member in members], axis=0)
    assert np.abs(margins_of(booster, rows) - mean).max() < 1e-5
    assert np.abs(sigmoid(margins_of(booster, rows)) - sigmoid(mean)).max() <= 1e-6


def test_average_is_one_file_and_one_onnx_model_that_agree(members, rows):
    booster = average(members, rows[:10])

    proof = prove_equal(export_onnx(booster), booster, rows)

    assert proof.max_margin_difference == 0.0
    assert booster.num_boosted_rounds() == sum(member.num_boosted_rounds() for member in members)


def test_average_keeps_what_servers_need_and_can_be_read_again(members, rows):
    document = json.loads(booster_bytes(average(members, rows[:10])))
    again = xgb.Booster()
    again.load_model(bytearray(json.dumps(document).encode()))

    assert document["version"] == [3, 0, 5]
    assert float(document["learner"]["learner_model_param"]["base_score"]) == 0.5
    assert booster_bytes(again) == booster_bytes(average(members, rows[:10]))


def test_average_of_one_is_that_one(members, rows):
    assert average(members[:1], rows) is members[0]


def test_average_that_is_not_the_mean_is_refused(members, rows, monkeypatch):
    monkeypatch.setattr(ensemble, "_divided", lambda tree, number, divisor: {**tree, "id": number})

    with pytest.raises(ExportError, match="differs from the mean of its members"):
        average(members, rows)


def test_fit_model_with_seeds_averages_those_that_follow_the_first(run, members):
    model = fit_model(run.split, CREDITCARD, Parameters(n_seeds=3, **ROUNDS), 0.05, seed=7)

    assert booster_bytes(model.booster) == booster_bytes(average(members, model.transform(run.split.train.values[:5])))


def test_fit_model_progress_runs_once_through_all_seeds(run):
    shares = []
    fit_model(run.split, CREDITCARD, Parameters(n_seeds=2, **ROUNDS), 0.05, 7, shares.append)

    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (1 / 80, 1.0)
    assert 0.5 < max(share for share in shares if share < 1) <= 1
