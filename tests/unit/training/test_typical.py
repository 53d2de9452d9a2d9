import numpy as np
import pytest

from core.bundle import load_bundle
from core.preprocessing import FieldSpec
from training.data import Table
from training.schema import TableSchema
from training.typical import MAX_ROWS, explanation, typical_transactions

SEED = 7


@pytest.fixture
def schema_of():
    """Return a function that makes a schema of so many fields, all of them features."""

    def make(n_fields):
        fields = tuple(FieldSpec(name=f"f{i}", minimum=-1e6, maximum=1e6) for i in range(n_fields))
        return TableSchema(fields=fields, feature_names=tuple(field.name for field in fields), notice="")

    return make


@pytest.fixture(scope="module")
def rows(table, run):
    return np.array(typical_transactions(table, run.schema, SEED))


def test_typical_transactions_have_one_value_from_each_equally_likely_part_of_each_field(table, run, rows):
    legitimate = table.values[table.is_uniform]

    assert rows.shape == (MAX_ROWS, len(run.schema.fields))
    for column, name in enumerate(run.schema.field_names):
        below = [(legitimate[:, column] < value).mean() for value in sorted(rows[:, column])]
        at_most = [(legitimate[:, column] <= value).mean() for value in sorted(rows[:, column])]
        # Repeated values fill several parts; the middle of each part lies at one of its values.
        middles = (np.arange(MAX_ROWS) + 0.5) / MAX_ROWS
        assert (np.array(below) <= middles + 0.001).all(), name
        assert (np.array(at_most) >= middles - 0.001).all(), name


def test_typical_transactions_are_no_rows_of_the_table_nor_near_any(table, rows):
    same_fields = (rows[:, np.newaxis, :] == table.values[np.newaxis]).sum(axis=2)

    assert same_fields.max() <= 4


def test_typical_transactions_owe_nothing_to_frauds_and_rows_that_were_picked(table, run):
    changed = table.values.copy()
    changed[table.is_fraud] = 1e6
    other = Table(changed, table.is_fraud, table.is_uniform)

    assert typical_transactions(other, run.schema, SEED) == typical_transactions(table, run.schema, SEED)


def test_typical_transactions_same_seed_same_rows_other_seed_others(table, run):
    again, other = (typical_transactions(table, run.schema, seed) for seed in (SEED, SEED + 1))

    assert again == typical_transactions(table, run.schema, SEED)
    assert again != other
    assert (np.sort(again, axis=0) == np.sort(other, axis=0)).all()


@pytest.mark.parametrize(("n_fields", "n_rows"), [(1, 8), (2, 8), (29, 8), (63, 8), (64, 7), (100, 5), (1000, 1)])
def test_typical_transactions_fewer_for_many_fields_keep_an_explanation_in_one_call(n_fields, n_rows, schema_of):
    values = np.random.default_rng(1).normal(size=(200, n_fields))
    table = Table(values, np.zeros(200, dtype=bool), np.ones(200, dtype=bool))

    assert len(typical_transactions(table, schema_of(n_fields), SEED)) == n_rows


def test_typical_transactions_of_two_values_keep_to_them(schema_of):
    values = np.column_stack([np.arange(100) % 10 == 0, np.arange(100)]).astype(float)
    table = Table(values, np.zeros(100, dtype=bool), np.ones(100, dtype=bool))

    assert {row[0] for row in typical_transactions(table, schema_of(2), SEED)} == {0.0, 1.0}


def test_explanation_is_in_the_bundle_and_typical_transactions_are_approved(run, bundle_dir):
    bundle = load_bundle(bundle_dir)
    baseline = explanation(run.split.train, run.schema, run.options.seed)["baseline"]

    assert bundle.manifest.explanation.model_dump(mode="json")["baseline"] == baseline
    assert run.model.fraud_scores(np.array(baseline)).max() < bundle.manifest.thresholds.review
