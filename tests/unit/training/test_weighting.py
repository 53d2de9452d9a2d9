from dataclasses import replace

import numpy as np
import pytest

from core.calibration import PriorCorrection
from training.data import DataFile, Table
from training.weighting import (
    CREDITCARD_PREVALENCE,
    growing_weights,
    odds_factor,
    real_prevalence,
    real_world_weights,
)


def rows(n_frauds, n_uniform, n_other=0):
    is_fraud = np.arange(n_frauds + n_uniform + n_other) < n_frauds
    is_uniform = ~is_fraud & (np.arange(len(is_fraud)) < n_frauds + n_uniform)
    return Table(np.zeros((len(is_fraud), 1)), is_fraud, is_uniform)


@pytest.mark.parametrize("prevalence", [0.0017, 0.1, 0.5])
def test_real_world_weights_frauds_have_the_given_share(prevalence):
    table = rows(30, 500, n_other=200)

    weights = real_world_weights(table, prevalence)

    assert weights[table.is_fraud].sum() / weights.sum() == pytest.approx(prevalence)
    assert weights[table.is_fraud].tolist() == [1.0] * 30


def test_real_world_weights_rows_outside_the_uniform_sample_weigh_nothing():
    table = rows(3, 5, n_other=4)

    weights = real_world_weights(table, 0.1)

    assert weights[~table.is_fraud & ~table.is_uniform].tolist() == [0.0] * 4


@pytest.mark.parametrize("kept_share", [0.5, 0.1, 0.01])
def test_odds_factor_undoes_the_sampling_of_legitimate_rows(kept_share):
    # The truth: how many of each class look like x, for six different x.
    frauds = np.array([90, 40, 25, 10, 5, 1])
    legitimate = np.array([100, 1000, 10_000, 100_000, 500_000, 900_000])
    kept = legitimate * kept_share
    labels = np.repeat([True, False], [frauds.sum(), int(kept.sum())])

    # A perfect model of the sampled rows says kept share by kept share how many are frauds.
    factor = odds_factor(labels, frauds.sum() / (frauds.sum() + legitimate.sum()))
    corrected = PriorCorrection(kind="prior_correction", odds_factor=factor).probabilities(frauds / (frauds + kept))

    assert corrected == pytest.approx(frauds / (frauds + legitimate), rel=1e-9)


def test_odds_factor_of_a_fair_sample_changes_nothing():
    assert odds_factor(np.arange(1000) < 25, 0.025) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("has_uniform_column", "given", "expected"),
    [(False, None, 0.25), (True, None, CREDITCARD_PREVALENCE), (True, 0.01, 0.01), (False, 0.01, 0.01)],
)
def test_real_prevalence_source_is_given_then_public_then_the_file(has_uniform_column, given, expected):
    data = DataFile(rows(1, 3), "", 4, 0, has_uniform_column, ())

    assert real_prevalence(data, given) == pytest.approx(expected)


def test_creditcard_prevalence_is_that_of_the_public_data_set():
    assert CREDITCARD_PREVALENCE == 0.001727485630620034


def test_growing_weights_of_a_table_that_gives_none_are_none():
    assert growing_weights(rows(3, 5)) is None


def test_growing_weights_keep_each_class_at_its_share_and_the_rows_of_a_class_at_theirs():
    table = replace(rows(2, 4), given_weights=np.array([1.0, 3.0, 10.0, 10.0, 10.0, 50.0]))

    weights = growing_weights(table)

    assert weights == pytest.approx([0.5, 1.5, 0.5, 0.5, 0.5, 2.5])
    assert weights[table.is_fraud].sum() == 2
    assert weights[~table.is_fraud].sum() == 4
