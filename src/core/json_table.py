"""JSON batches as machines write them: objects with the same names in the same order, or vectors: in truth a table.

What stands between two numbers, or two vectors, is then the same text in every row. It is compared with that of the
first, then overwritten, and what is left is an array of numbers, which `number_text` reads without an object for each.
Whatever is written in another way, or has a fault, is left to `json_document` and the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from core.errors import MalformedBodyError
from core.json_document import read_json
from core.number_text import PIECE_BYTES, ROW_END, read_numbers, read_rows
from core.transactions import ID_COLUMN, MAX_ID_LENGTH, Transactions, TransactionSchema

_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"transactions"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*(?=\{)')
_TAIL = re.compile(rb"(?<=\})[ \t\r\n]*\][ \t\r\n]*\}[ \t\r\n]*\Z")
_LONGEST_TAIL = 64
_LEAD = re.compile(rb'\{([ \t\r\n]*)"[^{}]*?(?:(,[ \t\r\n]*)"[A-Za-z_]|\})')
"""What leads to the first name of an object, and what to the others."""
_GAP = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*(?=\{)")
_VECTOR = re.compile(
    rb'(\{[ \t\r\n]*"transaction_id"[ \t\r\n]*:[ \t\r\n]*")[^"]*'
    rb'("[ \t\r\n]*,[ \t\r\n]*"features"[ \t\r\n]*:[ \t\r\n]*\[)'
    rb'|\{[ \t\r\n]*"features"[ \t\r\n]*:[ \t\r\n]*\['
)
_VECTOR_END = re.compile(rb"[^\]]*(\][ \t\r\n]*\})")
_ID_KEY = b'"%b":' % ID_COLUMN.encode("ascii")
_BEFORE_ID = re.compile(_ID_KEY + rb'[ \t\r\n]*"')
_OPEN_ARRAY, _CLOSE_ARRAY, _COLON = b"[]:"
_FIRST_PRINTABLE = 32
_WORD = 8
_LONGEST_KEY = 128
_LARGEST_PIECE = 1 << 18
"""Every key takes the room of the longest while it is compared: what a caller makes of spaces must not fill memory."""

Places = npt.NDArray[np.intp]
Bytes = npt.NDArray[np.uint8]


class _Unlike(ValueError):
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
    start, end = head.end(), tail.start()
    read = _read_vectors if _VECTOR.match(body, start, end) else _read_objects
    try:
        table = read(body, start, end, schema)
    except _Unlike:
        return None
    if table is None or len(table.values) > max_items or not schema.admits(table.values):
        return None
    return table if table.ids else Transactions([None] * len(table.values), table.values)


def _read_objects(body: bytes, start: int, end: int, schema: TransactionSchema) -> Transactions | None:
    # An array in place of a number would come out flat.
    if body.find(b"[", start) >= 0:
        return None
    form = _Form(body, start, end, schema)
    numbers = read_numbers(form.to_array(piece) for piece in form.pieces(body, start, end))
    if numbers is None or numbers.size != form.n_items * form.n_numbers:
        return None
    return Transactions(form.ids, numbers.reshape(form.n_items, form.n_numbers).take(form.columns, axis=1))


def _read_vectors(body: bytes, start: int, end: int, schema: TransactionSchema) -> Transactions | None:
    """Read ``{"features": [...]}``, each with an id before it or none.

    All of the text but ids and numbers is that of the first, and valid; so numbers and ids are all there is to check.
    """
    first = _VECTOR.match(body, start, end)
    close = first and _VECTOR_END.match(body, first.end(), end)
    if first is None or close is None or not body.endswith(close[1], start, end) or schema.maximum.max() >= ROW_END:
        return None
    opening, middle = first.groups() if first[1] else (first[0], None)
    gap = _GAP.match(body, close.end(), end)
    between = close[1] + (b"," if gap is None else gap[0]) + opening
    ids: list[str | None] = []

    def pieces() -> Iterator[bytes]:
        here, last = start + len(opening), end - len(close[1])
        while here <= last:
            stop = body.find(between, here + PIECE_BYTES, last)
            stop = last if stop < 0 else stop
            piece = body[here:stop]
            if middle is not None:
                parts = [row.partition(middle) for row in piece.split(between)]
                ids.extend(_ids_of([part[0] for part in parts]))
                piece = between.join([part[2] for part in parts])
            yield piece
            here = stop + len(between)

    values = read_rows(pieces(), between, len(schema.names))
    return None if values is None else Transactions(ids, np.ascontiguousarray(values))


class _Form:
    """How the first object of a batch is written, with its names, in their order; all others must be alike."""

    def __init__(self, body: bytes, start: int, end: int, schema: TransactionSchema) -> None:
        stop = body.find(b"}", start, end) + 1
        names = _names_of(body[start:stop])
        lead, gap = _LEAD.match(body, start, stop), _GAP.match(body, stop, end)
        if lead is None or sorted({*names} - {ID_COLUMN}) != sorted(schema.names):
            raise _Unlike
        self._gap = b"," if gap is None else gap[0]
        before_id = _BEFORE_ID.search(body, start, stop)
        self._before_id = None if before_id is None else before_id[0]
        if (self._before_id is None) == (ID_COLUMN in names):
            raise _Unlike
        before = [b"}" + self._gap + b"{" + lead[1], *[lead[2] or b","] * (len(names) - 1)]
        keys = [text + b'"%b":' % name.encode("ascii") for text, name in zip(before, names, strict=True)]
        if max(map(len, keys)) > _LONGEST_KEY:
            raise _Unlike
        self._keys = _Keys(keys)
        self._start = b" " * self._keys.width + b"}" + self._gap
        self.n_numbers = len(names)
        self.columns = [names.index(name) for name in schema.names]
        self.ids: list[str | None] = []
        self.n_items = 0

    def pieces(self, body: bytes, start: int, end: int) -> Iterator[bytes]:
        """Yield the text between `start` and `end` in pieces of whole objects."""
        while start < end:
            stop = body.find(b"}", start + PIECE_BYTES, end) + 1 or end
            if stop - start > _LARGEST_PIECE:
                raise _Unlike
            yield body[start:stop]
            start = stop + len(self._gap)
            if stop < end and body[stop:start] != self._gap:
                raise _Unlike

    def to_array(self, piece: bytes) -> bytearray:
        """Return the numbers of a piece as a JSON array, with a zero for each id; count the objects, keep the ids.

        A comma or brace leads to each key, which blanks and the comma replace; the parser wants one number at least
        between two commas, and the caller as many numbers as there are keys: so there is one behind each key.

        Raises
        ------
        _Unlike
        """
        ids, piece = ([], piece) if self._before_id is None else _without_ids(piece, self._before_id)
        buffer = bytearray(self._start + piece)
        text = np.frombuffer(buffer, np.uint8)
        colons = np.flatnonzero(text == _COLON)
        n_items, odd = divmod(colons.size, self.n_numbers)
        # A zero that was there already, and no id, would leave too few ids.
        if odd or n_items == 0 or (self._before_id is not None and len(ids) != n_items):
            raise _Unlike
        self._keys.blank(buffer, colons)
        self.ids += ids
        self.n_items += n_items
        text[self._keys.width] = _OPEN_ARRAY
        text[-1] = _CLOSE_ARRAY
        return buffer


def _without_ids(piece: bytes, before_id: bytes) -> tuple[list[str], bytes]:
    """Return the ids of a piece, and the piece with a zero for each.

    That what stands before an id is a key, and at its place, is for the caller to see; so is all that is left.

    Raises
    ------
    _Unlike
    """
    first, *others = piece.split(before_id)
    parts = [other.partition(b'"') for other in others]
    left = (_ID_KEY + b"0 ").join([first, *(part[2] for part in parts)])
    # A piece ends with a brace: one that ends within an id does not.
    if not parts or not left.endswith(b"}"):
        raise _Unlike
    return _ids_of([part[0] for part in parts]), left


def _ids_of(texts: Sequence[bytes]) -> list[str]:
    """Return the ids with these texts, which hold no backslash: so a quote would be the end of an id.

    Raises
    ------
    _Unlike, UnicodeDecodeError
    """
    joined = b'"'.join(texts)
    ids = joined.decode("utf-8").split('"')
    is_printable = not (np.frombuffer(joined, np.uint8) < _FIRST_PRINTABLE).any()
    if len(ids) != len(texts) or not is_printable or max(map(len, ids)) > MAX_ID_LENGTH:
        raise _Unlike
    return ids


class _Keys:
    """The keys of an object with what leads to them; compared and overwritten as texts that end with their colons."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.width = -(-max(map(len, keys)) // _WORD) * _WORD
        self._texts = self._row_of(keys)
        self._masks = self._row_of([b"\xff" * len(key) for key in keys])
        self._blanks = self._row_of([b",".ljust(len(key)) for key in keys])

    def blank(self, buffer: bytearray, colons: Places) -> None:
        """Overwrite each key with a comma and blanks.

        From the end of the text on: a text reaches back beyond a short key, and writes back what it found there.

        Raises
        ------
        _Unlike
            A key is not what it should be.
        """
        texts = np.ndarray((len(buffer) - self.width + 1,), f"V{self.width}", buffer, strides=(1,))
        places = colons[::-1] - (self.width - 1)
        found = texts[places]
        # Where the key should be there is nothing left, and before it what was there.
        rows: Bytes = found.view(np.uint8).reshape(-1, self._texts.size)
        rows ^= self._texts
        differing: Bytes = np.bitwise_or.reduce(rows, axis=0, keepdims=True)
        if (differing & self._masks).any():
            raise _Unlike
        rows |= self._blanks
        texts[places] = found

    def _row_of(self, texts: Sequence[bytes]) -> Bytes:
        """Return the texts from the last on, as they are overwritten, each with as many bytes."""
        return np.frombuffer(b"".join(text.rjust(self.width, b"\0") for text in reversed(texts)), np.uint8)


def _names_of(first: bytes) -> list[str]:
    try:
        document = read_json(first)
    except MalformedBodyError:
        raise _Unlike from None
    if not isinstance(document, dict) or not isinstance(document.get(ID_COLUMN, ""), str):
        raise _Unlike
    return list(document)
