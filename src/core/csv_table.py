"""CSV as machines write it: numbers without quotes, and ids only in the first column.

Whatever is written in another way, or has a fault, is left to `csv_document`.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.number_text import PIECE_BYTES, ROW_END, read_rows
from core.transactions import ID_COLUMN, MAX_ID_LENGTH, Transactions, TransactionSchema

_NEVER_IN_NUMBERS = (b" ", b"\t")
"""Of all that is in no number, what the parser would let pass among them."""


def read_csv_table(raw: bytes, schema: TransactionSchema, max_items: int) -> Transactions | None:
    """Return the transactions of a table, or None where `read_csv` has to look itself."""
    text = raw.replace(b"\r\n", b"\n") if b"\r" in raw else raw
    if b'"' in text or b"\0" in text or b"\r" in text:
        return None
    head, _, table = text.partition(b"\n")
    names = head.split(b",")
    wanted = [name.encode("ascii") for name in schema.names]
    ids: list[str | None] | None = None
    if names[0] == ID_COLUMN.encode("ascii"):
        ids, names = [], names[1:]
    if sorted(names) != sorted(wanted) or schema.maximum.max() >= ROW_END:
        return None
    cells = read_rows(_pieces(table, ids), b"\n", len(names))
    if cells is None or len(cells) > max_items:
        return None
    values = cells.take([names.index(name) for name in wanted], axis=1)
    return Transactions(ids or [None] * len(values), values) if schema.admits(values) else None


def _pieces(table: bytes, ids: list[str | None] | None) -> Iterator[bytes]:
    """Yield whole rows of numbers, without a newline at the end; add their first cells to `ids`, unless that is None.

    Raises
    ------
    ValueError
        There is something else among the numbers, or an id is too long or not UTF-8.
    """
    start = 0
    while start < len(table):
        stop = table.find(b"\n", start + PIECE_BYTES) + 1 or len(table)
        rows = table[start:stop].removesuffix(b"\n")
        if ids is not None:
            found, rows = _without_ids(rows)
            ids += found
        if any(each in rows for each in _NEVER_IN_NUMBERS):
            raise ValueError("not a number")
        yield rows
        start = stop


def _without_ids(rows: bytes) -> tuple[list[str | None], bytes]:
    parts = [row.partition(b",") for row in rows.split(b"\n")]
    ids = b"\n".join([part[0] for part in parts]).decode("utf-8").split("\n")
    if max(map(len, ids)) > MAX_ID_LENGTH:
        raise ValueError("an id is too long")
    return [each or None for each in ids], b"\n".join([part[2] for part in parts])
