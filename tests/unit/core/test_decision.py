"""What to do with which probability, and with which amount at stake."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from core.decision import Decider, DecisionRule, ExpectedLoss, Thresholds

THRESHOLDS = Thresholds(review=0.2, decline=0.7)


@pytest.mark.parametrize(
    ("probability", "decision"),
    [
        (0.0, "approve"),
        (math.nextafter(0.2, 0), "approve"),
        (0.2, "review"),
        (math.nextafter(0.7, 0), "review"),
        (0.7, "decline"),
        (1.0, "decline"),
    ],
)
def test_decide_each_side_of_each_threshold(probability: float, decision: str) -> None:
    assert THRESHOLDS.decide(probability) == decision


def test_decide_equal_thresholds_never_review() -> None:
    thresholds = Thresholds(review=0.5, decline=0.5)

    assert [thresholds.decide(p) for p in (0.49, 0.5, 0.51)] == ["approve", "decline", "decline"]


@pytest.mark.parametrize(
    ("review", "decline"), [(0.7, 0.2), (0.0, 0.5), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5), ("0.1", 0.5)]
)
def test_thresholds_that_make_no_sense_are_refused(review: object, decline: object) -> None:
    with pytest.raises(ValidationError):
        Thresholds.model_validate({"review": review, "decline": decline})


COSTS = {
    "kind": "expected_loss",
    "amount_field": "Amount",
    "loss_share": 0.9,
    "chargeback_fee": 15.0,
    "false_decline": 25.0,
    "review": 4.0,
    "review_shadow_price": 1.5,
}


def expected_losses(rule: ExpectedLoss, probability: float, amount: float) -> dict[str, Fraction]:
    """Return what each decision costs on average, in exact arithmetic; the strictest decision first."""
    p, a = Fraction(probability), Fraction(amount)
    return {
        "decline": (1 - p) * Fraction(rule.false_decline),
        "review": Fraction(rule.review) + Fraction(rule.review_shadow_price),
        "approve": p * (Fraction(rule.loss_share) * a + Fraction(rule.chargeback_fee)),
    }


AMOUNTS = st.floats(0.0, 1e30) | st.floats(0.0, 500.0)


@given(
    probability=st.floats(0.0, 1.0) | st.floats(0.0, 0.1),
    amount=AMOUNTS,
    costs=st.fixed_dictionaries({
        "loss_share": st.floats(0.0, 1.0),
        "chargeback_fee": st.floats(0.01, 100.0),
        "false_decline": st.floats(0.01, 100.0),
        "review": st.floats(0.01, 100.0),
        "review_shadow_price": st.floats(0.0, 100.0),
    }),
)  # fmt: skip
def test_expected_loss_decides_for_the_least_expected_cost(
    probability: float, amount: float, costs: dict[str, float]
) -> None:
    rule = ExpectedLoss.model_validate({**COSTS, **costs})
    losses = expected_losses(rule, probability, amount)

    chosen, least = losses[rule.decide(probability, amount)], min(losses.values())

    assert chosen <= least + max(losses.values()) * Fraction(1, 10**14)  # floats round, fractions do not


def test_expected_loss_equal_costs_give_the_strictest_decision() -> None:
    rule = ExpectedLoss.model_validate(
        {**COSTS, "loss_share": 1.0, "chargeback_fee": 0.0, "false_decline": 8.0, "review_shadow_price": 0.0}
    )

    assert rule.decide(0.5, 8.0) == "decline"  # 4 for each of the three
    assert rule.decide(0.25, 16.0) == "review"  # 4 to approve, 4 to review, 6 to decline
    assert rule.decide(0.0, 1e9) == "approve"


def test_expected_loss_a_larger_amount_is_never_judged_more_mildly() -> None:
    rule = ExpectedLoss.model_validate(COSTS)
    severity = ["approve", "review", "decline"].index

    for probability in np.linspace(0, 1, 101).tolist():
        judged = [severity(rule.decide(probability, amount)) for amount in (0, 1, 10, 100, 1e3, 1e4, 1e30)]
        assert judged == sorted(judged)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "guess"},
        {"amount_field": ""},
        {"loss_share": -0.1},
        {"loss_share": 0.0, "chargeback_fee": 0.0},
        {"chargeback_fee": float("nan")},
        {"false_decline": 0.0},
        {"review": 0.0},
        {"review": "4"},
        {"review_shadow_price": -1.0},
        {"decline": 0.5},
    ],
)
def test_expected_loss_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ExpectedLoss.model_validate({**COSTS, **changes})


RULES: TypeAdapter[Thresholds | ExpectedLoss] = TypeAdapter(DecisionRule)


def test_rule_without_a_kind_is_two_cuts() -> None:
    assert RULES.validate_python({"review": 0.2, "decline": 0.7}) == THRESHOLDS


def test_rule_survives_the_way_through_json() -> None:
    for rule in (THRESHOLDS, ExpectedLoss.model_validate(COSTS)):
        assert RULES.validate_json(rule.model_dump_json()) == rule


def test_decider_reads_the_amount_from_its_column() -> None:
    values = np.array([[1e6, 0.0], [0.0, 1e6]])
    rule = ExpectedLoss.model_validate(COSTS)

    assert Decider(rule, ["Time", "Amount"]).decide([0.01, 0.01], values) == ["approve", "review"]
    assert Decider(THRESHOLDS, ["Time", "Amount"]).decide([0.01, 0.2], values) == ["approve", "review"]
