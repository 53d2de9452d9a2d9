import gzip
import hashlib

import numpy as np
import pytest

from training.data import read_data
from training.documents import table_bytes
from training.errors import DataError
from training.schema import CREDITCARD


@pytest.fixture(scope="module")
def lines(table):
    """A header and 300 rows, the last 25 of them frauds."""
    chosen = np.r_[0:275, len(table) - 25 : len(table)]
    return table_bytes(table.take(chosen), CREDITCARD, ".csv").decode().splitlines()


@pytest.fixture
def write(tmp_path):
    def write_lines(lines):
        path = tmp_path / "transactions.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write_lines


def with_cell(lines, row, column, text):
    """Return the lines with one cell replaced; row 1 is the first after the header."""
    cells = lines[row].split(",")
    cells[lines[0].split(",").index(column)] = text
    return [*lines[:row], ",".join(cells), *lines[row + 1 :]]


def with_column(lines, column, text):
    for row in range(1, len(lines)):
        lines = with_cell(lines, row, column, text)
    return lines


def test_read_data_good_file_keeps_every_value(write, lines, table):
    path = write(lines)

    data = read_data(path, CREDITCARD)

    assert np.array_equal(data.table.values[:275], table.values[:275])
    assert data.table.is_fraud.sum() == 25
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_read_data_gzipped_file_reads_the_same(write, lines, tmp_path):
    plain = read_data(write(lines), CREDITCARD)
    zipped = tmp_path / "transactions.csv.gz"
    zipped.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))

    assert read_data(zipped, CREDITCARD).table.digest() == plain.table.digest()


def test_read_data_columns_in_another_order_reads_the_same(write, lines):
    plain = read_data(write(lines), CREDITCARD)
    turned = [",".join(reversed(line.split(","))) for line in lines]

    assert read_data(write(turned), CREDITCARD).table.digest() == plain.table.digest()


def test_read_data_without_uniform_column_takes_every_legitimate_row_as_uniform(write, lines):
    data = read_data(write(lines), CREDITCARD)

    assert not data.has_uniform_column
    assert np.array_equal(data.table.is_uniform, ~data.table.is_fraud)


def test_read_data_with_uniform_column_never_marks_a_fraud(write, lines):
    marked = [f"{lines[0]},uniform_random", *(f"{line},1" for line in lines[1:])]

    data = read_data(write(marked), CREDITCARD)

    assert data.has_uniform_column
    assert not (data.table.is_uniform & data.table.is_fraud).any()


def test_read_data_exact_duplicates_are_dropped_and_counted(write, lines):
    data = read_data(write([*lines, lines[1], lines[1], lines[-1]]), CREDITCARD)

    assert (data.n_rows, data.n_duplicates, len(data.table)) == (303, 3, 300)


def test_read_data_unknown_columns_are_ignored_and_named(write, lines):
    extra = [f"{lines[0]},merchant", *(f"{line},shop" for line in lines[1:])]

    assert read_data(write(extra), CREDITCARD).ignored_columns == ("merchant",)


BAD_FILES = {
    "missing column": (lambda lines: [line.rsplit(",", 2)[0] for line in lines], "missing columns: Amount, Class"),
    "a word": (lambda lines: with_cell(lines, 1, "V3", "high"), "V3: 1 cells are not numbers"),
    "empty cell": (lambda lines: with_cell(lines, 2, "V3", ""), "V3: 1 cells are empty or NaN"),
    "NaN": (lambda lines: with_cell(lines, 2, "V3", "NaN"), "V3: 1 cells are empty or NaN"),
    "infinity": (lambda lines: with_cell(lines, 2, "V3", "-inf"), "V3: 1 cells are infinite"),
    "overflow": (lambda lines: with_cell(lines, 2, "V3", "1e999"), "V3: 1 cells are infinite"),
    "out of range": (lambda lines: with_cell(lines, 2, "V3", "1e31"), "V3: 1 values outside -1e+30 to 1e+30"),
    "negative amount": (lambda lines: with_cell(lines, 1, "Amount", "-1"), "Amount: 1 values outside 0 to 1e+30"),
    "constant column": (lambda lines: with_column(lines, "V7", "1.5"), "V7: every row has the same value"),
    "label 2": (lambda lines: with_cell(lines, 1, "Class", "2"), "Class: 1 values are neither 0 nor 1"),
    "label half": (lambda lines: with_cell(lines, 1, "Class", "0.5"), "Class: 1 values are neither 0 nor 1"),
    "no label": (lambda lines: with_cell(lines, 1, "Class", ""), "Class: 1 cells are empty or NaN"),
    "no frauds": (lambda lines: lines[:276], "0 frauds: at least 20 distinct ones are needed"),
    "few frauds": (lambda lines: lines[:285], "9 frauds: at least 20 distinct ones are needed"),
    "few legitimate": (lambda lines: [lines[0], *lines[250:]], "26 uniformly sampled legitimate rows: at least 100"),
    "no rows": (lambda lines: lines[:1], "no rows"),
    "ragged": (lambda lines: [*lines, lines[1] + ",1,2"], "not a CSV file: Error tokenizing data"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_read_data_bad_file_names_the_problem(write, lines, case):
    change, message = BAD_FILES[case]

    with pytest.raises(DataError) as error:
        read_data(write(change(lines)), CREDITCARD)

    assert message in str(error.value)


def test_read_data_several_problems_are_reported_at_once(write, lines):
    bad = with_cell(with_cell(lines, 1, "V3", "high"), 2, "V4", "")

    with pytest.raises(DataError) as error:
        read_data(write(bad), CREDITCARD)

    assert error.value.problems == ("V3: 1 cells are not numbers", "V4: 1 cells are empty or NaN")
    assert str(error.value).count("\n  - ") == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a CSV file"),
        (b"\x1f\x8b\x08\x00broken", "not a whole gzip file"),
        (gzip.compress(b"Time,V1\n" * 100)[:-10], "not a whole gzip file"),
        (b"\xff\xfe\x00", "not a CSV file"),
        (b"PK\x03\x04\x00\xff", "not a CSV file"),
    ],
    ids=["nothing", "not gzip", "cut gzip", "not text", "zip archive"],
)
def test_read_data_other_file_is_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(DataError, match=message):
        read_data(path, CREDITCARD)


def test_read_data_absent_file_or_directory_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_data(tmp_path / "absent.csv", CREDITCARD)
    with pytest.raises(DataError, match="Is a directory"):
        read_data(tmp_path, CREDITCARD)
