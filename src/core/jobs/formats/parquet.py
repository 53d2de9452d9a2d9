"""Parquet, by pyarrow: the only module that knows it. Chunks are record batches in Arrow's own stream format."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import JobFailedError
from core.jobs.chunks import ScoredChunk
from core.jobs.formats.base import ChunkLimits, Layout, RawChunk, Table
from core.jobs.rows import Rows, validate_rows
from core.preprocessing import FieldValues
from core.transactions import ID_COLUMN, Transactions, TransactionSchema

_MAX_GROUP_BYTES = 1 << 30
"""Of one column of a row group, decompressed: pyarrow may hold all of it at once."""


class ParquetFormat:
    """Reads and writes Parquet files."""

    def open(
        self, file: BinaryIO, schema: TransactionSchema, carry: tuple[str, ...] | None, limits: ChunkLimits
    ) -> Table:
        try:
            parquet = pq.ParquetFile(file)
        except (pa.ArrowException, OSError, ValueError):
            raise JobFailedError("wrong_format", "The file is no Parquet file, or it is damaged.") from None
        layout = _layout(parquet.schema_arrow, schema, carry)
        _check_size(parquet.metadata)
        n_rows = parquet.metadata.num_rows

        def chunks() -> Iterator[RawChunk]:
            done = 0
            for batch in _batches(parquet, list(layout.columns), limits):
                done += batch.num_rows
                yield RawChunk(_to_stream(batch), done / n_rows)

        return Table(layout, chunks())

    def rows(self, payload: bytes, layout: Layout, schema: TransactionSchema) -> Rows:
        batch = pa.ipc.open_stream(payload).read_next_batch()
        values = np.column_stack([_numbers(batch, name, schema.stand_ins.get(name)) for name in schema.names])
        # What is NaN, or was null and may not be, fails both comparisons.
        good = ((values >= schema.minimum) & (values <= schema.maximum)).all(axis=1)
        faults: list[str | None] = [None] * batch.num_rows
        suspects = np.flatnonzero(~good)
        items = [dict(zip(schema.names, values[index].tolist(), strict=True)) for index in suspects]
        for index, fault in zip(suspects.tolist(), validate_rows(items, schema)[1], strict=True):
            faults[index] = fault
        transactions = Transactions([None] * int(good.sum()), values[good])
        return Rows(faults, transactions, {name: batch.column(name) for name in layout.carry})

    def encode(self, chunk: ScoredChunk) -> bytes:
        scores, *texts = chunk.added(as_text=True)
        added = [pa.array(scores, pa.float64()), *(pa.array(column, pa.string()) for column in texts)]
        file = io.BytesIO()
        pq.write_table(pa.table([*chunk.carried.values(), *added], names=list(chunk.columns)), file)
        return file.getvalue()


def _layout(found: Any, schema: TransactionSchema, carry: tuple[str, ...] | None) -> Layout:  # noqa: ANN401
    missing = [name for name in schema.names if name not in found.names and name not in schema.stand_ins]
    if missing:
        raise JobFailedError("missing_columns", f"The file lacks columns that the model needs: {', '.join(missing)}.")
    if carry is None:
        carry = tuple(name for name in (ID_COLUMN,) if name in found.names)
    absent = [index for index, name in enumerate(carry) if name not in found.names]
    if absent:
        raise JobFailedError("missing_columns", f"The file lacks column {absent[0] + 1} of those to carry through.")
    fields = [name for name in schema.names if name in found.names]
    wanted = tuple(dict.fromkeys((*fields, *carry)))
    if any(found.names.count(name) > 1 for name in wanted):
        raise JobFailedError("duplicate_columns", "The file names a column twice that is read.")
    for name in fields:
        kind = found.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
            raise JobFailedError("wrong_column_type", f"The column {name} does not hold numbers.")
    return Layout(wanted, carry)


def _check_size(metadata: Any) -> None:  # noqa: ANN401 - pyarrow ships no types
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            if metadata.row_group(group).column(column).total_uncompressed_size > _MAX_GROUP_BYTES:
                text = "A row group is too large: write the file with row groups of at most a million rows."
                raise JobFailedError("row_group_too_large", text)


def _batches(parquet: Any, columns: list[str], limits: ChunkLimits) -> Iterator[Any]:  # noqa: ANN401
    try:
        for batch in parquet.iter_batches(batch_size=limits.rows, columns=columns, use_threads=False):
            n_slices = max(1, math.ceil(batch.nbytes / limits.n_bytes))
            length = math.ceil(batch.num_rows / n_slices)
            for start in range(0, batch.num_rows, max(1, length)):
                yield batch.slice(start, length)
    except (pa.ArrowException, OSError):
        raise JobFailedError("invalid_parquet", "The Parquet file is damaged.") from None


def _to_stream(batch: Any) -> bytes:  # noqa: ANN401
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _numbers(batch: Any, name: str, stand_in: float | None) -> FieldValues:  # noqa: ANN401
    """Return the column as float64, null as what stands for a missing value or, where nothing does, as NaN."""
    if name not in batch.schema.names:
        return np.full(batch.num_rows, stand_in, dtype=np.float64)
    column = batch.column(name).cast(pa.float64(), safe=False)
    numbers: FieldValues = (column if stand_in is None else column.fill_null(stand_in)).to_numpy(zero_copy_only=False)
    return numbers
