import numpy as np
import pandas as pd
import pytest

from tests.unit.training.second_table import COLUMNS, FEATURES, payments
from training.columns import Columns, load_columns
from training.data import open_data
from training.errors import DataError, OptionError


@pytest.fixture(scope="module")
def frame():
    return payments(600, 60)


@pytest.fixture
def opened(tmp_path):
    """Return a function that writes a table and a columns file, and opens the one as the other says."""

    def open_written(frame, text=COLUMNS, **options):
        data, columns = tmp_path / "payments.csv", tmp_path / "columns.yaml"
        frame.to_csv(data, index=False)
        columns.write_text(text)
        return open_data(data, load_columns(columns, **options))

    return open_written


def with_column(frame, name, values):
    return frame.assign(**{name: values})


def leaking(frame):
    return with_column(frame, "chargeback_fee", frame["is_fraud"] * 15.0 + 1.0)


def test_open_data_takes_every_column_of_numbers_as_a_feature(frame, opened):
    data, schema = opened(frame)

    assert schema.feature_names == tuple(FEATURES)
    assert schema.field_names == ("booked_at", *FEATURES)
    assert data.ignored_columns == ("currency",)
    assert "currency: not numbers; left out" in data.warnings
    assert any(warning.startswith("merchant_risk: ") and "cells are empty" in warning for warning in data.warnings)
    assert np.array_equal(data.table.weights, frame["stands_for"])


def test_open_data_dates_become_unix_seconds(frame, opened):
    data, schema = opened(frame)

    seconds = data.table.values[:, schema.time_column]
    assert pd.Timestamp(seconds[0], unit="s") == frame["booked_at"].iloc[0]
    assert schema.time.starts_at_midnight


def test_open_data_parquet_keeps_dates_and_truth_values(frame, opened, tmp_path):
    path = tmp_path / "payments.parquet"
    with_column(frame, "is_fraud", frame["is_fraud"] == 1).to_parquet(path)
    from_csv, schema = opened(frame)

    data, _ = open_data(path, load_columns(tmp_path / "columns.yaml"))

    assert data.table.digest() == from_csv.table.digest()


def test_open_data_truth_values_of_the_target_are_read_from_text(frame, opened):
    data, _ = opened(with_column(frame, "is_fraud", frame["is_fraud"] == 1))

    assert data.table.is_fraud.sum() == 60


def test_open_data_options_replace_what_the_file_says(frame, opened):
    renamed = frame.rename(columns={"is_fraud": "truth"})

    _, schema = opened(renamed, target="truth", features="value, rate,merchant_risk")

    assert schema.feature_names == ("value", "rate", "merchant_risk")


def test_load_columns_without_a_word_is_the_public_data_set():
    assert load_columns(None, target=None, amount=None) is None


ALL_AT_ONCE = """\
target: [1]
speed: fast
features: [a, a]
time: {column: t, unit: years}
"""


def test_load_columns_every_fault_is_named_at_once(tmp_path):
    path = tmp_path / "columns.yaml"
    path.write_text(ALL_AT_ONCE)

    with pytest.raises(OptionError) as error:
        load_columns(path)

    lines = str(error.value).splitlines()
    assert lines[0].endswith("columns.yaml: the columns are not clear")
    for start in ("  - amount: missing", "  - target: ", "  - speed: unknown; known are target,", "  - time.unit: "):
        assert any(line.startswith(start) for line in lines), start


BAD_FILES = {
    "not yaml": ("target: [", "not YAML"),
    "a list": ("- target", "not a mapping"),
    "raw time as a feature": (
        "{target: y, amount: a, time: t, features: [a, t]}",
        "t is the time: a model of it would know when its training rows ended",
    ),
    "target as a feature": ("{target: y, amount: a, features: [a, y]}", "y cannot be a feature and something else"),
    "target as the amount": ("{target: y, amount: y}", "y cannot be the amount and something else"),
    "a name no request has": ("{target: y, amount: my amount}", "amount: String should match pattern"),
    "features twice": ("{target: y, amount: a, features: [a, a]}", "features named twice: a"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_load_columns_bad_file_says_why(tmp_path, case):
    text, message = BAD_FILES[case]
    path = tmp_path / "columns.yaml"
    path.write_text(text)

    with pytest.raises(OptionError) as error:
        load_columns(path)

    assert message in str(error.value)


BAD_FIELDS = {
    "reserved name": ("{target: is_fraud, amount: value, features: [features]}", "columns cannot be called features"),
    "unknown field": (COLUMNS.replace("merchant_risk", "merchant"), "fields: merchant is not among the columns"),
    "optional amount": ("{target: is_fraud, amount: value, fields: {value: {optional: true}}}", "value cannot be opt"),
    "empty range": ("{target: is_fraud, amount: value, fields: {rate: {minimum: 1, maximum: 1}}}", "below maximum"),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_open_data_columns_that_do_not_go_together_are_refused(frame, opened, case):
    text, message = BAD_FIELDS[case]

    with pytest.raises(OptionError) as error:
        opened(frame, text)

    assert message in str(error.value)


def test_load_columns_options_alone_must_say_target_and_amount():
    with pytest.raises(OptionError, match="amount: missing"):
        load_columns(None, target="is_fraud")


def test_open_data_copy_of_the_target_is_refused(frame, opened):
    with pytest.raises(DataError, match=r"chargeback_fee: tells frauds from the rest by itself"):
        opened(leaking(frame))


def test_open_data_leak_in_the_middle_of_the_range_is_refused_too(frame, opened):
    rng = np.random.default_rng(1)
    around = np.where(rng.random(len(frame)) < 0.5, rng.uniform(-9, -2, len(frame)), rng.uniform(2, 9, len(frame)))
    odd = with_column(frame, "odd", np.where(frame["is_fraud"] == 1, rng.uniform(-1, 1, len(frame)), around))

    with pytest.raises(DataError, match="odd: tells frauds"):
        opened(odd)


def test_open_data_leak_that_is_allowed_is_let_in_and_said(frame, opened):
    data, schema = opened(leaking(frame), COLUMNS + "allow_leak: [chargeback_fee, rate]\n")

    assert "chargeback_fee" in schema.feature_names
    assert data.leaks == ("chargeback_fee",), "and not rate, which tells nothing"
    assert any(warning.startswith("chargeback_fee: tells frauds") for warning in data.warnings)


def test_open_data_one_leak_that_is_allowed_lets_in_no_other(frame, opened):
    two = with_column(leaking(frame), "refund", frame["is_fraud"] * 3.0)

    with pytest.raises(DataError) as error:
        opened(two, COLUMNS + "allow_leak: [refund]\n")

    [problem] = error.value.problems
    assert problem.startswith("chargeback_fee: tells frauds")
    assert "--allow-leak chargeback_fee" in problem


@pytest.mark.parametrize("name", ["stands_for", "chargeback"])
def test_open_data_leak_of_no_feature_cannot_be_allowed(frame, opened, name):
    with pytest.raises(OptionError, match=f"no feature {name}"):
        opened(leaking(frame), COLUMNS + f"allow_leak: [{name}]\n")


def test_open_data_id_and_twin_are_warned_of(frame, opened):
    odd = with_column(with_column(frame, "customer", range(1, len(frame) + 1)), "rate_again", frame["rate"])

    data, _ = opened(odd)

    assert "customer: another whole number in every row, like an id; leave it out if it is one" in data.warnings
    assert "rate_again: the same values as rate" in data.warnings


def test_open_data_everything_wrong_is_said_at_once(frame, opened):
    bad = frame.assign(rate=4.0, basket=frame["basket"].where(frame.index != 3), stands_for=0.0)
    text = COLUMNS + "features: [value, rate, basket, merchant_risk]\n"

    with pytest.raises(DataError) as error:
        opened(bad, text)

    assert error.value.problems == (
        "basket: 1 cells are empty or NaN",
        "rate: every row has the same value",
        "stands_for: 600 weights are not above 0",
    )


def test_columns_schema_defaults_are_safe():
    schema = Columns(target="y", amount="a").table_schema(["b", "y", "a"])

    assert schema.feature_names == ("b", "a")
    assert (schema.time_field, schema.uniform_column, schema.weight_column) == (None, None, None)
    assert schema.fields[1].minimum == 0.0
