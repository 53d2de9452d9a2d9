"""Posted transactions -> validated field values, by a strict Pydantic model made from the bundle's fields."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from operator import itemgetter
from struct import Struct
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails, SchemaValidator, core_schema

from core.errors import MAX_ISSUES, FieldIssue, InvalidTransactionError, MalformedBodyError, TooManyItemsError
from core.json_document import MAX_INTEGER, check_depth
from core.preprocessing import FLOAT32_MAX, FieldSpec, FieldValues

ID_COLUMN = "transaction_id"
MAX_ID_LENGTH = 128
UNKNOWN = "<unknown>"
"""Stands for a name that is not of the schema: what the caller sent is never repeated."""

Location = tuple[str | int, ...]
TransactionId = Annotated[str, Field(max_length=MAX_ID_LENGTH, description="Comes back as it was sent.")]


class Transactions(NamedTuple):
    """Validated transactions: `ids`, and `values` of shape (n, n_fields) in the order of the bundle's fields."""

    ids: list[str | None]
    values: FieldValues


class Transaction(NamedTuple):
    """One validated transaction; it becomes part of a matrix when it is scored, and has none to itself before."""

    id: str | None
    packed: bytes
    """The values as float64, in the order of the bundle's fields."""


def tabulate(transactions: Sequence[Transaction]) -> Transactions:
    """Return one or more transactions of one schema as a table, in order."""
    values = np.frombuffer(b"".join([each.packed for each in transactions]), np.float64)
    return Transactions([each.id for each in transactions], values.reshape(len(transactions), -1))


class TransactionSchema:
    """What a transaction must look like for one bundle; accepts the object and the vector form."""

    def __init__(self, fields: Sequence[FieldSpec]) -> None:
        self.fields = tuple(fields)
        self.names = tuple(field.name for field in fields)
        self.stand_ins = {field.name: field.if_missing for field in fields if field.if_missing is not None}
        """What stands for an optional field that is absent or null."""
        self.minimum = np.array([field.minimum for field in fields])
        self.maximum = np.array([field.maximum for field in fields])
        # Attribute names of our own: a column may be called `json` or `class`, which a model attribute may not.
        attributes = [f"field_{index}" for index in range(len(fields))]
        definitions: dict[str, Any] = {
            attribute: _definition(field) for attribute, field in zip(attributes, self.fields, strict=True)
        }  # fmt: skip
        self.model: type[BaseModel] = create_model(
            "Transaction",
            __config__=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False),
            transaction_id=(TransactionId | None, None),
            **definitions,
        )
        self._validate = self.model.__pydantic_validator__.validate_python
        self._pick = itemgetter("transaction_id", *attributes)
        self._validate_plain = _plain_validator(self.fields).validate_json
        self._pick_plain = itemgetter("transaction_id", *self.names)
        self._pack = Struct(f"{len(self.names)}d").pack
        self._most_colons = len(self.names) + 1 + MAX_ID_LENGTH

    def parse_one(self, document: object) -> Transaction:
        """Validate one transaction.

        Raises
        ------
        InvalidTransactionError, MalformedBodyError
        """
        try:
            row = self._row(document, ("body",))
        except InvalidTransactionError:
            check_depth(document)
            raise
        return self._packed(row)

    def parse_plain(self, text: bytes) -> Transaction | None:
        """Validate one transaction in the object form while its JSON is parsed.

        None where `parse_one` has to look itself: there is a fault, a name that comes twice, or another form.
        """
        colons = text.count(b":")
        # What cannot be plain is not tried: pydantic would note all that is wrong with it.
        if colons > self._most_colons or b"[" in text or b"\\" in text:
            return None
        try:
            found, _, given = self._validate_plain(text)
        except ValidationError:
            return None
        picked: tuple[Any, ...] = self._pick_plain(found)
        # Of a name that comes twice pydantic takes the last. All values are numbers but the id, so that each colon
        # belongs to a name or to an id: then no name comes twice, unless an id is written in escapes.
        if colons - (picked[0].count(":") if picked[0] else 0) != len(given):
            return None
        if self.stand_ins or len(given) != len(self.names) + ("transaction_id" in given):
            try:
                picked = self._completed(picked)
            except KeyError:  # a field that nothing stands for
                return None
        return self._packed(picked)

    def parse_many(self, document: object, max_items: int) -> Transactions:
        """Validate ``{"transactions": [...]}`` with 1 to `max_items` transactions, in order.

        Raises
        ------
        InvalidTransactionError, MalformedBodyError, TooManyItemsError
        """
        try:
            items = _transaction_list(document, max_items)
            return self.collect((item, ("body", "transactions", index)) for index, item in enumerate(items))
        except InvalidTransactionError:
            check_depth(document)
            raise

    def collect(self, located_items: Iterable[tuple[object, Location]]) -> Transactions:
        """Validate every item; report the issues of as many as it takes to fill one reply.

        Raises
        ------
        InvalidTransactionError, MalformedBodyError
        """
        rows: list[tuple[Any, ...]] = []
        issues: list[FieldIssue] = []
        for item, location in located_items:
            try:
                rows.append(self._row(item, location))
            except InvalidTransactionError as error:
                issues += error.issues
                if len(issues) >= MAX_ISSUES:
                    break
        if issues:
            raise InvalidTransactionError(issues)
        return Transactions([row[0] for row in rows], np.array([row[1:] for row in rows]))

    def admits(self, values: FieldValues) -> bool:
        """Tell whether all of `values`, shape (n, n_fields), are within the ranges of their fields."""
        return bool(((values >= self.minimum) & (values <= self.maximum)).all())

    def _packed(self, row: tuple[Any, ...]) -> Transaction:
        return Transaction(row[0], self._pack(*row[1:]))

    def _row(self, item: object, location: Location) -> tuple[Any, ...]:
        """Return (transaction_id, value of each field ...)."""
        if not isinstance(item, dict):
            raise InvalidTransactionError([FieldIssue(location, "object_type", "Input should be an object.")])
        vector = "features" in item
        named = self._named(item, location) if vector else item
        try:
            picked: tuple[Any, ...] = self._pick(self._validate(named).__dict__)
        except ValidationError as error:
            raise InvalidTransactionError(self._issues(error, location, vector=vector)) from None
        return self._completed(picked) if self.stand_ins else picked

    def _completed(self, picked: tuple[Any, ...]) -> tuple[Any, ...]:
        """Put what stands for it in the place of each null; a null that is not allowed was refused before."""
        values = zip(self.names, picked[1:], strict=True)
        return (picked[0], *(self.stand_ins[name] if value is None else value for name, value in values))

    def _named(self, item: dict[Any, Any], location: Location) -> dict[str, Any]:
        """Turn the vector form into the object form, so that both are validated by the same model."""
        vector, where, n_fields = item["features"], (*location, "features"), len(self.names)
        if not isinstance(vector, list):
            raise InvalidTransactionError([FieldIssue(where, "list_type", "Input should be an array.")])
        if len(vector) != n_fields:
            code = "too_short" if len(vector) < n_fields else "too_long"
            message = f"The array should have {n_fields} numbers, not {len(vector)}."
            raise InvalidTransactionError([FieldIssue(where, code, message)])
        named: dict[str, Any] = dict(zip(self.names, vector, strict=True))
        if extra := item.keys() - {"features", "transaction_id"}:
            message = "Field not allowed beside `features`."
            raise InvalidTransactionError([FieldIssue((*location, UNKNOWN), "extra_forbidden", message)] * len(extra))
        if "transaction_id" in item:
            named["transaction_id"] = item["transaction_id"]
        return named

    def _issues(self, error: ValidationError, location: Location, *, vector: bool) -> list[FieldIssue]:
        details = error.errors(include_url=False, include_context=False)
        missing = [str(detail["loc"][0]) for detail in details if detail["type"] == "missing"]
        return [self._issue(detail, location, missing, vector) for detail in details[:MAX_ISSUES]]

    def _issue(self, detail: ErrorDetails, location: Location, missing: list[str], vector: bool) -> FieldIssue:
        name, value = detail["loc"][0], detail["input"]
        code, message = detail["type"], f"{detail['msg']}."
        if code == "extra_forbidden":
            close = difflib.get_close_matches(str(name)[:MAX_ID_LENGTH], missing, n=1)
            hint = f"; did you mean `{close[0]}`?" if close else "."
            return FieldIssue((*location, UNKNOWN), code, f"Field not allowed{hint}")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name in self.names:
            if isinstance(value, int) and abs(value) > MAX_INTEGER:
                raise MalformedBodyError("The body is not valid JSON for this service: a number has over 400 digits.")
            if not abs(value) <= FLOAT32_MAX:
                code, message = "finite_number", "Input should be a finite number."
        where: Location = ("features", self.names.index(name)) if vector and name in self.names else (name,)
        return FieldIssue((*location, *where), code, message)


def _definition(field: FieldSpec) -> tuple[Any, Any]:
    """Return type and default of one field, as `create_model` takes them."""
    number = Annotated[float, Field(ge=field.minimum, le=field.maximum)]
    if field.if_missing is None:
        return Annotated[number, Field(alias=field.name, description=field.description)], ...
    return Annotated[number | None, Field(alias=field.name, description=field.description)], None


def _plain_validator(fields: Sequence[FieldSpec]) -> SchemaValidator:
    """Return what reads the object form as (values by name, None where there is none; nothing; names that are there).

    That a field is missing is no error to it: pydantic would note a copy of the whole body for each.
    """
    config = core_schema.CoreConfig(strict=True, allow_inf_nan=False)
    names: dict[str, core_schema.CoreSchema] = {
        ID_COLUMN: core_schema.nullable_schema(core_schema.str_schema(max_length=MAX_ID_LENGTH))
    }
    for field in fields:
        number = core_schema.float_schema(ge=field.minimum, le=field.maximum)
        names[field.name] = number if field.if_missing is None else core_schema.nullable_schema(number)
    absent = {
        name: core_schema.model_field(core_schema.with_default_schema(schema, default=None))
        for name, schema in names.items()
    }
    return SchemaValidator(core_schema.model_fields_schema(absent, extra_behavior="forbid"), config)


def _transaction_list(document: object, max_items: int) -> list[object]:
    if not isinstance(document, dict):
        raise InvalidTransactionError([FieldIssue(("body",), "object_type", "Input should be an object.")])
    items = document.get("transactions")
    where = ("body", "transactions")
    issues = [
        FieldIssue(("body", UNKNOWN), "extra_forbidden", "Field not allowed.")
        for _ in list(document.keys() - {"transactions"})[:MAX_ISSUES]
    ]
    if "transactions" not in document:
        issues.insert(0, FieldIssue(where, "missing", "Field required."))
    elif not isinstance(items, list):
        issues.insert(0, FieldIssue(where, "list_type", "Input should be an array."))
    elif not items:
        issues.insert(0, FieldIssue(where, "too_short", "The array should have at least 1 transaction."))
    elif len(items) > max_items:
        raise too_many_items(len(items), max_items)
    if issues or not isinstance(items, list):
        raise InvalidTransactionError(issues)
    return items


def too_many_items(n_items: int, max_items: int) -> TooManyItemsError:
    """Return the error for a batch of `n_items` where `max_items` are allowed."""
    return TooManyItemsError(f"A batch may have at most {max_items} transactions, not {n_items}.")


def too_many_to_explain(n_items: int, max_items: int) -> TooManyItemsError:
    """Return the error for a batch of `n_items` where `max_items` may be explained."""
    return TooManyItemsError(f"At most {max_items} transactions may be explained in one request, not {n_items}.")
