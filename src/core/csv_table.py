"""CSV as machines write it: numbers without quotes, and ids only in the first column.

Whatever is written in another way, or has a fault, is left to `csv_document`.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.number_text import PIECE_BYTES, read_numbers
from core.transactions import ID_COLUMN, MAX_ID_LENGTH, Transactions, TransactionSchema

_ROW_END = 1.7e308
"""Put behind each row as one number more, which no field may hold: so all rows of a table are seen to be as long."""
_BETWEEN_ROWS = b",1.7e308,"
_NEVER_IN_NUMBERS = (b" ", b"\t", b"[")
"""Of all that is in no number, what the parser would let pass among them."""


def read_csv_table(raw: bytes, schema: TransactionSchema, max_items: int) -> Transactions | None:
    """Return the transactions of a table, or None where `read_csv` has to look itself."""
    text = raw.replace(b"\r\n", b"\n") if b"\r" in raw else raw
    if b'"' in text or b"\0" in text or b"\r" in text:
        return None
    head, _, table = text.partition(b"\n")
    names = head.split(b",")
    ids: list[str | None] = []
    if names[0] == ID_COLUMN.encode("ascii"):
        try:
            ids, table = _without_ids(table)
        except UnicodeDecodeError:
            return None
        names = names[1:]
    wanted = [name.encode("ascii") for name in schema.names]
    if not table or sorted(names) != sorted(wanted) or any(len(each or "") > MAX_ID_LENGTH for each in ids):
        return None
    if any(each in table for each in _NEVER_IN_NUMBERS) or schema.maximum.max() >= _ROW_END:
        return None
    n_rows = table.count(b"\n") + (not table.endswith(b"\n"))
    numbers = read_numbers(_pieces(table)) if n_rows <= max_items else None
    width = len(names) + 1
    if numbers is None or numbers.size != n_rows * width:
        return None
    cells = numbers.reshape(n_rows, width)
    values = cells.take([names.index(name) for name in wanted], axis=1)
    # An end of a row in another place would be one of the values.
    whole = (cells[:, -1] == _ROW_END).all() and schema.admits(values)
    return Transactions(ids or [None] * n_rows, values) if whole else None


def _without_ids(table: bytes) -> tuple[list[str | None], bytes]:
    """Split the first column off; each row that is left ends in a newline."""
    rows = [row.partition(b",") for row in table.removesuffix(b"\n").split(b"\n")]
    return [each.decode("utf-8") or None for each, _, _ in rows], b"".join(cells + b"\n" for _, _, cells in rows)


def _pieces(table: bytes) -> Iterator[bytes]:
    """Yield whole rows as JSON arrays, each row with its end."""
    start = 0
    while start < len(table):
        stop = table.find(b"\n", start + PIECE_BYTES) + 1 or len(table)
        yield b"[" + table[start:stop].removesuffix(b"\n").replace(b"\n", _BETWEEN_ROWS) + _BETWEEN_ROWS[:-1] + b"]"
        start = stop
