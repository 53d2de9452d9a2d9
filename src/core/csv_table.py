"""CSV as machines write it: numbers without quotes, and ids only in the first column.

Whatever is written in another way, or has a fault, is left to `csv_document`.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.number_text import PIECE_BYTES, read_numbers
from core.transactions import ID_COLUMN, MAX_ID_LENGTH, Transactions, TransactionSchema

_OF_NUMBERS = b"0123456789.+-eE"


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
    table += b"" if table.endswith(b"\n") else b"\n"
    separators = table.translate(None, _OF_NUMBERS)
    n_rows = len(separators) // len(names)
    if n_rows > max_items or separators != (b"," * (len(names) - 1) + b"\n") * n_rows:
        return None
    numbers = read_numbers(_pieces(table))
    if numbers is None:
        return None
    values = numbers.reshape(n_rows, len(names)).take([names.index(name) for name in wanted], axis=1)
    return Transactions(ids or [None] * n_rows, values) if schema.admits(values) else None


def _without_ids(table: bytes) -> tuple[list[str | None], bytes]:
    """Split the first column off; each row that is left ends in a newline."""
    rows = [row.partition(b",") for row in table.removesuffix(b"\n").split(b"\n")]
    return [each.decode("utf-8") or None for each, _, _ in rows], b"".join(cells + b"\n" for _, _, cells in rows)


def _pieces(table: bytes) -> Iterator[bytes]:
    """Yield whole rows as JSON arrays."""
    start = 0
    while start < len(table):
        stop = table.find(b"\n", start + PIECE_BYTES) + 1 or len(table)
        yield b"[" + table[start : stop - 1].replace(b"\n", b",") + b"]"
        start = stop
