"""Files of transactions, whatever their format, as one table of cells that nobody has judged yet."""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from training.errors import DataError
from training.openml import PREFIX, fetch

_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_PATTERN = frozenset("*?[")


@dataclass(frozen=True)
class Source:
    """One table as it was found."""

    label: str
    """For messages: the path, or what was asked for."""
    frame: pd.DataFrame
    """Text for CSV, whatever the file says for other formats."""
    sha256: str
    """Of the bytes of the file; of several, of their digests one after the other."""
    n_files: int = 1


def read_source(data: Path | str | Sequence[Path | str]) -> Source:
    """Read one file or many, a pattern, or a data set of OpenML; many are one table, in the order given.

    Raises
    ------
    DataError
        Something is not there, is not a table, or has other columns than the first.
    """
    asked = [data] if isinstance(data, Path | str) else list(data)
    parts = [_read_one(each) for name in asked for each in _expand(name)]
    if len(parts) == 1:
        return parts[0]
    label = ", ".join(str(name) for name in asked)
    first = parts[0]
    problems = [
        f"{part.label}: other columns than {first.label}: {', '.join(sorted(odd))}"
        for part in parts[1:]
        if (odd := set(first.frame.columns).symmetric_difference(part.frame.columns))
    ]
    if problems:
        raise DataError(label, problems)
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return Source(label, frame, digest, len(parts))


def _expand(name: Path | str) -> list[Path | str]:
    if isinstance(name, str) and not name.startswith(PREFIX) and _PATTERN.intersection(name):
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (a pattern may be absolute)
        if not found:
            raise DataError(name, ["no file fits the pattern"])
        return list(found)
    return [name]


def _read_one(name: Path | str) -> Source:
    if isinstance(name, str) and name.startswith(PREFIX):
        frame = fetch(name)
        digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
        return Source(name, frame, digest)
    path = Path(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(path, [error.strerror or "cannot be read"]) from error
    parse = _parse_parquet if content.startswith(_PARQUET_MAGIC) else _parse_csv
    return Source(str(path), parse(path, content), hashlib.sha256(content).hexdigest())


def _parse_csv(path: Path, content: bytes) -> pd.DataFrame:
    try:
        text = gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
        # As text: not every version of pandas reads a number as the double nearest to it.
        frame = pd.read_csv(io.BytesIO(text), dtype=str)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, ["not a whole gzip file"]) from error
    except ValueError as error:  # also pandas' ParserError and EmptyDataError, and UnicodeDecodeError
        raise DataError(path, [f"not a CSV file: {str(error).splitlines()[0]}"]) from error
    return frame


def _parse_parquet(path: Path, content: bytes) -> pd.DataFrame:
    # Here, since pyarrow takes as long to load as all the rest.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        frame: pd.DataFrame = pq.read_table(pa.BufferReader(content)).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(path, [f"not a whole Parquet file: {str(error).splitlines()[0]}"]) from error
    frame.columns = frame.columns.map(str)
    return frame
