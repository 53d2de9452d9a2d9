"""`read_csv`: the same values as in JSON, whatever the order of the columns."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bundle import Bundle
from core.csv_document import read_csv
from core.errors import FraudScoringError, InvalidTransactionError, MalformedBodyError, TooManyItemsError
from core.json_document import read_json
from core.preprocessing import FieldSpec
from core.transactions import Transactions, TransactionSchema, tabulate


@pytest.fixture(scope="module")
def schema(tiny: Bundle) -> TransactionSchema:
    return TransactionSchema(tiny.manifest.fields)


def read(text: str, schema: TransactionSchema, max_items: int = 10) -> Transactions:
    return read_csv(text.encode(), schema, max_items)


def test_read_csv_columns_in_any_order_with_ids(schema: TransactionSchema) -> None:
    parsed = read("log.amount,transaction_id,json,class\n3,t-1,1.5,2\n6,,4.5,5e0\n", schema)

    assert parsed.ids == ["t-1", None]
    assert parsed.values.tolist() == [[1.5, 2.0, 3.0], [4.5, 5.0, 6.0]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
def test_read_csv_line_ends_do_not_matter(schema: TransactionSchema, end: str) -> None:
    newline = end or "\n"

    assert read(f"json,class,log.amount{newline}1,2,3{end}", schema).values.tolist() == [[1.0, 2.0, 3.0]]


NUMBER_CELLS = st.sampled_from("0 1 -1 0.1 1e5 1E-3 -0 -0.0 5e-400 1e999 01 .5 1. +1 1_0 NaN inf - e '' true".split())


@given(st.lists(NUMBER_CELLS, min_size=3, max_size=3))
def test_read_csv_cell_means_what_it_means_in_json(schema: TransactionSchema, cells: list[str]) -> None:
    document = "{" + ",".join(f"{json.dumps(n)}: {c}" for n, c in zip(schema.names, cells, strict=True)) + "}"
    table = ",".join(schema.names) + "\n" + ",".join(cells)

    in_json = outcome(lambda: tabulate([schema.parse_one(read_json(document.encode()))]))
    assert outcome(lambda: read(table, schema)) == in_json


def outcome(parse: object) -> object:
    """Return the bits of the values, or that they were refused."""
    try:
        return parse().values.tobytes()  # type: ignore[operator]
    except FraudScoringError:
        return "refused"


@pytest.mark.parametrize(
    "cells", ['"1,5",2,3', '1,2,"3,4"', '"1,2,3",4,5', '"",2,3', '1,"","2,3"', '"1],[2",3,4', "1,2,"]
)
def test_read_csv_quoted_cell_that_is_not_one_number_is_refused(schema: TransactionSchema, cells: str) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        read(f"json,class,log.amount\n{cells}\n", schema)

    assert {issue.code for issue in caught.value.issues} == {"float_type"}


def test_read_csv_empty_cell_of_an_only_column_is_refused() -> None:
    """Without a comma in the row, the emptiness shows in the shape alone."""
    schema = TransactionSchema([FieldSpec(name="amount", minimum=0, maximum=1)])

    with pytest.raises(InvalidTransactionError):
        read('amount\n""\n', schema)


def test_read_csv_range_is_checked_with_its_place(schema: TransactionSchema) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        read("json,class,log.amount\n1,2,3\n1,2,-3\n", schema)

    assert [(issue.loc, issue.code) for issue in caught.value.issues] == [
        (("body", 1, "log.amount"), "greater_than_equal")
    ]


def test_read_csv_more_rows_than_allowed_is_refused(schema: TransactionSchema) -> None:
    with pytest.raises(TooManyItemsError, match="at most 2 transactions, not 3"):
        read("json,class,log.amount\n" + "1,2,3\n" * 3, schema, max_items=2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("\ufeffjson,class,log.amount\n1,2,3\n", "byte order mark"),
        ("json;class;log.amount\n1;2;3\n", "by commas"),
        ('json,class,log.amount\n"1,2,3\n', "quotes do not match"),
        ("json,class,log.amount\n1,2," + "3" * 200_000, "a cell is too long"),
    ],
)
def test_read_csv_what_is_no_csv_is_refused_with_the_reason(schema: TransactionSchema, text: str, reason: str) -> None:
    with pytest.raises(MalformedBodyError, match=reason):
        read(text, schema)


@given(st.text(max_size=200))
def test_read_csv_any_text_is_read_or_refused(schema: TransactionSchema, text: str) -> None:
    assert outcome(lambda: read("json,class,log.amount\n" + text, schema)) is not None


@pytest.mark.parametrize(
    "text",
    ["json,class,log.amount\n,2,3\n1.5,2,3\n", "class,transaction_id,json,log.amount\n2,a,,3\n2,b,1.5,3\n"],
)
def test_read_csv_empty_cell_of_an_optional_field_is_what_the_bundle_says(tiny_optional: Bundle, text: str) -> None:
    parsed = read(text, TransactionSchema(tiny_optional.manifest.fields))

    assert parsed.values.tolist() == [[2.5, 2.0, 3.0], [1.5, 2.0, 3.0]]


def test_read_csv_column_of_an_optional_field_may_be_absent(tiny_optional: Bundle) -> None:
    parsed = read("class,log.amount\n2,3\n", TransactionSchema(tiny_optional.manifest.fields))

    assert parsed.values.tolist() == [[2.5, 2.0, 3.0]]


def test_read_csv_empty_cell_of_a_required_field_is_refused_beside_an_optional_one(tiny_optional: Bundle) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        read("json,class,log.amount\n,,3\n", TransactionSchema(tiny_optional.manifest.fields))

    assert [issue.loc for issue in caught.value.issues] == [("body", 0, "class")]
