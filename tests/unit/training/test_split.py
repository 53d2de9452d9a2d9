from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import Table
from training.errors import SplitError
from training.schema import CREDITCARD, CREDITCARD_WITHOUT_TIME, FeaturePlan
from training.split import feature_groups, split_table

N_FIELDS = len(CREDITCARD.fields)


def keys(table):
    return {row.tobytes() for row in table.values}


def test_split_table_parts_are_disjoint_and_complete(table):
    parts = split_table(table, CREDITCARD, seed=3).parts()

    assert sum(len(part) for part in parts.values()) == len(table)
    assert set.union(*(keys(part) for part in parts.values())) == keys(table)
    assert sum(len(keys(part)) for part in parts.values()) == len(keys(table))


def test_split_table_every_stratum_is_shared_out_60_20_20(table):
    is_uniform = table.is_uniform & (np.arange(len(table)) % 3 > 0)
    split = split_table(Table(table.values, table.is_fraud, is_uniform), CREDITCARD, seed=3)

    for flag, total in (("is_fraud", 150), ("is_uniform", is_uniform.sum())):
        counts = [int(getattr(part, flag).sum()) for part in split.parts().values()]
        assert counts == pytest.approx([0.6 * total, 0.2 * total, 0.2 * total], abs=2)


def test_split_table_parts_are_about_equally_hard(table):
    """The share of the hardest frauds, those with the least conspicuous V14, is the same in every fifth."""
    v14 = CREDITCARD.field_names.index("V14")
    hard = np.median(table.values[table.is_fraud, v14])
    holdouts = [split_table(table, CREDITCARD, 3, rotation).holdout for rotation in range(5)]

    shares = [(holdout.values[holdout.is_fraud, v14] > hard).mean() for holdout in holdouts]
    assert shares == pytest.approx([0.5] * 5, abs=0.15)


def test_split_table_same_seed_gives_the_same_rows(table):
    digests = [[part.digest() for part in split_table(table, CREDITCARD, seed).parts().values()] for seed in (3, 3, 4)]

    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])


def test_split_table_over_all_rotations_each_row_is_held_out_once(table):
    holdouts = [keys(split_table(table, CREDITCARD, 3, rotation).holdout) for rotation in range(5)]

    assert sum(len(holdout) for holdout in holdouts) == len(table)
    assert set.union(*holdouts) == keys(table)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=40, max_size=120), st.integers(0, 100))
def test_split_table_rows_with_equal_features_share_a_part(contents, seed):
    # Rows of one content differ in Time, which the model does not see, and in the label.
    values = np.repeat(np.array(contents, dtype=float)[:, np.newaxis], N_FIELDS, axis=1)
    values[:, 0] = np.arange(len(contents))
    is_fraud = np.arange(len(contents)) % 2 == 0
    split = split_table(Table(values, is_fraud, ~is_fraud), CREDITCARD, seed)

    contents_of_parts = [set(part.values[:, 1]) for part in split.parts().values()]
    assert sum(len(part) for part in contents_of_parts) == len(set(contents))
    assert split.n_grouped == len(contents) - len(set(contents))


def test_feature_groups_positive_and_negative_zero_are_equal():
    values = np.zeros((2, N_FIELDS))
    values[1] = -0.0

    groups = feature_groups(Table(values, np.zeros(2, bool), np.ones(2, bool)), CREDITCARD)

    assert groups[0] == groups[1]


def in_time(table, rotation=0):
    return split_table(table, CREDITCARD, seed=3, rotation=rotation, kind="out-of-time")


@pytest.mark.parametrize("rotation", [0, 1, 2])
def test_split_table_out_of_time_parts_follow_each_other(table, rotation):
    parts = in_time(table, rotation).parts()

    times = [part.values[:, 0] for part in parts.values()]
    assert max(times[0]) < min(times[1]) <= max(times[1]) < min(times[2])
    assert [len(part) for part in parts.values()] == pytest.approx([600 * (3 - rotation), 600, 600], abs=15)


def test_split_table_out_of_time_rotations_hold_out_ever_earlier_rows(table):
    holdouts = [in_time(table, rotation).holdout.values[:, 0] for rotation in range(3)]

    assert min(holdouts[0]) > max(holdouts[1]) > min(holdouts[1]) > max(holdouts[2])


def test_split_table_out_of_time_known_features_are_left_out_of_later_parts(table):
    values = table.values.copy()
    last, first = values[:, 0].argmax(), values[:, 0].argmin()
    values[last, 1:] = values[first, 1:]
    split = in_time(Table(values, table.is_fraud, table.is_uniform))

    assert (split.n_dropped, split.n_grouped) == (1, 1)
    assert sum(len(part) for part in split.parts().values()) == len(table) - 1
    assert values[last].tobytes() not in keys(split.holdout)


def test_split_table_out_of_time_without_fraud_in_a_part_is_refused(table):
    values = table.values.copy()
    values[:, 0] = np.where(table.is_fraud, 0.0, 1.0 + np.arange(len(table)))

    with pytest.raises(SplitError, match="the validation rows have no fraud"):
        in_time(Table(values, table.is_fraud, table.is_uniform))


def test_split_table_out_of_time_needs_a_time(table):
    without = Table(table.values[:, 1:], table.is_fraud, table.is_uniform)

    with pytest.raises(SplitError, match="needs a time column"):
        split_table(without, CREDITCARD_WITHOUT_TIME, seed=3, kind="out-of-time")


@pytest.mark.parametrize("kind", ["random", "out-of-time"])
def test_split_table_missing_values_are_completed_from_training_rows(table, kind):
    v3 = CREDITCARD.field_names.index("V3")
    values = table.values.copy()
    values[::4, v3] = np.nan
    schema = replace(CREDITCARD, optional_fields=frozenset({"V3"}))

    split = split_table(Table(values, table.is_fraud, table.is_uniform), schema, seed=3, kind=kind)

    known = split.train.values[:, v3][split.train.values[:, v3] != split.stand_ins["V3"]]
    assert split.stand_ins["V3"] == pytest.approx(np.median(known), abs=1e-3)
    assert not any(np.isnan(part.values).any() for part in split.parts().values())
    below = split_table(
        Table(values, table.is_fraud, table.is_uniform), replace(schema, plan=FeaturePlan(missing_below=True)), 3
    )
    assert below.stand_ins["V3"] < known.min()
