"""`TransactionSchema` with the fields of another bundle than the shipped one."""

from __future__ import annotations

from typing import Any

import pytest

from core.bundle import Bundle
from core.errors import InvalidTransactionError, MalformedBodyError, TooManyItemsError
from core.preprocessing import FieldValues
from core.transactions import Transaction, TransactionSchema, tabulate

GOOD = {"json": 1.5, "class": 2, "log.amount": 3.25}


@pytest.fixture(scope="module")
def schema(tiny: Bundle) -> TransactionSchema:
    return TransactionSchema(tiny.manifest.fields)


def values_of(transaction: Transaction) -> FieldValues:
    return tabulate([transaction]).values


def issues_of(error: pytest.ExceptionInfo[InvalidTransactionError]) -> list[tuple[tuple[str | int, ...], str, str]]:
    return [(issue.loc, issue.code, issue.message) for issue in error.value.issues]


def test_parse_one_field_names_that_are_words_of_python_are_read(schema: TransactionSchema) -> None:
    parsed = tabulate([schema.parse_one({"log.amount": 3.25, "transaction_id": "t-1", "class": 2, "json": 1.5})])

    assert parsed.ids == ["t-1"]
    assert parsed.values.tolist() == [[1.5, 2.0, 3.25]]


def test_parse_one_vector_follows_the_order_of_the_fields(schema: TransactionSchema) -> None:
    assert values_of(schema.parse_one({"features": [1.5, 2, 3.25]})).tolist() == [[1.5, 2.0, 3.25]]


def test_parse_one_attribute_name_of_ours_is_no_field(schema: TransactionSchema) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        schema.parse_one({**GOOD, "field_0": 1.0})

    assert issues_of(caught) == [(("body", "<unknown>"), "extra_forbidden", "Field not allowed.")]


def test_parse_one_misspelt_field_is_hinted_at(schema: TransactionSchema) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        schema.parse_one({"json": 1.5, "class": 2, "log.amuont": 3.25})

    message = "Field not allowed; did you mean `log.amount`?"
    assert (("body", "<unknown>"), "extra_forbidden", message) in issues_of(caught)


def test_parse_one_field_that_is_there_is_not_hinted_at(schema: TransactionSchema) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        schema.parse_one({**GOOD, "log.amuont": 3.25})

    assert issues_of(caught) == [(("body", "<unknown>"), "extra_forbidden", "Field not allowed.")]


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        (10.5, "less_than_equal", "Input should be less than or equal to 10."),
        (-10.5, "greater_than_equal", "Input should be greater than or equal to -10."),
        (float("inf"), "finite_number", "Input should be a finite number."),
        (1e39, "finite_number", "Input should be a finite number."),
        (10**400 - 1, "finite_number", "Input should be a finite number."),
        (True, "float_type", "Input should be a valid number."),
        ("7391.482913", "float_type", "Input should be a valid number."),
    ],
)
def test_parse_one_bad_value_is_named_but_not_repeated(
    schema: TransactionSchema, value: object, code: str, message: str
) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        schema.parse_one({**GOOD, "json": value})

    assert issues_of(caught) == [(("body", "json"), code, message)]
    assert str(caught.value) == "1 field is invalid."


def test_parse_one_field_that_no_feature_is_made_from_may_exceed_float32(schema: TransactionSchema) -> None:
    assert values_of(schema.parse_one({**GOOD, "class": 1e200}))[0, 1] == 1e200


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_parse_one_integer_of_401_digits_is_malformed(schema: TransactionSchema, value: int) -> None:
    with pytest.raises(MalformedBodyError, match="over 400 digits"):
        schema.parse_one({**GOOD, "json": value})


def test_parse_many_keeps_order_and_ids(schema: TransactionSchema) -> None:
    items: list[Any] = [{**GOOD, "json": float(i), "transaction_id": str(i)} for i in range(5)]
    items[3] = {"features": [3.0, 2, 3.25]}

    parsed = schema.parse_many({"transactions": items}, max_items=5)

    assert parsed.ids == ["0", "1", "2", None, "4"]
    assert parsed.values[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_parse_many_one_more_than_allowed_is_refused_before_it_is_validated(schema: TransactionSchema) -> None:
    with pytest.raises(TooManyItemsError, match=r"^A batch may have at most 2 transactions, not 3\.$"):
        schema.parse_many({"transactions": [None, None, None]}, max_items=2)


def test_parse_many_reports_issues_of_several_items_up_to_a_limit(schema: TransactionSchema) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        schema.parse_many({"transactions": [{}] * 30}, max_items=30)

    assert len(caught.value.issues) == 20
    assert caught.value.issues[-1].loc == ("body", "transactions", 6, "class")
    assert str(caught.value) == "20 or more fields are invalid; the first 20 are listed."


def test_parse_bad_document_is_invalid_up_to_16_levels_and_malformed_beyond(schema: TransactionSchema) -> None:
    value: object = 1
    for _ in range(13):
        value = [value]
    with pytest.raises(InvalidTransactionError):
        schema.parse_many({"transactions": [{**GOOD, "json": value}]}, max_items=5)
    with pytest.raises(MalformedBodyError):
        schema.parse_many({"transactions": [{**GOOD, "json": [value]}]}, max_items=5)
    with pytest.raises(MalformedBodyError):
        schema.parse_one({**GOOD, "json": [[[value]]]})


ABSENT_OR_NULL: list[Any] = [
    {"class": 2, "log.amount": 3.25},
    {"json": None, "class": 2, "log.amount": 3.25},
    {"features": [None, 2, 3.25]},
]


@pytest.mark.parametrize("body", ABSENT_OR_NULL)
def test_parse_one_optional_field_absent_or_null_is_what_the_bundle_says(tiny_optional: Bundle, body: Any) -> None:
    schema = TransactionSchema(tiny_optional.manifest.fields)

    assert values_of(schema.parse_one(body)).tolist() == [[2.5, 2.0, 3.25]]
    assert values_of(schema.parse_one(GOOD)).tolist() == [[1.5, 2.0, 3.25]]


def test_parse_one_null_in_a_required_field_is_refused_beside_an_optional_one(tiny_optional: Bundle) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        TransactionSchema(tiny_optional.manifest.fields).parse_one({"json": 11, "class": None, "log.amount": 3.25})

    assert [(loc, code) for loc, code, _ in issues_of(caught)] == [
        (("body", "json"), "less_than_equal"),
        (("body", "class"), "float_type"),
    ]
