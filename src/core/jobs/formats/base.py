"""What every format can do: cut a file into bounded chunks, read the rows of one, write the scored rows of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from core.jobs.chunks import ScoredChunk
from core.jobs.rows import Rows
from core.transactions import TransactionSchema

ROWS_PER_CHUNK = 20_000
ROWS_PER_EXPLAINED_CHUNK = 1000
"""With reasons: a row takes hundreds of times as long, and what a kill or a cancellation costs should stay seconds."""
LINE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """A chunk ends with the row that reaches a limit: the same file and limits always give the same chunks."""

    rows: int = ROWS_PER_CHUNK
    n_bytes: int = 32 << 20
    """Bytes of the rows, decompressed; the last row may go beyond."""
    line_bytes: int = LINE_BYTES
    """Longest line that is read; the rest of a longer one is passed over, and its row rejected."""

    def explained(self) -> ChunkLimits:
        """Return the limits where each row gets its reasons."""
        return replace(self, rows=min(self.rows, ROWS_PER_EXPLAINED_CHUNK))


@dataclass(frozen=True, slots=True)
class Layout:
    """What the head of a file says of all its chunks."""

    columns: tuple[str, ...]
    """Names in the order of the file; empty where each row names its own."""
    carry: tuple[str, ...]
    """Columns that the result carries through."""


@dataclass(frozen=True, slots=True)
class RawChunk:
    """Some rows, as bytes that `TableFormat.rows` reads; they need nothing else of the file but its layout."""

    payload: bytes
    progress: float
    """Share of the file up to the end of the chunk, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Table:
    """An opened file."""

    layout: Layout
    chunks: Iterator[RawChunk]
    """May raise `JobFailedError` at any chunk."""


class TableFormat(Protocol):
    """One way to write a table."""

    def open(
        self, file: BinaryIO, schema: TransactionSchema, carry: tuple[str, ...] | None, limits: ChunkLimits
    ) -> Table:
        """Read the head of `file`, which is open for as long as chunks are taken; None carries an id that is there.

        Raises
        ------
        JobFailedError
            The file is not of this format, or lacks a column.
        """
        ...

    def rows(self, payload: bytes, layout: Layout, schema: TransactionSchema) -> Rows:
        """Return the rows of a chunk.

        A row that cannot be read has a fault and changes nothing for its neighbours.
        """
        ...

    def encode(self, chunk: ScoredChunk) -> bytes:
        """Return a file of its own with the scored rows; the same rows always give the same bytes."""
        ...
