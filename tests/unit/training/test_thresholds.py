import itertools

import numpy as np
import pytest

from core.decision import Thresholds
from training.costs import AssumedCosts, CostModel
from training.evaluate import Scored
from training.schema import CREDITCARD
from training.thresholds import LABEL_SHARE, choose_thresholds, mean_cost, point_of

COSTS = CostModel(100.0, AssumedCosts(chargeback_fee=15.0, false_decline=25.0, review=4.0))


def random_rows(seed, n_rows=60):
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(n_rows) < 0.3
    scores = 1 / (1 + np.exp(-rng.normal(-2 + 3 * is_fraud, 1.5)))
    return Scored.of(np.round(scores, 2) + 0.001, is_fraud, np.where(is_fraud, 1.0, 7.0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("review", [0.5, 4.0, 30.0])
def test_choose_thresholds_no_other_pair_costs_less(seed, review):
    scored = random_rows(seed)
    costs = CostModel(100.0, AssumedCosts(review=review))
    chosen = choose_thresholds(scored, costs)

    cuts = [*np.unique(scored.scores).tolist(), 1.0]
    pairs = [Thresholds(review=low, decline=high) for low, high in itertools.combinations_with_replacement(cuts, 2)]
    cheapest = min(mean_cost(scored, pair, costs, LABEL_SHARE) for pair in pairs)
    assert mean_cost(scored, chosen, costs, LABEL_SHARE) == pytest.approx(cheapest, rel=1e-12)


def test_choose_thresholds_dear_review_leaves_no_room_for_it():
    chosen = choose_thresholds(random_rows(1), CostModel(100.0, AssumedCosts(review=1000.0)))

    assert chosen.review == chosen.decline


def test_choose_thresholds_free_review_declines_nothing_that_could_be_legitimate():
    chosen = choose_thresholds(random_rows(1), CostModel(100.0, AssumedCosts(review=0.0)))

    assert chosen.decline == 1.0


def test_choose_thresholds_lies_between_scores():
    scored = random_rows(2)
    chosen = choose_thresholds(scored, COSTS)

    assert not {chosen.review, chosen.decline} & set(scored.scores.tolist())


def test_mean_cost_counts_each_outcome_once():
    scored = Scored.of(
        np.array([0.9, 0.8, 0.4, 0.3, 0.1, 0.05]),
        np.array([True, False, True, False, True, False]),
        np.array([1.0, 7.0, 1.0, 7.0, 1.0, 7.0]),
    )

    cost = mean_cost(scored, Thresholds(review=0.2, decline=0.5), COSTS)

    # One false decline of weight 7, reviews of weight 1 and 7, one missed fraud.
    assert cost == pytest.approx((7 * 25.0 + 8 * 4.0 + 115.0) / 24)
    assert mean_cost(scored, None, COSTS) == pytest.approx(3 * 115.0 / 24)


def test_operating_point_weighs_rows_and_counts_them():
    scored = Scored.of(np.array([0.9, 0.5, 0.4, 0.1]), np.array([1, 0, 1, 0], bool), np.array([1.0, 7.0, 1.0, 7.0]))

    point = point_of(scored, scored.scores >= 0.5)

    assert (point.precision, point.recall, point.alert_rate) == (1 / 8, 0.5, 0.5)
    assert (point.n_frauds, point.n_legitimate) == (1, 1)


def test_operating_point_nothing_flagged_has_no_false_alarm():
    scored = random_rows(1)

    point = point_of(scored, scored.scores >= 1.0)

    assert (point.precision, point.recall, point.alert_rate) == (1.0, 0.0, 0.0)


def test_cost_model_missed_fraud_is_the_mean_amount_of_training_frauds_and_the_fee(table):
    costs = CostModel.of(table, CREDITCARD, AssumedCosts(chargeback_fee=10.0))

    assert costs.missed_fraud == pytest.approx(table.values[table.is_fraud, -1].mean() + 10.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.3])
def test_choose_thresholds_no_other_pair_within_the_capacity_costs_less(seed, share):
    scored = random_rows(seed)
    chosen = choose_thresholds(scored, COSTS, share)

    def reviewed(pair):
        between = (scored.scores >= pair.review) & (scored.scores < pair.decline)
        return scored.weights[between].sum() / scored.weights.sum()

    cuts = [*np.unique(scored.scores).tolist(), 1.0]
    pairs = [Thresholds(review=low, decline=high) for low, high in itertools.combinations_with_replacement(cuts, 2)]
    cheapest = min(mean_cost(scored, pair, COSTS, LABEL_SHARE) for pair in pairs if reviewed(pair) <= share + 1e-12)
    assert reviewed(chosen) <= share + 1e-12
    assert mean_cost(scored, chosen, COSTS, LABEL_SHARE) == pytest.approx(cheapest, rel=1e-12)
