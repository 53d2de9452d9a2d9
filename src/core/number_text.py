"""Text of many numbers -> float64, by simdjson: as strict as JSON, and without an object for each number."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import simdjson

Numbers = npt.NDArray[np.float64]

PIECE_BYTES = 1 << 17
"""Of text, so many at a time: what the parser works on then stays in the cache, and small."""
_LARGEST_KEPT = 2 * PIECE_BYTES

ROW_END = 1.7e308
"""Put behind each row as one number more, which no value may be: so all rows of a table are seen to be as long."""
_BETWEEN_ROWS = b",1.7e308,"


class _Kept(threading.local):
    """A parser for each thread: the buffers of a new one may be new pages of the system, which take a millisecond."""

    def __init__(self) -> None:
        self.parser = simdjson.Parser()


_KEPT = _Kept()


def read_rows(texts: Iterable[bytes], between: bytes, width: int) -> Numbers | None:
    """Return the numbers of texts of whole rows with `between` between two of them; shape (n, width).

    None if they are not that. If some rows are longer and others shorter, an end of a row is among the values, where
    the caller has to find it: that is why no value may be `ROW_END`. `between` may be of any length but that of the end
    of a row, since rows are counted by how much longer or shorter the text becomes.
    """
    n_rows = 0

    def arrays() -> Iterator[bytes]:
        nonlocal n_rows
        for text in texts:
            numbers = text.replace(between, _BETWEEN_ROWS)
            n_rows += 1 + (len(numbers) - len(text)) // (len(_BETWEEN_ROWS) - len(between))
            if b"[" in numbers:
                raise ValueError("an array in place of a number would come out flat")
            yield b"[" + numbers + _BETWEEN_ROWS[:-1] + b"]"

    numbers = read_numbers(arrays())
    if numbers is None or numbers.size != n_rows * (width + 1):
        return None
    return numbers.reshape(n_rows, width + 1)[:, :width]


def read_numbers(arrays: Iterable[bytes | bytearray]) -> Numbers | None:
    """Return the numbers of JSON arrays one after the other, those of nested arrays too; shape (n,).

    None if one of `arrays` is anything but an array of numbers that float64 can hold, or is refused by a ValueError of
    what makes them: why not is for others to say.
    """
    try:
        return np.concatenate([_flattened(array) for array in arrays])
    except (RuntimeError, TypeError, ValueError):
        # It might still have what it was given: it would refuse the next.
        _KEPT.parser = simdjson.Parser()
        return None


def _flattened(array: bytes | bytearray) -> Numbers:
    # A parser keeps the buffers that its largest text took.
    parser = _KEPT.parser if len(array) <= _LARGEST_KEPT else simdjson.Parser()
    # The document ends with this call: the parser refuses the next text while there is one.
    document = parser.parse(array)
    if not isinstance(document, simdjson.Array):
        raise TypeError("not an array")
    return np.frombuffer(document.as_buffer(of_type="d"), dtype=np.float64)
