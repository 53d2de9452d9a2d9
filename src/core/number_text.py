"""Text of many numbers -> float64, by simdjson: as strict as JSON, and without an object for each number."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import simdjson

Numbers = npt.NDArray[np.float64]

PIECE_BYTES = 1 << 16
"""Of text, so many at a time: what the parser works on then stays in the cache, and small."""


def read_numbers(arrays: Iterable[bytes | bytearray]) -> Numbers | None:
    """Return the numbers of JSON arrays one after the other, those of nested arrays too; shape (n,).

    None if one of `arrays` is anything but an array of numbers that float64 can hold: why not is for others to say.
    """
    parser = simdjson.Parser()
    try:
        return np.concatenate([_flattened(parser, array) for array in arrays])
    except (RuntimeError, TypeError, ValueError):
        return None


def _flattened(parser: simdjson.Parser, array: bytes | bytearray) -> Numbers:
    # The document ends with this call: the parser refuses the next text while there is one.
    document = parser.parse(array)
    if not isinstance(document, simdjson.Array):
        raise TypeError("not an array")
    return np.frombuffer(document.as_buffer(of_type="d"), dtype=np.float64)
