"""Writes transactions as the files that the API, the training command and people read."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from training.data import Table
from training.errors import DataError, OutputError
from training.schema import TableSchema

SUFFIXES = (".csv", ".csv.gz", ".json")

Number = int | float


def plain_numbers(values: Iterable[float]) -> list[Number]:
    """Write whole numbers without a decimal point, as a person would."""
    return [int(value) if value.is_integer() else value for value in values]


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def batch_json(transactions: Iterable[dict[str, Any]]) -> str:
    """Return the body of a batch request, one transaction a line."""
    lines = ",\n".join(f"  {json.dumps(transaction)}" for transaction in transactions)
    return f'{{\n "transactions": [\n{lines}\n ]\n}}\n'


def table_bytes(table: Table, schema: TableSchema, suffix: str) -> bytes:
    """Return a table as CSV with labels, to train on, or as JSON without them, to post."""
    rows = [plain_numbers(row) for row in table.values.tolist()]
    if suffix == ".json":
        return batch_json(dict(zip(schema.field_names, row, strict=True)) for row in rows).encode()
    labelled = ([*row, int(label)] for row, label in zip(rows, table.is_fraud, strict=True))
    content = csv_text([*schema.field_names, schema.label_column], labelled).encode()
    # Without a time stamp, equal rows give equal bytes.
    return gzip.compress(content, mtime=0) if suffix == ".csv.gz" else content


def suffix_of(path: Path) -> str:
    """Return the one of `SUFFIXES` that `path` ends with.

    Raises
    ------
    OutputError
        It ends with none of them.
    """
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise OutputError(f"{path}: the name must end with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def read_file(path: Path) -> bytes:
    """Return the content of one file.

    Raises
    ------
    DataError
        It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(path, [error.strerror or "cannot be read"]) from error


def write_file(path: Path, content: bytes) -> None:
    """Write one file, and its directory if need be.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
