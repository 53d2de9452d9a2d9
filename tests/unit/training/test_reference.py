import json
from dataclasses import replace

import numpy as np
import pytest

from training.evaluate import Scored, best_f1, curve_of
from training.reference import best_f1_threshold, compare_with_published, figures_at
from training.schema import CREDITCARD

ROWS = Scored.of(
    np.array([0.9, 0.8, 0.7, 0.2, 0.1]), np.array([1, 0, 1, 1, 0], dtype=bool), np.array([1, 2, 1, 1, 5.0])
)


def test_figures_at_are_weighted_shares_of_what_is_flagged():
    figures = {name: metric.value for name, metric in figures_at(ROWS, 0.7, seed=1, n_resamples=20).items()}

    assert figures == {"precision": 0.5, "recall": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7)}


def test_figures_at_a_threshold_above_all_flags_nothing_and_nothing_wrong():
    figures = figures_at(ROWS, 0.95, seed=1, n_resamples=20)

    assert (figures["precision"].value, figures["recall"].high, figures["f1"].high) == (1.0, 0.0, 0.0)


def test_figures_at_no_false_alarm_in_the_sample_is_not_taken_for_none_in_the_world():
    """None among 1000 legitimate rows of weight 9: at most 0.368 % of them, a weight of 33 beside 10 frauds."""
    is_fraud = np.arange(1010) < 10
    scored = Scored.of(np.where(is_fraud, 0.9, 0.1), is_fraud, np.where(is_fraud, 1.0, 9.0))

    figures = figures_at(scored, 0.5, seed=1, n_resamples=20)

    unseen = 9000 * (1 - 0.025 ** (1 / 1000))
    assert unseen == pytest.approx(33, abs=0.2)
    assert figures["precision"].value == figures["precision"].high == 1.0
    assert figures["precision"].low == pytest.approx(10 / (10 + unseen))
    assert figures["f1"].low == pytest.approx(20 / (20 + unseen))
    assert figures["recall"].low == 1.0


def test_figures_at_intervals_enclose_the_values_and_depend_on_the_seed_alone(run):
    threshold = best_f1_threshold(run.validation)
    first, again = (figures_at(run.holdout, threshold, seed=1) for _ in range(2))

    assert first == again
    assert all(metric.low <= metric.value <= metric.high for metric in first.values())


def test_best_f1_threshold_reaches_the_best_f1(run):
    figures = figures_at(run.validation, best_f1_threshold(run.validation), seed=1, n_resamples=20)

    assert figures["f1"].value == pytest.approx(float(best_f1(curve_of(run.validation))))


def test_compare_with_published_is_for_the_public_data_alone(run):
    assert compare_with_published(run) == {}

    public = replace(run, options=replace(run.options, notice=CREDITCARD.notice))
    reference = json.loads(json.dumps(compare_with_published(public)))["reference"]

    assert reference["published"]["figures"]["f1"]["value"] == 0.831
    assert list(reference["model"]["figures"]) == list(reference["published"]["figures"])
    assert reference["model"]["n_frauds"] == run.holdout.n_frauds
