"""Reads a table of labelled transactions, or says everything that is wrong with it."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.preprocessing import FieldValues
from training.arrays import Flags, Rows
from training.errors import DataError
from training.schema import TableSchema

MIN_FRAUDS = 20
MIN_LEGITIMATE = 100
"""With fewer, a split of three parts leaves nothing to choose a threshold with."""

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Table:
    """Labelled transactions; every array has one entry for each row."""

    values: FieldValues
    """Shape (n_rows, n_fields), in the order of the schema's fields."""
    is_fraud: Flags
    is_uniform: Flags
    """Legitimate rows that are a uniform sample of all legitimate ones. Frauds are all there, and not marked."""

    def __len__(self) -> int:
        return len(self.is_fraud)

    def take(self, rows: Rows) -> Table:
        """Return the given rows, in the given order."""
        return Table(self.values[rows], self.is_fraud[rows], self.is_uniform[rows])

    def digest(self) -> str:
        """Return the sha256 of the rows in order: little-endian float64 values, then one byte for each flag."""
        sha = hashlib.sha256(np.ascontiguousarray(self.values, dtype="<f8").tobytes())
        sha.update(self.is_fraud.tobytes())
        sha.update(self.is_uniform.tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class DataFile:
    """A table with what is to be recorded of the file it came from."""

    table: Table
    sha256: str
    n_rows: int
    n_duplicates: int
    """Exact copies of earlier rows, which were dropped."""
    has_uniform_column: bool
    ignored_columns: tuple[str, ...]


def read_data(path: Path, schema: TableSchema) -> DataFile:
    """Read a CSV file, plain or gzipped, whose header names the columns of `schema`.

    Raises
    ------
    DataError
        The file cannot be read or trained on; the error lists every problem found.
    """
    content = _read_bytes(path)
    frame = _parse(path, content)
    has_uniform = schema.uniform_column in frame.columns
    wanted = [*schema.field_names, schema.label_column, *([schema.uniform_column] if has_uniform else [])]
    if missing := [name for name in wanted if name not in frame.columns]:
        raise DataError(path, [f"missing columns: {', '.join(missing)}"])
    if problems := _cell_problems(frame[wanted]):
        raise DataError(path, problems)
    numbers = frame[wanted].astype("float64")
    if problems := _value_problems(numbers, schema):
        raise DataError(path, problems)
    distinct = numbers.drop_duplicates()
    table = _to_table(distinct, schema)
    if problems := _amount_problems(table):
        raise DataError(path, problems)
    return DataFile(
        table=table,
        sha256=hashlib.sha256(content).hexdigest(),
        n_rows=len(frame),
        n_duplicates=len(frame) - len(distinct),
        has_uniform_column=has_uniform,
        ignored_columns=tuple(str(name) for name in frame.columns if name not in wanted),
    )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(path, [error.strerror or "cannot be read"]) from error


def _parse(path: Path, content: bytes) -> pd.DataFrame:
    try:
        text = gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
        # As text: not every version of pandas reads a number as the double nearest to it.
        return pd.read_csv(io.BytesIO(text), dtype=str)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, ["not a whole gzip file"]) from error
    except ValueError as error:  # also pandas' ParserError and EmptyDataError, and UnicodeDecodeError
        raise DataError(path, [f"not a CSV file: {str(error).splitlines()[0]}"]) from error


def _cell_problems(frame: pd.DataFrame) -> list[str]:
    """Every cell must hold a finite number."""
    problems = []
    for name in frame.columns:
        numbers = _to_numbers(frame[name])
        empty = frame[name].isna()
        if n_words := int((numbers.isna() & ~empty).sum()):
            problems.append(f"{name}: {n_words} cells are not numbers")
        if n_empty := int(empty.sum()):
            problems.append(f"{name}: {n_empty} cells are empty or NaN")
        if n_infinite := int(np.isinf(numbers).sum()):
            problems.append(f"{name}: {n_infinite} cells are infinite")
    return problems


def _to_numbers(column: pd.Series) -> pd.Series:
    try:
        return column.astype("float64")
    except ValueError:
        return pd.to_numeric(column, errors="coerce")


def _value_problems(numbers: pd.DataFrame, schema: TableSchema) -> list[str]:
    problems = []
    if numbers.empty:
        return ["no rows"]
    for field in schema.fields:
        column = numbers[field.name]
        if n_outside := int(((column < field.minimum) | (column > field.maximum)).sum()):
            problems.append(f"{field.name}: {n_outside} values outside {field.minimum:g} to {field.maximum:g}")
        if column.min() == column.max():
            problems.append(f"{field.name}: every row has the same value")
    for name in numbers.columns[len(schema.fields) :]:
        if n_other := int((~numbers[name].isin((0.0, 1.0))).sum()):
            problems.append(f"{name}: {n_other} values are neither 0 nor 1")
    return problems


def _to_table(numbers: pd.DataFrame, schema: TableSchema) -> Table:
    is_fraud = numbers[schema.label_column].to_numpy() == 1.0
    if schema.uniform_column in numbers.columns:
        is_uniform = numbers[schema.uniform_column].to_numpy() == 1.0
    else:
        is_uniform = np.ones(len(numbers), dtype=np.bool_)
    values = np.ascontiguousarray(numbers[list(schema.field_names)].to_numpy(dtype=np.float64))
    return Table(values, is_fraud, is_uniform & ~is_fraud)


def _amount_problems(table: Table) -> list[str]:
    problems = []
    n_frauds, n_uniform = int(table.is_fraud.sum()), int(table.is_uniform.sum())
    if n_frauds < MIN_FRAUDS:
        problems.append(f"{n_frauds} frauds: at least {MIN_FRAUDS} distinct ones are needed")
    if n_uniform < MIN_LEGITIMATE:
        problems.append(f"{n_uniform} uniformly sampled legitimate rows: at least {MIN_LEGITIMATE} are needed")
    return problems
