"""CSV, plain or gzipped: a header row, then one row a line.

A quoted cell may hold commas and quotes, but no line break: so a stray quote spoils its own row and no other.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import BinaryIO

import numpy as np

from core.csv_document import complete, parse_cell, parse_numbers
from core.errors import JobFailedError
from core.jobs.chunks import ScoredChunk
from core.jobs.formats.base import LINE_BYTES, ChunkLimits, Layout, RawChunk, Table
from core.jobs.formats.lines import cut_lines, gunzip, lines_of, read_blocks, split_head
from core.jobs.rows import Fault, Rows, validate_rows
from core.preprocessing import FieldValues
from core.transactions import ID_COLUMN, Transactions, TransactionSchema

_FEW_ROWS = 32
"""Below so many, looking for a fault row by row is quicker than by halves."""
_OTHER_DELIMITERS = re.compile(r"[;\t|]")
_GZIP_LEVEL = 6

Cells = Sequence[str]


@dataclass(frozen=True)
class CsvFormat:
    """Reads and writes CSV files."""

    gzipped: bool = False
    line_bytes: int = LINE_BYTES

    def open(
        self, file: BinaryIO, schema: TransactionSchema, carry: tuple[str, ...] | None, limits: ChunkLimits
    ) -> Table:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        blocks = gunzip(read_blocks(file)) if self.gzipped else read_blocks(file)
        head, rest = split_head(blocks, limits.line_bytes)
        layout = _layout(_header(head), schema, carry)

        def chunks() -> Iterator[RawChunk]:
            for payload in cut_lines(rest, limits):
                yield RawChunk(payload, file.tell() / size)

        return Table(layout, chunks())

    def rows(self, payload: bytes, layout: Layout, schema: TransactionSchema) -> Rows:
        lines = [self._cells(line, len(layout.columns)) for line in _texts(payload)]
        readable = [line for line in lines if not isinstance(line, Fault)]
        transactions, found = _validate(_fields_of(readable, layout, schema), schema)
        faults = iter(found)
        blank = [""] * len(layout.columns)
        carried = {}
        for name in layout.carry:
            column = layout.columns.index(name)
            carried[name] = [(blank if isinstance(line, Fault) else line)[column] for line in lines]
        return Rows([line.code if isinstance(line, Fault) else next(faults) for line in lines], transactions, carried)

    def encode(self, chunk: ScoredChunk) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(chunk.columns)
        writer.writerows(zip(*chunk.carried.values(), *chunk.added(as_text=True), strict=True))
        raw = text.getvalue().encode()
        # Without a time in it, the same rows give the same file.
        return gzip.compress(raw, _GZIP_LEVEL, mtime=0) if self.gzipped else raw

    def _cells(self, line: str | Fault, width: int) -> list[str] | Fault:
        if isinstance(line, Fault):
            return line
        if len(line) > self.line_bytes:
            return Fault("line_too_long")
        if not line:
            return Fault("empty_line")
        cells = line.split(",")
        if '"' in line:
            try:
                cells = next(csv.reader([line], strict=True))
            except csv.Error:
                return Fault("quotes_do_not_match")
        return cells if len(cells) == width else Fault("row_width")


def _texts(payload: bytes) -> list[str] | list[str | Fault]:
    """Return the lines as text; one that is none spoils no other."""
    try:
        if b"\0" not in payload:
            # Nothing but line feeds ends a line: not what Unicode holds for line ends besides.
            text = payload.decode("utf-8").removesuffix("\n").replace("\r\n", "\n").removesuffix("\r")
            return text.split("\n")
    except UnicodeDecodeError:
        return [_text(line) for line in lines_of(payload)]
    return [_text(line) for line in lines_of(payload)]


def _text(line: bytes) -> str | Fault:
    try:
        return Fault("nul_character") if b"\0" in line else line.decode("utf-8")
    except UnicodeDecodeError:
        return Fault("wrong_encoding")


def _header(line: bytes) -> list[str]:
    if b"\r" in line:
        raise JobFailedError("wrong_line_ends", "Lines should end with a line feed, as on Linux and Windows.")
    try:
        header = next(csv.reader([line.decode("utf-8")], strict=True), [])
    except UnicodeDecodeError:
        raise JobFailedError("wrong_encoding", "The file is not text in UTF-8.") from None
    except csv.Error:
        raise JobFailedError(
            "wrong_format", "The first line is no header of a CSV file: quotes do not match."
        ) from None
    if line.lstrip().startswith((b"{", b"[")):
        raise JobFailedError("wrong_format", "The file looks like JSON, and its format says that it is CSV.")
    if len(header) == 1 and _OTHER_DELIMITERS.search(header[0]):
        raise JobFailedError("wrong_delimiter", "The columns are not separated by commas.")
    return header


def _layout(header: list[str], schema: TransactionSchema, carry: tuple[str, ...] | None) -> Layout:
    missing = [name for name in schema.names if name not in header and name not in schema.stand_ins]
    if missing:
        raise JobFailedError("missing_columns", f"The header lacks columns that the model needs: {', '.join(missing)}.")
    if carry is None:
        carry = tuple(name for name in (ID_COLUMN,) if name in header)
    absent = [index for index, name in enumerate(carry) if name not in header]
    if absent:
        raise JobFailedError("missing_columns", f"The header lacks column {absent[0] + 1} of those to carry through.")
    if any(header.count(name) > 1 for name in (*schema.names, *carry)):
        raise JobFailedError("duplicate_columns", "The header names a column twice that is read.")
    return Layout(tuple(header), carry)


def _fields_of(rows: list[list[str]], layout: Layout, schema: TransactionSchema) -> Sequence[Cells]:
    """Return the cells of the model's fields, in their order; what stands for a missing value where one may be."""
    names = [name for name in schema.names if name in layout.columns]
    pick = _pick([layout.columns.index(name) for name in names])
    cells = [pick(row) for row in rows]
    if not schema.stand_ins:
        return cells
    names, completed = complete(names, [list(row) for row in cells], schema)
    in_order = _pick([names.index(name) for name in schema.names])
    return [in_order(row) for row in completed]


def _pick(positions: Sequence[int]) -> Callable[[list[str]], Cells]:
    """Return what takes the cells at these positions out of a row."""
    if len(positions) == 1:
        return lambda row: [row[positions[0]]]  # of one position, `itemgetter` returns the cell itself
    return itemgetter(*positions)


def _validate(cells: Sequence[Cells], schema: TransactionSchema) -> tuple[Transactions, list[str | None]]:
    """Validate all rows at once, and if that fails, halves of them, down to single rows around each fault."""
    values, faults = _by_halves(cells, schema)
    matrix = np.concatenate(values) if values else np.empty((0, len(schema.names)))
    return Transactions([None] * len(matrix), matrix), faults


def _by_halves(cells: Sequence[Cells], schema: TransactionSchema) -> tuple[list[FieldValues], list[str | None]]:
    if not cells:
        return [], []
    values = parse_numbers(cells)
    if values is not None and schema.admits(values):
        return [values], [None] * len(cells)
    if len(cells) <= _FEW_ROWS:
        objects = [dict(zip(schema.names, map(parse_cell, row), strict=True)) for row in cells]
        transactions, faults = validate_rows(objects, schema)
        return [transactions.values], faults
    middle = len(cells) // 2
    first, second = _by_halves(cells[:middle], schema), _by_halves(cells[middle:], schema)
    return [*first[0], *second[0]], [*first[1], *second[1]]
