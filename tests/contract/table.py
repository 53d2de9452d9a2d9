"""The contract table: every case, for every transport."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.contract.bad_documents import document_cases
from tests.contract.bad_fields import field_cases
from tests.contract.bad_tables import table_cases
from tests.contract.case import Case
from tests.contract.edges import edge_cases
from tests.contract.exchange import Request
from tests.contract.explained import explained_cases
from tests.contract.good import good_cases
from tests.contract.rows import Rows, shipped_rows


def contract_table(rows: Rows) -> dict[str, Case]:
    """Return the cases by name."""
    parts = (good_cases, explained_cases, document_cases, field_cases, table_cases, edge_cases)
    cases = [_with_limits(case) for part in parts for case in part(rows)]
    table = {case.name: case for case in cases}
    assert len(table) == len(cases), "two cases share a name"
    return table


_SAM_LOCAL_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _with_limits(case: Case) -> Case:
    """Note what some transport cannot carry, whatever the case is about."""
    return replace(case, not_on={**dict(_limits(case.request)), **case.not_on})


def _limits(request: Request) -> Iterator[tuple[str, str]]:
    names = [name.lower() for name, _ in request.headers]
    if len(set(names)) < len(names):
        yield "alb", "it passes on the last of two headers of one name only"
    lengths = [value for name, value in request.headers if name == b"content-length" and value.isdigit()]
    if request.method not in _SAM_LOCAL_METHODS:
        yield "sam-local", "it routes the usual methods only"
    elif "%0a" in request.target:
        yield "sam-local", "its router takes no line break for part of a path"
    elif any(len(length) > 9 or int(length) > len(request.sent_body) for length in lengths):
        yield "sam-local", "it waits for all that was declared"


ROWS = shipped_rows()
TABLE = contract_table(ROWS)
