"""`Explainer`: Shapley values, held against the definition and against functions whose values are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from core.bundle import Bundle
from core.explanation import MAX_REASONS, Explainer
from core.preprocessing import FieldSpec, FieldValues
from tests.tiny_bundle import BASELINE, ODDS_FACTOR, expected_margin

N_FIELDS = 7
FIELDS = [
    FieldSpec(name=f"f{i}", minimum=-10.0, maximum=10.0, label="Amount" if i == 2 else None) for i in range(N_FIELDS)
]
USED = {field.name for field in FIELDS} - {"f4"}
RANDOM = np.random.default_rng(5)
TYPICAL = RANDOM.normal(size=(3, N_FIELDS)).tolist()
VALUES = RANDOM.normal(size=(9, N_FIELDS))
WEIGHTS = np.array([0.5, -1.0, 2.0, 0.0, 3.0, 0.25, -0.125])

Margins = Callable[[FieldValues], FieldValues]


def explainer_of(**changes: object) -> Explainer:
    return Explainer(**{"fields": FIELDS, "used": USED, "baseline": TYPICAL, "calibrate": lambda s: s, **changes})  # type: ignore[arg-type]


def scores_of(margins: Margins, explainer: Explainer, values: FieldValues = VALUES) -> FieldValues:
    """Return what a scorer that answers with these margins says of the derived rows."""
    return 1.0 / (1.0 + np.exp(-margins(explainer.derive(values))))


def linear(rows: FieldValues) -> FieldValues:
    return rows[:, [0, 1, 2, 3, 5, 6]] @ WEIGHTS[[0, 1, 2, 3, 5, 6]]


def products(rows: FieldValues) -> FieldValues:
    return linear(rows) + 0.7 * rows[:, 0] * rows[:, 2] - 0.4 * rows[:, 5] * rows[:, 6]


def tangled(rows: FieldValues) -> FieldValues:
    return np.sin(rows[:, 0] * rows[:, 1] * rows[:, 2]) + rows[:, 3] * np.abs(rows[:, 5] + rows[:, 6])


def shapley(margins: Margins, row: FieldValues, baseline: list[list[float]], players: list[int]) -> FieldValues:
    """Return the Shapley values by their definition: a weighted sum over all sets of players."""
    impacts = np.zeros(len(row))

    def worth(members: tuple[int, ...]) -> float:
        mixed = np.array(baseline)
        mixed[:, list(members)] = row[list(members)]
        return float(margins(mixed).mean())

    n = len(players)
    for player in players:
        others = [other for other in players if other != player]
        for size in range(n):
            share = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for members in combinations(others, size):
                impacts[player] += share * (worth((*members, player)) - worth(members))
    return impacts


@pytest.mark.parametrize("margins", [linear, products, tangled])
def test_impacts_sum_to_the_difference_from_the_baseline(margins: Margins) -> None:
    explainer = explainer_of()

    scores = scores_of(margins, explainer)
    log_odds = np.log(scores / (1.0 - scores))

    impacts = explainer.impacts(scores)

    expected = log_odds[:9] - log_odds[9:12].mean()
    assert np.abs(impacts.sum(axis=1) - expected).max() < 1e-14


def test_impacts_of_a_sum_of_fields_are_its_terms() -> None:
    explainer = explainer_of()

    impacts = explainer.impacts(scores_of(linear, explainer))

    expected = (VALUES - np.mean(TYPICAL, axis=0)) * np.where(np.arange(N_FIELDS) == 4, 0.0, WEIGHTS)
    assert np.abs(impacts - expected).max() < 1e-12


def test_impacts_where_fields_act_in_pairs_are_the_exact_shapley_values() -> None:
    """What a permutation gives one of two fields too much, its reverse gives too little."""
    explainer = explainer_of()

    impacts = explainer.impacts(scores_of(products, explainer))

    players = [index for index, field in enumerate(FIELDS) if field.name in USED]
    expected = np.array([shapley(products, row, TYPICAL, players) for row in VALUES])
    assert np.abs(impacts - expected).max() < 1e-12


def test_impacts_come_near_the_shapley_values_of_any_function_with_more_rows_of_baseline() -> None:
    players = [index for index, field in enumerate(FIELDS) if field.name in USED]
    expected = np.array([shapley(tangled, row, TYPICAL, players) for row in VALUES])

    def distance(times: int) -> float:
        explainer = explainer_of(baseline=TYPICAL * times)
        return float(np.abs(explainer.impacts(scores_of(tangled, explainer)) - expected).mean())

    assert distance(100) < distance(1) / 3
    assert distance(100) < 0.03


def test_impacts_of_the_tiny_model_are_the_shapley_values_of_its_tree(tiny: Bundle) -> None:
    manifest = tiny.manifest
    explainer = Explainer(manifest.fields, {"json", "log.amount"}, BASELINE, manifest.calibration.probabilities)
    rows = np.array([[5.0, 7.0, 300.0], [-1.0, 7.0, 300.0], [9.0, 7.0, 30.0]])

    def margins(values: FieldValues) -> FieldValues:
        return np.array([expected_margin(row[0], row[2]) + math.log(ODDS_FACTOR) for row in values.tolist()])

    raw = np.array([1.0 / (1.0 + math.exp(-expected_margin(row[0], row[2]))) for row in explainer.derive(rows)])

    expected = np.array([shapley(margins, row, BASELINE, [0, 2]) for row in rows])
    assert np.abs(explainer.impacts(raw) - expected).max() < 1e-12


def test_derived_rows_begin_with_the_transactions_and_hold_nothing_but_their_and_the_baselines_values() -> None:
    explainer = explainer_of()

    rows = explainer.derive(VALUES)

    assert len(rows) == explainer.n_rows(len(VALUES)) == 9 + 3 + 9 * 6 * (6 - 1)
    assert np.array_equal(rows[:9], VALUES)
    assert np.array_equal(rows[9:12], TYPICAL)
    known = np.concatenate([VALUES, TYPICAL])
    assert all(set(rows[:, column]) <= set(known[:, column]) for column in range(N_FIELDS))


def test_impacts_alone_and_in_a_batch_are_the_same_bits() -> None:
    explainer = explainer_of()
    scores = scores_of(tangled, explainer)
    together = explainer.impacts(scores)

    for index, row in enumerate(VALUES):
        rows, n_mixed = explainer.derive(row[np.newaxis]), explainer.n_rows(1) - 4
        start = 12 + index * n_mixed
        alone = np.concatenate([scores[[index]], scores[9:12], scores[start : start + n_mixed]])
        assert np.array_equal(rows[4:], explainer.derive(VALUES)[start : start + n_mixed])
        assert np.array_equal(explainer.impacts(alone)[0], together[index])


def test_two_explainers_of_one_bundle_agree_bit_by_bit() -> None:
    first, second = explainer_of(), explainer_of()

    assert np.array_equal(first.derive(VALUES), second.derive(VALUES))
    scores = scores_of(tangled, first)
    assert first.reasons(VALUES, scores) == second.reasons(VALUES, scores)


def test_reasons_are_the_strongest_impacts_in_order_with_the_values_of_the_transaction() -> None:
    explainer = explainer_of()
    scores = scores_of(linear, explainer)

    for row, impacts, reasons in zip(VALUES, explainer.impacts(scores), explainer.reasons(VALUES, scores), strict=True):
        strongest = sorted(range(N_FIELDS), key=lambda column: -abs(impacts[column]))[:MAX_REASONS]
        assert [reason.feature for reason in reasons] == [f"f{column}" for column in strongest]
        assert [reason.value for reason in reasons] == row[strongest].tolist()
        assert [reason.impact for reason in reasons] == impacts[strongest].tolist()
        assert all(reason.direction == ("raises" if reason.impact > 0 else "lowers") for reason in reasons)
        assert all(reason.label == ("Amount" if reason.feature == "f2" else None) for reason in reasons)


def test_field_that_the_model_does_not_see_or_that_makes_no_difference_is_no_reason() -> None:
    explainer = explainer_of()

    reasons = explainer.reasons(VALUES, scores_of(linear, explainer))

    assert all(len(each) == 5 for each in reasons)  # f3 has weight 0, and f4 is not used
    assert not {"f3", "f4"} & {reason.feature for each in reasons for reason in each}


def test_transaction_that_is_the_baseline_has_no_reasons() -> None:
    explainer = explainer_of(baseline=TYPICAL[:1])
    typical = np.array(TYPICAL[:1])

    assert explainer.reasons(typical, scores_of(tangled, explainer, typical)) == [()]


def test_single_used_field_gets_the_whole_difference() -> None:
    explainer = explainer_of(used={"f2"})

    impacts = explainer.impacts(scores_of(lambda rows: 2.0 * rows[:, 2], explainer))

    assert explainer.n_rows(9) == 9 + 3
    assert impacts[:, 2] == pytest.approx(2.0 * (VALUES[:, 2] - np.mean(TYPICAL, axis=0)[2]), abs=1e-12)


@pytest.mark.parametrize("margin", [800.0, 30.0, -30.0, -800.0])
def test_scores_of_0_and_1_have_finite_impacts_that_still_sum(margin: float) -> None:
    explainer = explainer_of(baseline=np.zeros((2, N_FIELDS)).tolist())

    def saturated(rows: FieldValues) -> FieldValues:
        return np.where((rows != 0.0).any(axis=1), margin, 0.0)

    with np.errstate(over="ignore"):
        impacts = explainer.impacts(scores_of(saturated, explainer))

    assert np.isfinite(impacts).all()
    total = {True: math.log(2.0**24 - 1), False: math.log(1e-12)}[margin > 0]
    assert impacts.sum(axis=1) == pytest.approx(np.full(9, total), rel=1e-9)


def test_calibration_that_answers_0_has_finite_impacts() -> None:
    explainer = explainer_of(calibrate=lambda scores: np.where(scores < 0.5, 0.0, scores))

    assert np.isfinite(explainer.impacts(scores_of(linear, explainer))).all()
