"""JSON batches as machines write them: objects with the same names in the same order, so in truth a table.

What stands between two numbers is then the same text in every row. It is compared eight bytes at a time, then
overwritten, and what is left is an array of numbers, which `number_text` reads without an object for each. Whatever
is written in another way, or has a fault, is left to `json_document` and the schema.
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

_HEAD = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"transactions"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*(?=\{)')
_TAIL = re.compile(rb"(?<=\})[ \t\r\n]*\][ \t\r\n]*\}[ \t\r\n]*\Z")
_LONGEST_TAIL = 64
_LEAD = re.compile(rb'\{([ \t\r\n]*)"[^{}]*?(?:(,[ \t\r\n]*)"[A-Za-z_]|\})')
"""What leads to the first name of an object, and what to the others."""
_GAP = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*(?=\{)")
_OPEN_ARRAY, _CLOSE_ARRAY, _COLON, _QUOTE, _SPACE, _ZERO = b'[]:" 0'
_FIRST_PRINTABLE = 32
_WORD = 8

Text = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]
Words = npt.NDArray[np.uint64]


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
    # An array in place of a number would come out flat.
    if head is None or tail is None or b"\\" in body or body.find(b"[", head.end()) >= 0:
        return None
    try:
        form = _Form(body, head.end(), tail.start(), schema)
        numbers = read_numbers(form.to_array(piece) for piece in form.pieces(body, head.end(), tail.start()))
    except _Unlike:
        return None
    if numbers is None or form.n_items > max_items or numbers.size != form.n_items * form.n_numbers:
        return None
    values = numbers.reshape(form.n_items, form.n_numbers).take(form.columns, axis=1)
    return Transactions(form.ids or [None] * form.n_items, values) if schema.admits(values) else None


class _Form:
    """How the first object of a batch is written, with its names, in their order; all others must be alike."""

    def __init__(self, body: bytes, start: int, end: int, schema: TransactionSchema) -> None:
        stop = body.find(b"}", start, end) + 1
        names = _names_of(body[start:stop])
        lead, gap = _LEAD.match(body, start, stop), _GAP.match(body, stop, end)
        if lead is None or sorted({*names} - {ID_COLUMN}) != sorted(schema.names):
            raise _Unlike
        self._gap = b"," if gap is None else gap[0]
        self._id = names.index(ID_COLUMN) if ID_COLUMN in names else None
        self._n_strings = len(names) + (self._id is not None)
        before = [b"}" + self._gap + b"{" + lead[1], *[lead[2] or b","] * (len(names) - 1)]
        keys = [text + b'"%b":' % name.encode("ascii") for text, name in zip(before, names, strict=True)]
        self._start = b"}" + self._gap
        self._margin = b" " * (max(map(len, keys)) + _WORD)
        self._keys = _Keys(keys)
        self.n_numbers = len(names)
        self.columns = [names.index(name) for name in schema.names]
        self.ids: list[str | None] = []
        self.n_items = 0

    def pieces(self, body: bytes, start: int, end: int) -> Iterator[bytes]:
        """Yield the text between `start` and `end` in pieces of whole objects."""
        while start < end:
            stop = body.find(b"}", start + PIECE_BYTES, end) + 1 or end
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
        buffer = bytearray(self._margin + self._start + piece)
        text = np.frombuffer(buffer, np.uint8)
        id_starts = None if self._id is None else self._take_ids(buffer, text)
        colons = np.flatnonzero(text == _COLON)
        n_items, odd = divmod(colons.size, self.n_numbers)
        if odd or n_items == 0:
            raise _Unlike
        if id_starts is not None:
            after = colons[self._id :: self.n_numbers] + 1
            if id_starts.size != n_items or not _follow(text, after, id_starts):
                raise _Unlike
        self._keys.blank(buffer, colons, n_items)
        self.n_items += n_items
        text[len(self._margin)] = _OPEN_ARRAY
        text[-1] = _CLOSE_ARRAY
        return buffer

    def _take_ids(self, buffer: bytearray, text: Text) -> Places:
        """Overwrite the ids; return where each began. That this was behind the key of the id is for the caller to see.

        The others of the quotes are the keys', or else the parser will come upon them.
        """
        quotes = np.flatnonzero(text == _QUOTE)
        n_items, odd = divmod(quotes.size, 2 * self._n_strings)
        if odd or self._id is None:
            raise _Unlike
        starts: Places
        starts, ends = quotes.reshape(n_items, self._n_strings, 2)[:, self._id + 1].T
        lengths = ends - starts
        inside = np.repeat(starts + 1 - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        if (lengths > MAX_ID_LENGTH + 1).any() or not (text.take(inside) >= _FIRST_PRINTABLE).all():
            raise _Unlike
        try:
            pairs = zip((starts + 1).tolist(), ends.tolist(), strict=True)
            self.ids += [buffer[start:end].decode("utf-8") for start, end in pairs]
        except UnicodeDecodeError:
            raise _Unlike from None
        text[inside] = _SPACE
        text[starts] = _ZERO
        return starts


class _Keys:
    """The keys of an object with what leads to them; compared and overwritten as words that end with their colons."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._n = len(keys)
        self._levels = [_level(keys, level) for level in range(-(-max(map(len, keys)) // _WORD))]

    def blank(self, buffer: bytearray, colons: Places, n_items: int) -> None:
        """Overwrite each key with a comma and blanks.

        From the end of the text on: a word reaches back beyond a short key, and writes back what it found there.

        Raises
        ------
        _Unlike
            A key is not what it should be.
        """
        words: Words = np.ndarray((len(buffer) - _WORD + 1,), "<u8", buffer, strides=(1,))
        ends = colons[::-1].reshape(n_items, self._n)
        for level, (columns, key, mask, blank) in enumerate(self._levels):
            places = (ends.take(columns, axis=1) - (_WORD * (level + 1) - 1)).ravel()
            found = words[places].reshape(n_items, len(columns))
            if ((found ^ key) & mask).any():
                raise _Unlike
            words[places] = ((found & ~mask) | blank).ravel()


def _level(keys: Sequence[bytes], level: int) -> tuple[Places, Words, Words, Words]:
    """Return which keys, counted from the last, are long enough, and of each the word: its text, its place, blanks."""
    columns = [index for index, key in enumerate(reversed(keys)) if len(key) > _WORD * level]
    texts = [keys[len(keys) - 1 - index] for index in columns]
    blanks = [b"," + b" " * (len(text) - 1) for text in texts]
    masks = [b"\xff" * len(text) for text in texts]
    return np.array(columns, np.intp), _words(texts, level), _words(masks, level), _words(blanks, level)


def _words(texts: Sequence[bytes], level: int) -> Words:
    ends = [text[: len(text) - _WORD * level][-_WORD:].rjust(_WORD, b"\0") for text in texts]
    return np.frombuffer(b"".join(ends), "<u8")


def _names_of(first: bytes) -> list[str]:
    try:
        document = read_json(first)
    except MalformedBodyError:
        raise _Unlike from None
    if not isinstance(document, dict) or not isinstance(document.get(ID_COLUMN, ""), str):
        raise _Unlike
    return list(document)


def _follow(text: Text, places: Places, others: Places) -> bool:
    """Tell whether each of the others is at its place, or behind the one space that is there."""
    return bool(((others == places) | (others == places + 1) & (text.take(places) == _SPACE)).all())
