"""Reads a table of labelled transactions, or says everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from core.preprocessing import FieldValues
from training.arrays import Flags, Floats, Rows
from training.columns import Columns, TimeColumn, is_field_name
from training.errors import DataError
from training.findings import Findings, judge_cells, judge_classes, judge_features, judge_values, to_numbers
from training.schema import CREDITCARD, CREDITCARD_WITHOUT_TIME, TableSchema
from training.sources import Source, read_source

_LABELS = {"true": "1", "false": "0"}


@dataclass(frozen=True)
class Table:
    """Labelled transactions; every array has one entry for each row."""

    values: FieldValues
    """Shape (n_rows, n_fields), in the order of the schema's fields."""
    is_fraud: Flags
    is_uniform: Flags
    """Legitimate rows that are a uniform sample of all legitimate ones. Frauds are all there, and not marked."""
    given_weights: Floats | None = None
    """How many real transactions each row stands for, if the table says so."""

    def __len__(self) -> int:
        return len(self.is_fraud)

    def take(self, rows: Rows) -> Table:
        """Return the given rows, in the given order."""
        weights = None if self.given_weights is None else self.given_weights[rows]
        return Table(self.values[rows], self.is_fraud[rows], self.is_uniform[rows], weights)

    def join(self, other: Table) -> Table:
        """Return the rows of both."""
        both = (self, other)
        return Table(
            np.concatenate([each.values for each in both]),
            np.concatenate([each.is_fraud for each in both]),
            np.concatenate([each.is_uniform for each in both]),
            None if self.given_weights is None else np.concatenate([each.weights for each in both]),
        )

    @property
    def weights(self) -> Floats:
        """The given weights, or 1 for every row."""
        return np.ones(len(self)) if self.given_weights is None else self.given_weights

    def digest(self) -> str:
        """Return the sha256 of the rows in order: little-endian float64 values, a byte for each flag, the weights."""
        sha = hashlib.sha256(np.ascontiguousarray(self.values, dtype="<f8").tobytes())
        sha.update(self.is_fraud.tobytes())
        sha.update(self.is_uniform.tobytes())
        if self.given_weights is not None:
            sha.update(np.ascontiguousarray(self.given_weights, dtype="<f8").tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class DataFile:
    """A table with what is to be recorded of the file, or files, it came from."""

    table: Table
    sha256: str
    n_rows: int
    n_duplicates: int
    """Exact copies of earlier rows, which were dropped."""
    has_uniform_column: bool
    ignored_columns: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """What is odd about the table, but forbids nothing."""
    leaks: tuple[str, ...] = ()
    """Features that tell frauds by themselves, and were let in."""
    n_files: int = 1


def open_data(
    data: Path | str | Sequence[Path | str], columns: Columns | None, allowed_leaks: Sequence[str] = ()
) -> tuple[DataFile, TableSchema]:
    """Read a table and find out its schema: as `columns` say, else that of the public data set.

    `allowed_leaks` are features that may tell frauds by themselves, besides those that `columns` name.

    Raises
    ------
    DataError, OptionError
        The table cannot be read or trained on; the error lists every problem found.
    """
    source = read_source(data)
    if columns is None:
        has_time = "Time" in source.frame.columns or "V1" not in source.frame.columns
        schema = CREDITCARD if has_time else CREDITCARD_WITHOUT_TIME
        schema = schema.allowing(allowed_leaks)
        return _judged(source, schema, Findings()), schema
    if columns.time is not None and (dated := _with_seconds(source, columns.time.column)) is not source:
        source = dated
        meaning = TimeColumn(
            column=columns.time.column, zero="midnight", utc_offset_hours=columns.time.utc_offset_hours
        )
        columns = columns.model_copy(update={"time": meaning})
    found = Findings()
    schema = columns.table_schema(_numeric_columns(source.frame, columns, found))
    schema = schema.allowing([*columns.allow_leak, *allowed_leaks])
    return _judged(source, schema, found), schema


def read_data(data: Path | str | Sequence[Path | str], schema: TableSchema) -> DataFile:
    """Read a table with the columns of `schema`.

    Raises
    ------
    DataError
        The table cannot be read or trained on; the error lists every problem found.
    """
    return _judged(_with_seconds(read_source(data), schema.time_field), schema, Findings())


def _judged(source: Source, schema: TableSchema, found: Findings) -> DataFile:
    has_uniform = schema.uniform_column in source.frame.columns
    wanted = [*schema.field_names, schema.label_column]
    wanted += [name for name in (schema.uniform_column,) if name is not None and has_uniform]
    wanted += [name for name in (schema.weight_column,) if name is not None]
    if missing := [name for name in wanted if name not in source.frame.columns]:
        found.problems.append(f"missing columns: {', '.join(missing)}")
    frame = source.frame[[name for name in dict.fromkeys(wanted) if name not in missing]]
    numbers = _numbers(frame, schema)
    clean = judge_cells(frame, numbers, schema, found)
    if not missing:
        judge_values(numbers, clean, schema, found)
    _stop_at(found, source)
    distinct = numbers.drop_duplicates()
    table = _to_table(distinct, schema)
    judge_classes(table.is_fraud, table.is_uniform, found)
    _stop_at(found, source)
    judge_features(distinct, table.is_fraud, schema, found)
    _stop_at(found, source)
    return DataFile(
        table=table,
        sha256=source.sha256,
        n_rows=len(frame),
        n_duplicates=len(frame) - len(distinct),
        has_uniform_column=has_uniform,
        ignored_columns=tuple(str(name) for name in source.frame.columns if name not in wanted),
        warnings=tuple(found.warnings),
        leaks=tuple(found.leaks),
        n_files=source.n_files,
    )


def _stop_at(found: Findings, source: Source) -> None:
    if found.problems:
        raise DataError(source.label, found.problems)


def _numbers(frame: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    columns = {name: frame[name] for name in frame.columns}
    if (label := columns.get(schema.label_column)) is not None:
        columns[schema.label_column] = label.astype(object).map(lambda cell: _LABELS.get(str(cell).lower(), cell))
    numbers: pd.DataFrame = pd.DataFrame(
        {name: to_numbers(column) for name, column in columns.items()}, index=frame.index
    )
    return numbers


def _numeric_columns(frame: pd.DataFrame, columns: Columns, found: Findings) -> list[str]:
    """Return the columns that can be features, and warn of those that cannot; asked only if none are named."""
    if columns.features is not None:
        return []
    chosen = []
    for name in (str(each) for each in frame.columns):
        if name in columns.used:
            continue
        numbers = to_numbers(frame[name])
        if (numbers.isna() & frame[name].notna()).any() or numbers.isna().all():
            found.warnings.append(f"{name}: not numbers; left out")
        elif numbers.min() == numbers.max():
            found.warnings.append(f"{name}: every row has the same value; left out")
        elif not is_field_name(name):
            found.warnings.append(f"{name}: no request could have a field of this name; left out")
        else:
            chosen.append(name)
    return chosen


def _with_seconds(source: Source, time_column: str | None) -> Source:
    """Turn dates and times of day into Unix seconds, which is what requests then hold; numbers stay as they are."""
    if time_column is None or time_column not in source.frame.columns:
        return source
    cells = source.frame[time_column]
    if to_numbers(cells).notna().any() and not pd.api.types.is_datetime64_any_dtype(cells):
        return source
    moments = pd.to_datetime(cells, utc=True, errors="coerce", format="ISO8601")
    if moments.isna().all():
        return source
    seconds = (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    frame = source.frame.assign(**{time_column: seconds.astype(object).where(moments.notna(), cells.astype(object))})
    return replace(source, frame=frame)


def _to_table(numbers: pd.DataFrame, schema: TableSchema) -> Table:
    is_fraud = numbers[schema.label_column].to_numpy() == 1.0
    if schema.uniform_column in numbers.columns:
        is_uniform = numbers[schema.uniform_column].to_numpy() == 1.0
    else:
        is_uniform = np.ones(len(numbers), dtype=np.bool_)
    values = np.ascontiguousarray(numbers[list(schema.field_names)].to_numpy(dtype=np.float64))
    weights = None if schema.weight_column is None else numbers[schema.weight_column].to_numpy(np.float64)
    return Table(values, is_fraud, is_uniform & ~is_fraud, weights)
