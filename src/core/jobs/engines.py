"""The port behind which jobs are run: processes of this machine, or Step Functions in AWS. Neither scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.jobs.records import Job, JobInput, JobRequest
from core.jobs.stores import JobStore


@dataclass(frozen=True)
class UploadTarget:
    """How the caller sends the file of a job that awaits it: one request, before `expires`."""

    url: str
    """Absolute, or a path of this API, which then wants the API key."""
    headers: Mapping[str, str]
    max_bytes: int
    expires: float | None = None
    """Seconds since the epoch; None: until the job is cancelled."""
    method: str = "PUT"


class JobEngine(Protocol):
    """Runs jobs. Every method may block, and may be called again with the same job without another effect."""

    inputs: str
    """Where files may be that are not uploaded, in words for the API's document."""

    def locate(self, request: JobRequest, job_id: str) -> JobInput:
        """Return where the file of `request` is and which version of it is there now; for an upload, where it will be.

        Raises
        ------
        InvalidTransactionError
            There is no such file, this engine cannot reach it, or it cannot read its format.
        """
        ...

    def start(self, job: Job) -> None:
        """See to it that the queued `job` is run, from now on or as soon as there is room."""
        ...

    def cancel(self, job: Job) -> None:
        """See to it that the cancelled `job` stops, and that nothing of it can be taken for a result."""
        ...

    def refresh(self, job: Job) -> Job:
        """Return `job` with what the engine knows of it and the store does not yet."""
        ...

    def upload_target(self, job: Job) -> UploadTarget:
        """Return how the file of `job`, which awaits its upload, is to be sent."""
        ...


class UploadedFile(Protocol):
    """A file while it is being received; until `commit` there is nothing that could be taken for it."""

    def write(self, data: bytes) -> None:
        """Add to the file.

        Raises
        ------
        BodyTooLargeError
        """
        ...

    def commit(self) -> JobInput:
        """Say that this was all."""
        ...

    def discard(self) -> None:
        """Leave nothing behind."""
        ...


@runtime_checkable
class UploadReceiver(Protocol):
    """An engine whose files are sent to this API itself."""

    def receive(self, job: Job) -> UploadedFile:
        """Return what takes the file that `job` awaits; may be called more than once, and the first commit counts."""
        ...


@dataclass(frozen=True)
class Jobs:
    """What the routes of jobs need: who runs them, and who remembers them."""

    engine: JobEngine
    store: JobStore
