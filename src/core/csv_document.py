"""Transactions as CSV: a header row with the bundle's field names in any order, one transaction a line.

A column of an optional field may be left out, and its cells may be empty.

The cells are read as JSON numbers, by the same parser as JSON bodies, so that a value means the same in both.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from core.csv_table import read_csv_table
from core.errors import FieldIssue, InvalidTransactionError, MalformedBodyError
from core.json_document import read_json
from core.number_text import read_numbers
from core.preprocessing import FieldValues
from core.transactions import (
    ID_COLUMN,
    MAX_ID_LENGTH,
    UNKNOWN,
    Location,
    Transactions,
    TransactionSchema,
    too_many_items,
)

_NUMBERS = re.compile(r"[0-9eE+.,\-]*")
_ROWS_OF_A_PIECE = 250
"""What the parser works on at a time should stay in the cache."""
_MALFORMED = "The body is not valid CSV"

Row = list[str]


def read_csv(raw: bytes, schema: TransactionSchema, max_items: int) -> Transactions:
    """Read and validate a CSV table with 1 to `max_items` rows.

    Raises
    ------
    MalformedBodyError
        The body is not UTF-8 or not CSV.
    InvalidTransactionError
        The header or a row breaks the schema.
    TooManyItemsError
        There are more than `max_items` rows.
    """
    if (table := read_csv_table(raw, schema, max_items)) is not None:
        return table
    header, rows = _split(raw)
    _check_header(header, schema)
    if len(rows) > max_items:
        raise too_many_items(len(rows), max_items)
    if not rows:
        raise InvalidTransactionError([FieldIssue(("body",), "too_short", "There should be at least 1 row.")])
    _check_widths(rows, len(header))
    ids: list[str | None] = [None] * len(rows)
    names, cells = header, rows
    if ID_COLUMN in header:
        column = header.index(ID_COLUMN)
        ids = [row[column] or None for row in rows]
        names = [name for name in header if name != ID_COLUMN]
        cells = [row[:column] + row[column + 1 :] for row in rows]
    if schema.stand_ins:
        names, cells = complete(names, cells, schema)
    values = parse_numbers(cells)
    if values is not None:
        values = values[:, [names.index(name) for name in schema.names]]
        if schema.admits(values) and all(len(each or "") <= MAX_ID_LENGTH for each in ids):
            return Transactions(ids, values)
    # Something is wrong with a cell: the model finds out what, and says it as it does for JSON.
    return schema.collect(_located_objects(ids, names, cells))


def _split(raw: bytes) -> tuple[Row, list[Row]]:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise MalformedBodyError(f"{_MALFORMED}: it starts with a byte order mark; save it as UTF-8 without one.")
    try:
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))
    except UnicodeDecodeError:
        raise MalformedBodyError(f"{_MALFORMED}: it is not UTF-8.") from None
    except csv.Error:
        raise MalformedBodyError(f"{_MALFORMED}: quotes do not match, or a cell is too long.") from None
    if not rows:
        raise MalformedBodyError(f"{_MALFORMED}: it is empty; the first line names the columns.")
    return rows[0], rows[1:]


def _check_header(header: Row, schema: TransactionSchema) -> None:
    if len(header) == 1 and re.search(r"[;\t|]", header[0]):
        raise MalformedBodyError(f"{_MALFORMED}: separate the columns by commas.")
    absent = [name for name in schema.names if name not in header and name not in schema.stand_ins]
    issues = [FieldIssue(("body", name), "missing", "Column required.") for name in absent]
    allowed = {*schema.names, ID_COLUMN}
    issues += [
        FieldIssue(("body", UNKNOWN), "extra_forbidden", "Column not allowed.") for n in header if n not in allowed
    ]
    issues += [
        FieldIssue(("body", name), "duplicate", "The column occurs more than once.")
        for name in dict.fromkeys(header)
        if name in allowed and header.count(name) > 1
    ]
    if issues:
        raise InvalidTransactionError(issues)


def _check_widths(rows: list[Row], width: int) -> None:
    issues = [
        FieldIssue(("body", index), "row_width", f"The row should have {width} cells, not {len(row)}.")
        for index, row in enumerate(rows)
        if len(row) != width
    ]
    if issues:
        raise InvalidTransactionError(issues)


def complete(names: Row, cells: list[Row], schema: TransactionSchema) -> tuple[Row, list[Row]]:
    """Write what stands for a missing value into empty cells and absent columns of optional fields."""
    absent = [name for name in schema.stand_ins if name not in names]
    names = [*names, *absent]
    cells = [[*row, *([""] * len(absent))] for row in cells]
    for column, name in enumerate(names):
        if name in schema.stand_ins:
            text = repr(schema.stand_ins[name])
            for row in cells:
                row[column] = row[column] or text
    return names, cells


def parse_numbers(cells: Sequence[Sequence[str]]) -> FieldValues | None:
    """Return the cells of rows of one width as float64, or None when one is not a number."""
    lines = [",".join(row) for row in cells]
    if not _NUMBERS.fullmatch(",".join(lines)):
        return None
    pieces = (lines[start : start + _ROWS_OF_A_PIECE] for start in range(0, len(lines), _ROWS_OF_A_PIECE))
    numbers = read_numbers(f"[{','.join(piece)}]".encode("ascii") for piece in pieces)
    # A quoted cell may hold commas of its own: then there are more numbers than cells. An empty one is no JSON.
    shape = (len(cells), len(cells[0]))
    return numbers.reshape(shape) if numbers is not None and numbers.size == shape[0] * shape[1] else None


def _located_objects(ids: list[str | None], names: Row, cells: list[Row]) -> Iterator[tuple[object, Location]]:
    for index, (transaction_id, row) in enumerate(zip(ids, cells, strict=True)):
        item: dict[str, object] = {ID_COLUMN: transaction_id}
        item.update((name, parse_cell(cell)) for name, cell in zip(names, row, strict=True))
        yield item, ("body", index)


def parse_cell(cell: str) -> object:
    """Return the cell's number; what is not a number stays text, which the model refuses."""
    if not _NUMBERS.fullmatch(cell):
        return cell
    try:
        return read_json(cell.encode("ascii"))
    except MalformedBodyError:
        return cell
