"""Job records in SQLite, in write-ahead mode: readers never wait, and a kill loses nothing that was acknowledged."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from core.errors import (
    FieldIssue,
    IdempotencyKeyReusedError,
    InvalidTransactionError,
    JobNotFoundError,
    JobStateError,
)
from core.jobs.records import Job, JobState
from core.jobs.stores import IDEMPOTENCY_WINDOW_S, JobPage

_BUSY_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS job_of_owner ON job (owner, number);
CREATE INDEX IF NOT EXISTS job_in_state ON job (state, number);
CREATE TABLE IF NOT EXISTS idempotency (
    owner TEXT NOT NULL, key TEXT NOT NULL, request_digest TEXT NOT NULL, job_id TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (owner, key)
);
"""


class SqliteJobStore:
    """Keeps jobs in one file; any number of threads and processes may use it."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)

    def created(self, owner: str, idempotency_key: str, request_digest: str) -> Job | None:
        with self._open() as connection:
            return _created(connection, owner, idempotency_key, request_digest, self._now())

    def create(self, job: Job, idempotency_key: str, request_digest: str) -> Job:
        with self._writing() as connection:
            now = self._now()
            connection.execute("DELETE FROM idempotency WHERE created <= ?", (now - IDEMPOTENCY_WINDOW_S,))
            known = _created(connection, job.owner, idempotency_key, request_digest, now)
            if known is None:
                row = (job.id, job.owner, job.state, job.model_dump_json())
                connection.execute("INSERT INTO job (id, owner, state, document) VALUES (?, ?, ?, ?)", row)
                key = (job.owner, idempotency_key, request_digest, job.id, now)
                connection.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?, ?)", key)
                return job
        return known

    def get(self, owner: str, job_id: str) -> Job:
        with self._open() as connection:
            return _find(connection, owner, job_id)

    def list(self, owner: str, cursor: str | None, limit: int) -> JobPage:
        with self._open() as connection:
            before = None
            if cursor is not None:
                # The id of the last job that was shown: no other owner has one that would tell it anything.
                found = connection.execute("SELECT number FROM job WHERE id = ? AND owner = ?", (cursor, owner))
                before = found.fetchone()
                if before is None:
                    raise InvalidTransactionError(
                        [FieldIssue(("query", "cursor"), "invalid_cursor", "Use the cursor of the page before.")]
                    )
            rows = connection.execute(
                "SELECT document FROM job WHERE owner = ? AND (? IS NULL OR number < ?) ORDER BY number DESC LIMIT ?",
                (owner, before and before[0], before and before[0], limit + 1),
            ).fetchall()
        jobs = [Job.model_validate_json(document) for (document,) in rows[:limit]]
        return JobPage(jobs, jobs[-1].id if len(rows) > limit else None)

    def update(self, job: Job, expected: Collection[JobState], **changes: Any) -> Job:  # noqa: ANN401 - fields of Job
        with self._writing() as connection:
            stored = _find(connection, job.owner, job.id)
            if stored.state not in expected:
                raise JobStateError(f"The job is {stored.state.replace('_', ' ')}.")
            changed = stored.model_copy(update=changes)
            row = (changed.state, changed.model_dump_json(), changed.id)
            connection.execute("UPDATE job SET state = ?, document = ? WHERE id = ?", row)
            return changed

    def oldest(self, states: Collection[JobState]) -> Job | None:
        """Return the job that has been in one of `states` for the longest; None if there is none."""
        with self._open() as connection:
            found = [
                row
                for state in states
                for row in connection.execute(
                    "SELECT number, document FROM job WHERE state = ? ORDER BY number LIMIT 1", (state,)
                )
            ]
        return Job.model_validate_json(min(found)[1]) if found else None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Let no other writer in from the first read on."""
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _created(
    connection: sqlite3.Connection, owner: str, idempotency_key: str, request_digest: str, now: float
) -> Job | None:
    known = connection.execute(
        "SELECT request_digest, document FROM idempotency JOIN job ON job.id = job_id"
        " WHERE idempotency.owner = ? AND key = ? AND created > ?",
        (owner, idempotency_key, now - IDEMPOTENCY_WINDOW_S),
    ).fetchone()
    if known is None:
        return None
    if known[0] != request_digest:
        raise IdempotencyKeyReusedError("The Idempotency-Key came before, with another request.")
    return Job.model_validate_json(known[1])


def _find(connection: sqlite3.Connection, owner: str, job_id: str) -> Job:
    found = connection.execute("SELECT document FROM job WHERE id = ? AND owner = ?", (job_id, owner)).fetchone()
    if found is None:
        raise JobNotFoundError("There is no such job.")
    return Job.model_validate_json(found[0])
