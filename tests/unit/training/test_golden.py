import numpy as np
import pytest

from core.bundle import MIN_GOLDEN_CASES
from training.golden import N_CASES, golden_cases


@pytest.fixture(scope="module")
def cases(run, simulator):
    return golden_cases(run.model, run.thresholds, simulator, seed=1)


def test_golden_cases_are_distinct_and_enough(cases):
    assert N_CASES >= MIN_GOLDEN_CASES
    assert len({tuple(case.values()) for case in cases["transactions"]}) == N_CASES


def test_golden_cases_span_the_scores_without_large_gaps(cases):
    scores = np.array(cases["fraud_scores"])
    log_odds = np.log(scores / (1 - scores))

    assert scores.min() < 0.01 and scores.max() > 0.95
    assert np.diff(log_odds).max() < (log_odds[-1] - log_odds[0]) / 10


def test_golden_cases_show_both_sides_of_each_threshold(run, cases):
    decisions = [run.thresholds.decide(score) for score in cases["fraud_scores"]]

    assert cases["decisions"] == decisions
    assert set(decisions) == {"approve", "review", "decline"}


def test_golden_cases_answers_are_those_of_the_model(run, cases):
    values = np.array([list(case.values()) for case in cases["transactions"]])

    assert cases["fraud_scores"] == run.model.fraud_scores(values).tolist()
    assert cases["raw_scores"] == run.model.raw_scores(values).tolist()
    assert cases["features"] == run.model.transform(values).astype(float).tolist()
