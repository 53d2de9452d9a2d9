"""The bundle that is in the repository: intact, and as good as it is said to be."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from core.bundle import load_bundle
from core.scoring.embedded import EmbeddedScorer
from training.evaluate import Scored, point_values

BUNDLE = Path(__file__).parents[3] / "models" / "creditcard"
BARS = {"roc_auc": 0.975, "average_precision": 0.80}
ENOUGH_FRAUDS = 50


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(BUNDLE)


def test_shipped_bundle_scores_its_golden_cases(bundle):
    EmbeddedScorer(bundle)


def test_shipped_bundle_answers_with_a_probability_and_no_rebalanced_score(bundle):
    assert bundle.manifest.holdout.metrics["mean_fraud_score_legitimate"].high < 0.005


@pytest.mark.parametrize("name", BARS)
def test_shipped_bundle_reaches_the_bars_over_all_fifths(bundle, name):
    cross_validation = bundle.manifest.training["cross_validation"]

    assert len(cross_validation["folds"]) == 5
    assert cross_validation["means"][name] >= BARS[name]


@pytest.mark.parametrize("name", BARS)
def test_shipped_bundle_reaches_the_bars_on_its_own_holdout(bundle, name):
    assert bundle.manifest.holdout.metrics[name].value >= BARS[name]


def test_shipped_bundle_holdout_is_large_enough_to_say_something(bundle):
    assert bundle.manifest.holdout.n_frauds >= ENOUGH_FRAUDS


def test_shipped_bundle_tells_simulated_frauds_from_simulated_legitimate_rows(bundle, simulator):
    table = simulator.draw(19_000, 1_000, seed=2026)
    raw_scores = asyncio.run(EmbeddedScorer(bundle).score(bundle.preprocessor.transform(table.values)))
    scores = bundle.manifest.calibration.probabilities(raw_scores)

    assert point_values(Scored.of(scores, table.is_fraud, np.ones(len(table))))["roc_auc"] > 0.98
    assert np.median(scores[table.is_fraud]) > 0.7
    assert np.median(scores[~table.is_fraud]) < 0.001
    # Some simulated frauds are as hard to see as some real ones.
    assert np.quantile(scores[table.is_fraud], 0.05) < bundle.manifest.thresholds.review
