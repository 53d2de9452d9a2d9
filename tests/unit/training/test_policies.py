"""Rules compared on the same rows: costs counted by hand, and by brute force over every row."""

import numpy as np
import pytest

from core.decision import ExpectedLoss, Thresholds
from training.costs import AssumedCosts, Capacity, review_share
from training.data import Table
from training.evaluate import Scored
from training.policies import Stream, compare, rule_in_words, standard_rules
from training.schema import CREDITCARD
from training.thresholds import choose_expected_loss

COSTS = AssumedCosts(chargeback_fee=15.0, false_decline=25.0, review=4.0, loss_share=0.8)


def stream(scores, is_fraud, amounts, weights=None):
    values = np.zeros((len(scores), len(CREDITCARD.fields)))
    values[:, CREDITCARD.amount_column] = amounts
    is_fraud = np.array(is_fraud, dtype=bool)
    table = Table(values, is_fraud, ~is_fraud)
    weights = np.ones(len(scores)) if weights is None else np.array(weights, dtype=float)
    return Stream.of(Scored.of(np.array(scores, dtype=float), is_fraud, weights), table, CREDITCARD)


def random_stream(seed, n_rows=300):
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(n_rows) < 0.2
    scores = 1 / (1 + np.exp(-rng.normal(-3 + 4 * is_fraud, 1.5)))
    return stream(scores, is_fraud, rng.exponential(90.0, n_rows).round(2), np.where(is_fraud, 1.0, 7.0))


def test_stream_keeps_each_row_beside_its_score():
    rows = stream([0.1, 0.9, 0.5], [0, 1, 0], [10.0, 90.0, 50.0])

    assert rows.scored.scores.tolist() == [0.9, 0.5, 0.1]
    assert rows.amounts.tolist() == [90.0, 50.0, 10.0]


def test_compare_counts_each_outcome_at_its_own_amount():
    rows = stream([0.9, 0.8, 0.4, 0.3, 0.1, 0.05], [1, 0, 1, 0, 1, 0], [10, 20, 30, 40, 50, 60], [1, 7, 1, 7, 1, 7])

    outcomes = compare(rows, standard_rules(Thresholds(review=0.2, decline=0.5)), COSTS, seed=1, n_resamples=50)

    # One false decline of weight 7, reviews of weight 1 and 7, and a missed fraud of 50.
    assert outcomes["chosen"].mean_cost.value == pytest.approx((7 * 25 + 8 * 4 + 0.8 * 50 + 15) / 24)
    assert outcomes["approve everything"].mean_cost.value == pytest.approx((0.8 * (10 + 30 + 50) + 3 * 15) / 24)
    assert outcomes["chosen"].n_frauds == {"approve": 1, "review": 1, "decline": 1}
    assert outcomes["chosen"].n_legitimate == {"approve": 1, "review": 1, "decline": 1}
    assert outcomes["chosen"].shares == pytest.approx({"approve": 8 / 24, "review": 8 / 24, "decline": 8 / 24})


def test_compare_interval_holds_the_value_and_has_a_width():
    outcomes = compare(random_stream(1), standard_rules(Thresholds(review=0.2, decline=0.5)), COSTS, seed=1)

    for outcome in outcomes.values():
        assert outcome.mean_cost.low < outcome.mean_cost.value < outcome.mean_cost.high


def expected_costs(rows):
    scores = rows.scored.scores
    return {
        "decline": (1 - scores) * 25.0,
        "review": np.full(len(scores), 4.0),
        "approve": scores * (0.8 * rows.amounts + 15.0),
    }


@pytest.mark.parametrize("seed", range(5))
def test_expected_loss_without_a_limit_is_the_cheapest_decision_for_each_row(seed):
    rows = random_stream(seed)
    rule = choose_expected_loss(rows.scored, rows.amounts, "Amount", COSTS)

    costs = expected_costs(rows)
    names = np.array(list(costs))
    assert rule.review_shadow_price == 0.0
    assert rows.decisions(rule).tolist() == names[np.argmin(list(costs.values()), axis=0)].tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.1])
def test_expected_loss_reviews_within_the_limit_and_those_that_gain_most(seed, share):
    rows = random_stream(seed)
    rule = choose_expected_loss(rows.scored, rows.amounts, "Amount", COSTS, share)
    reviewed = rows.decisions(rule) == "review"
    weights = rows.scored.weights / rows.scored.weights.sum()

    costs = expected_costs(rows)
    gain = np.minimum(costs["approve"], costs["decline"]) - costs["review"]
    assert weights[reviewed].sum() <= share + 1e-9
    # Every row that is left out gains less than each that is reviewed, and the best of them would not have fitted.
    left_out = ~reviewed & (gain > 0)
    assert gain[left_out].max() <= gain[reviewed].min(initial=np.inf)
    assert weights[reviewed].sum() + weights[left_out][np.argmax(gain[left_out])] > share


def test_expected_loss_rows_that_gain_the_same_are_reviewed_all_or_none():
    rows = stream([0.2] * 10, [0] * 9 + [1], [100.0] * 10)

    rule = choose_expected_loss(rows.scored, rows.amounts, "Amount", COSTS, 0.5)

    assert "review" not in rows.decisions(rule)


def test_review_share_is_the_capacity_for_one_transaction():
    assert review_share(Capacity(50, 10_000)) == 0.005
    assert review_share(Capacity(50, 10)) == 1.0
    assert review_share(None) == 1.0


def test_rule_in_words_names_every_number():
    rule = ExpectedLoss(
        kind="expected_loss",
        amount_field="Amount",
        loss_share=0.8,
        chargeback_fee=15.0,
        false_decline=25.0,
        review=4.0,
        review_shadow_price=1.25,
    )

    assert all(number in rule_in_words(rule) for number in ("0.8", "15.00", "25.00", "4.00", "1.25"))
    assert rule_in_words(Thresholds(review=0.01, decline=0.7)) == "Review from 0.01, decline from 0.7."
