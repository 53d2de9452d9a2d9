"""What is done of one run: the committed chunks, in SQLite's write-ahead mode, so that a kill loses none of them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from core.errors import JobFailedError
from core.jobs.results import Part

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (plan TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunk (position INTEGER PRIMARY KEY, payload_sha256 TEXT NOT NULL, part TEXT NOT NULL);
"""


@contextlib.contextmanager
def _storage() -> Iterator[None]:
    """Turn what SQLite says of a full or broken disk into the job's error."""
    try:
        yield
    except sqlite3.Error as error:
        raise JobFailedError("storage_failed", f"What is done cannot be noted: {error}.") from error


class Ledger:
    """The chunks that one run has committed: each with its part, and with the digest of the rows it was made from.

    Every method raises `JobFailedError` if its file cannot be read or written.
    """

    @_storage()
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)

    @_storage()
    def begin(self, plan: str) -> str:
        """Note what the run is about, unless chunks of it are committed already; return what it is about."""
        self._connection.execute("DELETE FROM run WHERE NOT EXISTS (SELECT 1 FROM chunk)")
        self._connection.execute("INSERT INTO run SELECT ? WHERE NOT EXISTS (SELECT 1 FROM run)", (plan,))
        begun: str = self._connection.execute("SELECT plan FROM run").fetchone()[0]
        return begun

    @_storage()
    def committed(self) -> dict[int, tuple[str, Part]]:
        """Return position -> digest of the chunk's rows, and part."""
        rows = self._connection.execute("SELECT position, payload_sha256, part FROM chunk ORDER BY position")
        return {position: (digest, Part.model_validate_json(part)) for position, digest, part in rows}

    @_storage()
    def commit(self, position: int, payload_sha256: str, part: Part) -> None:
        """Note that the part is written; from now on its chunk is never scored again."""
        row = (position, payload_sha256, part.model_dump_json())
        self._connection.execute("INSERT INTO chunk VALUES (?, ?, ?)", row)

    def close(self) -> None:
        self._connection.close()
