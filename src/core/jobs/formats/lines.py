"""Text files as bounded chunks of whole lines, in memory that does not grow with the file or with any line of it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

import numpy as np

from core.errors import JobFailedError
from core.jobs.formats.base import ChunkLimits

BLOCK_BYTES = 1 << 20
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_GZIP_WINDOW = 31
_MAX_EXPANSION, _EXPANSION_SLACK = 200, 64 << 20
"""Tables of numbers shrink to a third, repeated ones to a fiftieth; deflate can reach a thousandth."""
_NEWLINE = 10


def read_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield what is left of `file`."""
    while block := file.read(BLOCK_BYTES):
        yield block


def gunzip(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the decompressed bytes of one gzip member or several, in bounded blocks.

    Raises
    ------
    JobFailedError
        The bytes are no gzip file, or only a part of one, or expand beyond measure.
    """
    decoder = None
    n_in = n_out = 0
    for block in blocks:
        n_in += len(block)
        data, more = block, True
        while data or more:
            decoder = decoder or zlib.decompressobj(_GZIP_WINDOW)
            try:
                out = decoder.decompress(data, BLOCK_BYTES)
            except zlib.error:
                raise JobFailedError("invalid_gzip", "The file is no gzip file, or it is damaged.") from None
            n_out += len(out)
            if n_out > _EXPANSION_SLACK + _MAX_EXPANSION * n_in:
                raise JobFailedError("expansion_limit", f"The file expands to over {_MAX_EXPANSION} times its size.")
            if out:
                yield out
            data, more = decoder.unconsumed_tail, len(out) == BLOCK_BYTES
            if decoder.eof:
                data, more, decoder = decoder.unused_data, False, None
    if decoder is not None:
        raise JobFailedError("input_truncated", "The gzip file breaks off before its end.")


def split_head(blocks: Iterator[bytes], max_bytes: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first line without its end, and the rest.

    Raises
    ------
    JobFailedError
        The file is empty, starts like no text in UTF-8 without a mark, or its first line is longer than `max_bytes`.
    """
    head = b""
    for block in blocks:
        head += block
        if b"\n" in head or len(head) > max_bytes:
            break
    check_start(head)
    line, newline, rest = head.partition(b"\n")
    if len(line) > max_bytes:
        text = f"The first line has over {max_bytes} bytes: lines end with a line feed, as on Linux and Windows."
        raise JobFailedError("line_too_long", text)
    return line.removesuffix(b"\r"), chain([rest] if newline and rest else [], blocks)


def check_start(start: bytes) -> None:
    """Return if a file that starts like this can be text in UTF-8.

    Raises
    ------
    JobFailedError
    """
    if not start:
        raise JobFailedError("empty_input", "The file is empty.")
    if start.startswith(GZIP):
        raise JobFailedError("wrong_format", "The file is compressed with gzip, and its format says that it is not.")
    if start.startswith(PARQUET):
        raise JobFailedError("wrong_format", "The file is a Parquet file, and its format says that it is not.")
    if start.startswith(_UTF8_MARK):
        raise JobFailedError("byte_order_mark", "The file starts with a byte order mark: save it as UTF-8 without one.")
    if start.startswith(_UTF16_MARKS) or b"\0" in start.split(b"\n", 1)[0]:
        raise JobFailedError("wrong_encoding", "The file is not text in UTF-8.")


def cut_lines(blocks: Iterable[bytes], limits: ChunkLimits) -> Iterator[bytes]:
    """Yield whole lines, as many at a time as `limits` allow; where the blocks begin and end changes nothing."""
    held: list[bytes] = []
    n_lines = n_bytes = 0
    for block in bound_lines(blocks, limits.line_bytes):
        ends, start, first = line_ends(block), 0, 0
        while first < len(ends):
            by_rows = first + limits.rows - n_lines - 1
            by_bytes = int(np.searchsorted(ends, start + limits.n_bytes - n_bytes))
            last = min(by_rows, by_bytes)
            if last >= len(ends):
                break
            end = int(ends[last])
            yield b"".join((*held, block[start:end]))
            held, n_lines, n_bytes = [], 0, 0
            start, first = end, last + 1
        if start < len(block):
            held.append(block[start:])
            n_lines += len(ends) - first
            n_bytes += len(block) - start
    if held:
        yield b"".join(held)


def bound_lines(blocks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield the blocks with no line longer than `max_bytes` + 1: that one byte tells that there was more."""
    length = 0  # of the line that the blocks so far have left open
    for block in blocks:
        ends = line_ends(block)
        longest = max(length + int(ends[0]), int(np.diff(ends, append=len(block)).max())) if len(ends) else 0
        if longest <= max_bytes and (len(ends) or length + len(block) <= max_bytes):
            length = len(block) - int(ends[-1]) if len(ends) else length + len(block)
            yield block
            continue
        pieces = block.split(b"\n")
        for index, piece in enumerate(pieces):
            pieces[index] = piece[: max(0, max_bytes + 1 - length)]
            length = length + len(piece) if index == len(pieces) - 1 else 0
        yield b"\n".join(pieces)


def line_ends(block: bytes) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the position behind each line feed."""
    return np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE) + 1


def lines_of(payload: bytes) -> list[bytes]:
    """Return the lines of a chunk without their ends, which may be of either kind."""
    lines = payload.split(b"\n")
    if payload.endswith(b"\n"):
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines] if b"\r" in payload else lines
