"""How a file is cut into batches that workers score side by side, without reading all of it where that can be helped.

Plain text is cut where lines end: of each place on a grid, only the bytes up to the next line feed are read. What is
compressed can be read from its start only: it is unpacked once, into pieces that workers can read each by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from core.errors import JobFailedError
from core.jobs.aws.objects import Objects, Pinned
from core.jobs.formats.base import ROWS_PER_EXPLAINED_CHUNK, ChunkLimits, RawChunk

ROWS_PER_BATCH = 50_000
"""About so many: some seconds of work, beside which starting a worker weighs little."""
MAX_BATCH_BYTES = 64 << 20
_SAMPLE_BYTES, _PROBE_BYTES = 1 << 20, 64 << 10
_READERS, _WRITERS = 16, 4
_MARGIN_S = 45.0
"""Left to write the list of batches, and to say so where unpacking cannot be finished in time."""
PIECE_LIMITS = ChunkLimits(rows=ROWS_PER_BATCH, n_bytes=MAX_BATCH_BYTES)


class Batch(BaseModel):
    """What one worker is given: rows of a job, as bytes of its file, or of a piece of it that was unpacked."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    job_id: str
    index: int
    start: int
    stop: int
    piece: str | None = None
    """Key of the piece, with the entity tag that it was written with after a blank; None is the file itself."""


def cut_ranges(objects: Objects, source: Pinned, start: int, *, explained: bool = False) -> list[tuple[int, int]]:
    """Return ranges of whole lines, one after the other, from `start` to the end of `source`."""
    step = _bytes_per_batch(objects.read(source, start, start + _SAMPLE_BYTES), explained=explained)
    grid = range(start + step, source.n_bytes, step)
    with ThreadPoolExecutor(_READERS) as pool:
        ends = list(pool.map(lambda at: _line_end(objects, source, at), grid))
    # A line that is longer than a batch swallows the places on it.
    cuts = sorted({start, *ends, source.n_bytes})
    return list(pairwise(cuts))


def _bytes_per_batch(sample: bytes, *, explained: bool) -> int:
    rows = min(ROWS_PER_BATCH, ROWS_PER_EXPLAINED_CHUNK) if explained else ROWS_PER_BATCH
    lines = max(1, sample.count(b"\n"))
    return min(MAX_BATCH_BYTES, max(1, rows * len(sample) // lines))


def _line_end(objects: Objects, source: Pinned, at: int) -> int:
    """Return the position behind the first line feed from `at` - 1 on: a line that ends right there is not cut into."""
    at -= 1
    while at < source.n_bytes:
        window = objects.read(source, at, at + _PROBE_BYTES)
        found = window.find(b"\n")
        if found >= 0:
            return at + found + 1
        at += len(window)
    return source.n_bytes


def unpack(
    chunks: Iterator[RawChunk], write: Callable[[int, bytes], str], seconds_left: Callable[[], float]
) -> list[tuple[str, int]]:
    """Write each chunk as a piece of its own; return what `write` made of it, and its size, in order.

    A few are written at the same time, so that memory holds a few and no more.

    Raises
    ------
    JobFailedError
        The chunks say so, or there are more than can be written in the time that is left.
    """
    pieces: list[tuple[Future[str], int]] = []
    under_way: set[Future[str]] = set()
    with ThreadPoolExecutor(_WRITERS) as pool:
        for index, chunk in enumerate(chunks):
            if seconds_left() < _MARGIN_S:
                text = "The compressed file is too long to be unpacked in one go: send it in parts, or not compressed."
                raise JobFailedError("input_too_large", text)
            if len(under_way) >= _WRITERS:
                _, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            future = pool.submit(write, index, chunk.payload)
            under_way.add(future)
            pieces.append((future, len(chunk.payload)))
        return [(future.result(), n_bytes) for future, n_bytes in pieces]
