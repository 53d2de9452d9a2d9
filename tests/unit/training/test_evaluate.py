import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score

from training.evaluate import Scored, curve_of, evaluate, point_values, reliability_bins, resample_weights
from training.reliability import reliability_curve


def random_rows(seed, n_rows=400):
    """Scores with many ties, a tenth of the rows frauds, a fifth of the rows without weight."""
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(n_rows) < 0.1
    scores = np.round(np.clip(rng.normal(0.3 + 0.3 * is_fraud, 0.2), 0.0, 1.0), 2)
    return scores, is_fraud, np.where(rng.random(n_rows) < 0.2, 0.0, rng.uniform(0.5, 8.0, n_rows))


@pytest.mark.parametrize("seed", range(5))
def test_point_values_equal_those_of_scikit_learn_with_sample_weights(seed):
    scores, is_fraud, weights = random_rows(seed)
    ours = point_values(Scored.of(scores, is_fraud, weights))
    del ours["expected_calibration_error"]  # scikit-learn has none

    precision, recall, _ = precision_recall_curve(is_fraud, scores, sample_weight=weights)
    expected = {
        "roc_auc": roc_auc_score(is_fraud, scores, sample_weight=weights),
        "average_precision": average_precision_score(is_fraud, scores, sample_weight=weights),
        "best_f1": (2 * precision * recall / (precision + recall + 1e-15)).max(),
        "recall_at_90_precision": recall[precision >= 0.9].max(),
        "brier": brier_score_loss(is_fraud, scores, sample_weight=weights),
        "mean_fraud_score_legitimate": np.average(scores[~is_fraud], weights=weights[~is_fraud]),
    }
    assert ours == pytest.approx(expected, abs=1e-12)


def test_point_values_perfect_ranking_reaches_the_ideal():
    values = point_values(Scored.of(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]), np.ones(3)))

    assert [values[name] for name in ("roc_auc", "average_precision", "best_f1", "recall_at_90_precision")] == [1.0] * 4


def test_point_values_one_score_for_all_gives_the_prevalence_as_average_precision():
    values = point_values(Scored.of(np.full(10, 0.5), np.arange(10) < 2, np.ones(10)))

    assert values["average_precision"] == pytest.approx(0.2)
    assert values["roc_auc"] == pytest.approx(0.5)
    assert values["recall_at_90_precision"] == 0.0


def test_evaluate_interval_encloses_the_value_and_depends_on_the_seed_alone():
    scored = Scored.of(*random_rows(1))
    first, again, other = (evaluate(scored, seed, n_resamples=200) for seed in (1, 1, 2))

    assert first == again != other
    biased = first.pop("expected_calibration_error")
    assert biased.low <= biased.high
    assert all(metric.low <= metric.value <= metric.high for metric in first.values())
    assert all(metric.confidence == 0.95 for metric in first.values())


def test_evaluate_interval_of_a_mean_agrees_with_its_standard_error():
    rng = np.random.default_rng(3)
    scores = rng.uniform(0, 0.2, 2050)
    scored = Scored.of(scores, np.arange(2050) < 50, np.ones(2050))

    metric = evaluate(scored, seed=1)["mean_fraud_score_legitimate"]

    standard_error = scores[50:].std() / np.sqrt(2000)
    assert (metric.high - metric.low) / 2 == pytest.approx(1.96 * standard_error, rel=0.1)


def test_resample_weights_draws_as_many_of_each_class_as_there_are():
    scored = Scored.of(np.linspace(0, 1, 60), np.arange(60) % 6 == 0, np.where(np.arange(60) % 6 == 0, 1.0, 7.0))

    weights = resample_weights(scored, 20, np.random.default_rng(1))

    assert weights[:, scored.is_fraud].sum(axis=1).tolist() == [10.0] * 20
    assert weights[:, ~scored.is_fraud].sum(axis=1).tolist() == [350.0] * 20


def test_scored_rows_without_weight_take_no_part():
    scored = Scored.of(np.array([0.1, 0.9, 0.5]), np.array([True, False, False]), np.array([1.0, 0.0, 2.0]))

    assert scored.scores.tolist() == [0.5, 0.1]
    assert (scored.n_frauds, scored.n_legitimate) == (1, 1)


def test_curve_resample_that_misses_the_top_rows_has_no_missing_precision():
    scored = Scored.of(np.array([0.9, 0.5, 0.1]), np.array([False, True, False]), np.ones(3))

    curve = curve_of(scored, np.array([[0.0, 1.0, 2.0]]))

    assert curve.precision.tolist() == [[1.0, 1.0, pytest.approx(1 / 3)]]


def ece(scores, is_fraud, weights):
    return point_values(Scored.of(scores, is_fraud, weights))["expected_calibration_error"]


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_expected_calibration_error_of_a_known_error_is_that_error(factor):
    """Two scores, each with its true share of frauds; all scores times a factor are wrong by the mean difference."""
    scores = np.repeat([0.1, 0.4], 1000)
    is_fraud = np.concatenate([np.arange(1000) < 100, np.arange(1000) < 400])

    assert ece(scores * factor, is_fraud, np.ones(2000)) == pytest.approx(abs(factor - 1) * 0.25, abs=1e-12)


def test_expected_calibration_error_errors_of_two_sides_do_not_cancel():
    scores, is_fraud = np.repeat([0.2, 0.4], 1000), np.tile(np.arange(1000) < 300, 2)

    assert ece(scores, is_fraud, np.ones(2000)) == pytest.approx(0.1, abs=1e-12)


def test_expected_calibration_error_is_weighted():
    """A tenth of the rows is fraud; with legitimate rows nine times as heavy 1 in 82 is, and the score says so."""
    is_fraud = np.arange(1000) < 100
    scores = np.full(1000, 1 / 82)

    assert ece(scores, is_fraud, np.where(is_fraud, 1.0, 9.0)) == pytest.approx(0.0, abs=1e-12)
    assert ece(scores, is_fraud, np.ones(1000)) == pytest.approx(0.1 - 1 / 82, abs=1e-12)


def test_expected_calibration_error_of_true_probabilities_is_small():
    rng = np.random.default_rng(1)
    scores = rng.beta(0.05, 5.0, 200_000)

    assert ece(scores, rng.random(200_000) < scores, np.ones(200_000)) < 0.001


def test_reliability_curve_bins_part_all_rows_between_scores_and_see_both_classes():
    scored = Scored.of(*random_rows(1))
    bins = reliability_curve(scored)

    assert 8 <= len(bins) <= 10
    assert sum(each["n_frauds"] for each in bins) == scored.n_frauds
    assert sum(each["n_legitimate"] for each in bins) == scored.n_legitimate
    assert sum(each["weight_share"] for each in bins) == pytest.approx(1.0)
    assert [each["mean_score"] for each in bins] == sorted(each["mean_score"] for each in bins)
    lowest = [each["lowest_score"] for each in bins]
    assert lowest == sorted(set(lowest))
    error = sum(each["weight_share"] * abs(each["mean_score"] - each["fraud_share"]) for each in bins)
    assert error == pytest.approx(point_values(scored)["expected_calibration_error"], abs=1e-12)


def test_reliability_bins_one_score_for_all_makes_one_bin():
    assert reliability_bins(Scored.of(np.full(50, 0.5), np.arange(50) < 5, np.ones(50))).tolist() == [0]
