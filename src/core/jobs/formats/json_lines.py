"""JSON Lines: an object a line, in the form that `/predict` takes; other members are passed over."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from pydantic_core import to_json

from core.errors import InvalidTransactionError, JobFailedError, MalformedBodyError
from core.jobs.chunks import ScoredChunk
from core.jobs.formats.base import LINE_BYTES, ChunkLimits, Layout, RawChunk, Table
from core.jobs.formats.lines import cut_lines, lines_of, read_blocks, split_head
from core.jobs.rows import UNREADABLE, Fault, Rows, validate_rows
from core.json_document import read_json
from core.transactions import ID_COLUMN, Transactions, TransactionSchema

_VECTOR = "features"
_ABSENT = object()


class JsonLinesFormat:
    """Reads and writes JSON Lines."""

    def open(
        self, file: BinaryIO, schema: TransactionSchema, carry: tuple[str, ...] | None, limits: ChunkLimits
    ) -> Table:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head, _ = split_head(read_blocks(file), limits.line_bytes)
        if not head.lstrip().startswith(b"{"):
            raise JobFailedError("wrong_format", "The first line is no JSON object: the format is one object a line.")
        file.seek(0)

        def chunks() -> Iterator[RawChunk]:
            for payload in cut_lines(read_blocks(file), limits):
                yield RawChunk(payload, file.tell() / size)

        return Table(Layout((), (ID_COLUMN,) if carry is None else carry), chunks())

    def rows(self, payload: bytes, layout: Layout, schema: TransactionSchema) -> Rows:
        documents = [_document(line) for line in lines_of(payload)]
        wanted = frozenset((*schema.names, _VECTOR))
        items = [_only(document, wanted) for document in documents]
        carried = {
            name: [document.get(name, _ABSENT) if isinstance(document, dict) else _ABSENT for document in documents]
            for name in layout.carry
        }
        try:
            transactions = schema.collect((item, ("row",)) for item in items)
        except (InvalidTransactionError, MalformedBodyError):
            transactions, faults = validate_rows(items, schema)
        else:
            faults = [None] * len(items)
        return Rows(faults, Transactions([None] * len(transactions.ids), transactions.values), carried)

    def encode(self, chunk: ScoredChunk) -> bytes:
        names = chunk.columns
        columns = [*chunk.carried.values(), *chunk.added(as_text=False)]
        lines = [
            to_json({name: cell for name, cell in zip(names, row, strict=True) if cell is not _ABSENT})
            for row in zip(*columns, strict=True)
        ]
        return b"\n".join([*lines, b""])


def _document(line: bytes) -> object:
    if len(line) > LINE_BYTES:
        return Fault("line_too_long")
    if not line.strip():
        return Fault("empty_line")
    try:
        return read_json(line)
    except MalformedBodyError:
        return Fault("invalid_json")
    except ValueError:
        return Fault(UNREADABLE)


def _only(document: object, wanted: frozenset[str]) -> object:
    """Return the object less what the model does not ask for; anything else as it is."""
    if not isinstance(document, dict) or document.keys() <= wanted:
        return document
    return {name: value for name, value in document.items() if name in wanted}
