"""JSON batches as machines write them: objects with the same names in the same order, so in truth a table.

The names are compared, then overwritten, and what is left is an array of numbers, which `number_text` reads without
an object for each. Whatever is written in another way, or has a fault, is left to `json_document` and the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from core.errors import MalformedBodyError
from core.json_document import read_json
from core.number_text import PIECE_BYTES, read_numbers
from core.transactions import ID_COLUMN, MAX_ID_LENGTH, Transactions, TransactionSchema

_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"transactions"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*(?=\{")')
_TAIL = re.compile(rb"\][ \t\r\n]*\}[ \t\r\n]*\Z")
_LONGEST_TAIL = 64
_OPEN, _CLOSE, _OPEN_ARRAY, _CLOSE_ARRAY, _COLON, _COMMA, _QUOTE, _SPACE, _ZERO = b'{}[]:," 0'
_FIRST_PRINTABLE = 32

Text = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]


class _Unlike(Exception):
    """The text is not a table of the expected form."""


def read_json_batch(body: bytes, schema: TransactionSchema, max_items: int) -> Transactions:
    """Read and validate ``{"transactions": [...]}`` with 1 to `max_items` transactions.

    Raises
    ------
    InvalidTransactionError, MalformedBodyError, TooManyItemsError
    """
    table = read_json_table(body, schema, max_items)
    return schema.parse_many(read_json(body), max_items) if table is None else table


def read_json_table(body: bytes, schema: TransactionSchema, max_items: int) -> Transactions | None:
    """Return the transactions of a table in JSON, or None where it is none: then `parse_many` has to look itself."""
    head, tail = _HEAD.match(body), _TAIL.search(body, max(0, len(body) - _LONGEST_TAIL))
    if head is None or tail is None or b"\\" in body:
        return None
    try:
        form = _Form(_names_of_first(body, head.end()), schema)
        numbers = read_numbers(form.to_array(piece) for piece in _pieces(body, head.end(), tail.start()))
    except _Unlike:
        return None
    if numbers is None or form.n_items > max_items or numbers.size != form.n_items * form.n_numbers:
        return None
    values = numbers.reshape(form.n_items, form.n_numbers).take(form.columns, axis=1)
    return Transactions(form.ids or [None] * form.n_items, values) if schema.admits(values) else None


def _names_of_first(body: bytes, start: int) -> list[str]:
    try:
        first = read_json(body[start : body.find(b"}", start) + 1])
    except MalformedBodyError:
        raise _Unlike from None
    if not isinstance(first, dict) or not isinstance(first.get(ID_COLUMN, ""), str):
        raise _Unlike
    return list(first)


def _pieces(body: bytes, start: int, end: int) -> Iterator[bytes]:
    """Yield the text between `start` and `end` in pieces of whole objects."""
    while start < end:
        stop = body.find(b"}", start + PIECE_BYTES, end) + 1 or end
        yield body[start:stop]
        start = body.find(b"{", stop, end) if stop < end else end
        if start < end and body[stop:start].strip(b" \t\r\n") != b",":
            raise _Unlike


class _Form:
    """How each object of a batch is written: `names`, in this order, and after the id's own its text."""

    def __init__(self, names: Sequence[str], schema: TransactionSchema) -> None:
        if sorted({*names} - {ID_COLUMN}) != sorted(schema.names):
            raise _Unlike
        self._n_names = len(names)
        self._id = names.index(ID_COLUMN) + 1 if ID_COLUMN in names else None
        texts = [name.encode("ascii") for name in names]
        self._lengths = np.array([len(text) for text in texts])
        self._letters = np.frombuffer(b"".join(texts), np.uint8)
        self._name_of_letter = np.repeat(np.arange(len(names)), self._lengths)
        self._place_of_letter = np.concatenate([np.arange(1, len(text) + 1) for text in texts])
        # In place of its name each number has another before it, which keeps the commas in order.
        self.n_numbers = 2 * len(names)
        self.columns = [2 * names.index(name) + 1 for name in schema.names]
        self.ids: list[str | None] = []
        self.n_items = 0

    def to_array(self, piece: bytes) -> bytes:
        """Return the numbers of a piece as JSON arrays, with a zero for each string; count the objects, keep the ids.

        Raises
        ------
        _Unlike
        """
        text = np.frombuffer(bytearray(piece), np.uint8)
        quotes = np.flatnonzero(text == _QUOTE)
        n_strings = self._n_names + (self._id is not None)
        n_items, odd = divmod(quotes.size, 2 * n_strings)
        if odd or n_items == 0:
            raise _Unlike
        starts, ends = quotes.reshape(n_items, n_strings, 2).transpose(2, 0, 1)
        if self._id is not None:
            self._take_ids(piece, text, starts[:, self._id], ends[:, self._id])
            starts, ends = np.delete(starts, self._id, axis=1), np.delete(ends, self._id, axis=1)
        letters = starts.take(self._name_of_letter, axis=1) + self._place_of_letter
        same_names = (ends - starts - 1 == self._lengths).all() and (text.take(letters) == self._letters).all()
        closes = np.flatnonzero(text == _CLOSE)
        if not same_names or b"[" in piece or b"]" in piece or not _is_flat(text, starts, ends, closes):
            raise _Unlike
        self.n_items += n_items
        text[letters] = _SPACE
        text[ends] = _SPACE
        text[starts] = _ZERO
        text[ends + 1] = _COMMA
        text[starts[:, 0] - 1] = _OPEN_ARRAY
        text[closes] = _CLOSE_ARRAY
        return b"[" + text.tobytes() + b"]"

    def _take_ids(self, piece: bytes, text: Text, starts: Places, ends: Places) -> None:
        lengths = ends - starts
        inside = np.repeat(starts + 1 - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        printable = (text.take(inside) >= _FIRST_PRINTABLE).all()
        if not printable or (lengths > MAX_ID_LENGTH + 1).any() or not _follow(text, starts, _COLON):
            raise _Unlike
        try:
            pairs = zip((starts + 1).tolist(), ends.tolist(), strict=True)
            self.ids += [piece[start:end].decode("utf-8") for start, end in pairs]
        except UnicodeDecodeError:
            raise _Unlike from None
        text[inside] = _SPACE
        text[starts] = _ZERO


def _is_flat(text: Text, starts: Places, ends: Places, closes: Places) -> bool:
    """Tell whether each name, from `starts` to `ends`, stands where the name of a member of an object may.

    Each row of them, shape (n_objects, n_names), is in an object of its own; a comma and at most one space lead to
    each but the first, which follows its brace, and a colon follows each. With the commas and the numbers in the
    right places too, which is for the parser to see, the text is a list of objects without duplicate or odd names.
    """
    return bool(
        np.count_nonzero(text == _COLON) == starts.size
        and np.count_nonzero(text == _OPEN) == closes.size == len(starts)
        and (text.take(ends + 1, mode="clip") == _COLON).all()
        and (text.take(starts[:, 0] - 1) == _OPEN).all()
        and _follow(text, starts[:, 1:], _COMMA)
        and (closes > ends[:, -1]).all()
        and (closes[:-1] < starts[1:, 0]).all()
    )


def _follow(text: Text, starts: Places, mark: int) -> bool:
    """Tell whether each string comes right behind `mark`, or after one space."""
    before, further = text.take(starts - 1), text.take(starts - 2)
    return bool(((before == mark) | (before == _SPACE) & (further == mark)).all())
