"""Which class reads and writes which format."""

from __future__ import annotations

from pathlib import Path

from core.errors import JobFailedError
from core.jobs.formats.base import TableFormat
from core.jobs.formats.csv_lines import CsvFormat
from core.jobs.formats.json_lines import JsonLinesFormat
from core.jobs.records import FormatName

_SUFFIXES: dict[str, FormatName] = {
    ".csv": "csv",
    ".csv.gz": "csv.gz",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def format_of(name: FormatName) -> TableFormat:
    """Return the format of this name.

    Raises
    ------
    JobFailedError
        It needs a package that is not installed.
    """
    if name == "jsonl":
        return JsonLinesFormat()
    if name == "parquet":
        return _parquet()
    return CsvFormat(gzipped=name == "csv.gz")


def guess_format(path: Path) -> FormatName | None:
    """Return the format that the name of the file speaks of."""
    name = path.name.lower()
    return next((known for suffix, known in _SUFFIXES.items() if name.endswith(suffix)), None)


def _parquet() -> TableFormat:
    try:
        from core.jobs.formats.parquet import ParquetFormat  # only where it is needed: it takes 40 MB
    except ImportError:
        text = "Parquet needs pyarrow, which is not installed: pip install pyarrow (the extra `jobs`)."
        raise JobFailedError("parquet_unavailable", text) from None
    return ParquetFormat()
