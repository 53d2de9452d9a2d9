"""The port behind which job records are kept: SQLite on one machine, DynamoDB in AWS."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from core.jobs.records import Job, JobState

IDEMPOTENCY_WINDOW_S = 24 * 3600.0
"""How long a repeated Idempotency-Key means the same job (RFC draft httpapi-idempotency-key-header)."""
MAX_PAGE = 100


@dataclass(frozen=True)
class JobPage:
    """Some jobs of one owner, newest first; `cursor` is where the next page begins, None at the end."""

    jobs: list[Job]
    cursor: str | None


class JobStore(Protocol):
    """Keeps jobs. Every method may block; every call is atomic, whatever else calls at the same time."""

    def create(self, job: Job, idempotency_key: str, request_digest: str) -> Job:
        """Store `job` and return it; for a key that its owner used within 24 h, return the job of that time as it is.

        Raises
        ------
        IdempotencyKeyReusedError
            The key was used with another request.
        IdempotencyInProgressError
            Another call with the key is under way, and it cannot be told yet what came of it.
        """
        ...

    def created(self, owner: str, idempotency_key: str, request_digest: str) -> Job | None:
        """Return the job for which `owner` used the key within 24 h, as it is; None if there is none.

        Raises
        ------
        IdempotencyKeyReusedError
            The key was used with another request.
        """
        ...

    def get(self, owner: str, job_id: str) -> Job:
        """Return a job.

        Raises
        ------
        JobNotFoundError
            There is none, or it is another owner's: nobody can tell which.
        """
        ...

    def list(self, owner: str, cursor: str | None, limit: int) -> JobPage:
        """Return up to `limit` jobs of `owner`, newest first, from `cursor` on.

        Raises
        ------
        InvalidTransactionError
            `cursor` is none that this store handed to `owner`.
        """
        ...

    def update(self, job: Job, expected: Collection[JobState], **changes: Any) -> Job:  # noqa: ANN401 - fields of Job
        """Store `changes` to `job` if its stored state is still one of `expected`; return the job as it is then.

        Raises
        ------
        JobStateError
            It is in another state.
        """
        ...
