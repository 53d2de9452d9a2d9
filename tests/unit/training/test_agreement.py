"""Reasons against XGBoost's own Shapley values: on simulated frauds here, on real ones where they are at hand."""

import numpy as np
import pytest
import xgboost as xgb

from core.bundle import BOOSTER, load_bundle
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from tests.repository import BUNDLE, ROOT
from training.agreement import agreement, sampled, tree_shap
from training.data import read_data
from training.schema import CREDITCARD

N_FRAUDS = 400
BARS = {"top_1": 0.93, "top_3": 0.80}
REAL_TRANSACTIONS = ROOT.parent / "shared" / "data" / "creditcard_real.csv.gz"


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(BUNDLE)


@pytest.fixture(scope="module")
def explainer(bundle):
    return ScoringService(bundle, EmbeddedScorer(bundle)).explainer


@pytest.fixture(scope="module")
def frauds(simulator):
    return simulator.draw(0, N_FRAUDS, seed=11).values


@pytest.fixture(scope="module")
def real_frauds():
    if not REAL_TRANSACTIONS.exists():
        pytest.skip("the shared data are not beside this checkout")
    table = read_data(REAL_TRANSACTIONS, CREDITCARD).table
    return table.values[table.is_fraud]


@pytest.mark.parametrize("values", ["frauds", "real_frauds"])
def test_reasons_agree_with_tree_shap_on_at_least_300_frauds(bundle, explainer, request, values):
    found = agreement(bundle, explainer, request.getfixturevalue(values))

    assert found.n_transactions >= 300
    assert found.top_1 >= BARS["top_1"]
    assert found.top_3 >= BARS["top_3"]
    assert found.rows <= 1000


def test_impacts_of_the_shipped_model_sum_to_the_difference_from_the_baseline(bundle, explainer, frauds):
    scores = ScoringService(bundle, EmbeddedScorer(bundle)).scorer._score(
        bundle.preprocessor.transform(explainer.derive(frauds))
    )
    probabilities = bundle.manifest.calibration.probabilities(scores)
    log_odds = np.log(probabilities / (1.0 - probabilities))
    n, n_baseline = len(frauds), len(bundle.manifest.explanation.baseline)

    sums = explainer.impacts(scores).sum(axis=1)

    assert np.abs(sums - (log_odds[:n] - log_odds[n : n + n_baseline].mean())).max() < 1e-12


def test_tree_shap_values_sum_to_the_margin_with_the_bias_and_leave_unused_fields_out(bundle, frauds):
    booster = xgb.Booster()
    booster.load_model(bytearray(bundle.files[BOOSTER]))
    matrix = xgb.DMatrix(bundle.preprocessor.transform(frauds))
    bias = booster.predict(matrix, pred_contribs=True)[:, -1]

    impacts = tree_shap(bundle, frauds)

    assert impacts.sum(axis=1) + bias == pytest.approx(booster.predict(matrix, output_margin=True), abs=1e-4)
    assert not impacts[:, bundle.field_names.index("Time")].any()


def test_agreement_of_reasons_of_another_order_is_poor(bundle, explainer, frauds):
    """The measure can tell: of impacts that belong to other fields it makes nothing good."""
    exact, ours = tree_shap(bundle, frauds), sampled(bundle, explainer, frauds)
    shifted = np.roll(ours, 1, axis=1)

    assert (np.abs(shifted).argmax(axis=1) == np.abs(exact).argmax(axis=1)).mean() < 0.2
    assert (np.abs(ours).argmax(axis=1) == np.abs(exact).argmax(axis=1)).mean() >= BARS["top_1"]
