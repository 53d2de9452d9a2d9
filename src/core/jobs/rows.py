"""The rows of one chunk: those that can be scored, and for each of the others the reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import FieldIssue, InvalidTransactionError, MalformedBodyError
from core.transactions import UNKNOWN, Transaction, Transactions, TransactionSchema, tabulate

UNREADABLE = "unreadable_value"


@dataclass(frozen=True, slots=True)
class Rows:
    """Every row of a chunk, in order."""

    faults: list[str | None]
    """For each row None if it can be scored, else the code of its first fault and the field: ``float_type:Amount``."""
    transactions: Transactions
    """The rows without a fault."""
    carried: Mapping[str, Sequence[object]]
    """For each column that is carried through, one cell a row."""


def validate_rows(items: Iterable[object], schema: TransactionSchema) -> tuple[Transactions, list[str | None]]:
    """Validate row by row, objects or vectors as `/predict` takes them; an item may be its own fault, as a `Fault`.

    Returns the rows without a fault, and for each row None or its fault.
    """
    rows: list[Transaction] = []
    faults: list[str | None] = []
    for item in items:
        fault = item.code if isinstance(item, Fault) else None
        if fault is None:
            try:
                rows.append(schema.parse_one(item))
            except InvalidTransactionError as error:
                fault = fault_of(error.issues[0])
            except MalformedBodyError:
                fault = UNREADABLE
        faults.append(fault)
    return tabulate(rows) if rows else Transactions([], np.empty((0, len(schema.names)))), faults


@dataclass(frozen=True, slots=True)
class Fault:
    """Stands for a row that could not even be read."""

    code: str


def fault_of(issue: FieldIssue) -> str:
    """Return the code of the issue and the field it is in: names of the schema only, never what was sent."""
    field = next((part for part in reversed(issue.loc) if isinstance(part, str)), "body")
    return issue.code if field in ("body", UNKNOWN) else f"{issue.code}:{field}"
