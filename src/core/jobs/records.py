"""What is known of a job, and what a caller may ask for."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from core.errors import FieldIssue, InvalidTransactionError
from core.transactions import UNKNOWN

JobState = Literal["awaiting_upload", "queued", "running", "completed", "failed", "cancelled"]
FormatName = Literal["csv", "csv.gz", "jsonl", "parquet"]
"""How a table is written; also the suffix of its files."""

UNFINISHED: frozenset[JobState] = frozenset({"awaiting_upload", "queued", "running"})
FINISHED: frozenset[JobState] = frozenset(get_args(JobState)) - UNFINISHED
UPLOAD = "upload"
"""In place of a location: the caller sends the file."""
RESULT_COLUMNS = ("fraud_score", "decision", "model_version", "status")
"""What a result adds to the columns that are carried through, in this order."""
MAX_CARRIED = 64
REASONS = "reasons"
"""One more column, the last, where the job asks for it."""
_ID_BYTES = 24

Column = Annotated[str, Field(min_length=1, max_length=128)]
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def result_columns(carry: Sequence[str], *, reasons: bool) -> tuple[str, ...]:
    """Return the names of the result's columns, in order."""
    return (*carry, *RESULT_COLUMNS, *((REASONS,) if reasons else ()))


class JobOptions(BaseModel):
    """What the result should hold beside the scores."""

    model_config = _STRICT

    reasons: bool = False
    """Whether each scored row says why, as `/predict` does with `explain=true`."""
    carry: Annotated[tuple[Column, ...], Field(max_length=MAX_CARRIED, strict=False)] | None = None
    """Columns of the input that come back in the result; None carries `transaction_id` where the input has it."""

    @field_validator("carry")
    @classmethod
    def _columns_differ(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        added = result_columns((), reasons=info.data.get(REASONS, False))
        if value is not None and len(set(value)) < len(value):
            raise ValueError("a column is named twice")
        if value is not None and set(value) & set(added):
            raise ValueError(f"{', '.join(added)} are columns of the result")
        return value


class JobRequest(JobOptions):
    """The body of `POST /jobs`."""

    input: Annotated[str, Field(min_length=1, max_length=1024)]
    """`upload`, or where the file is: `s3://bucket/key` in AWS, a path below the jobs folder on one machine."""
    format: FormatName

    def options(self) -> JobOptions:
        """Return the part that is not about the input."""
        return JobOptions(reasons=self.reasons, carry=self.carry)


class JobInput(BaseModel):
    """The file to score, pinned: what is found at `location` later must still be what `version` says."""

    model_config = _STRICT

    location: str
    format: FormatName
    version: str | None = None
    """S3's ETag, or size and time of the local file; None until it is uploaded."""
    n_bytes: int | None = None


class JobCounts(BaseModel):
    """Rows so far; `read` is `scored` + `rejected` at every commit."""

    model_config = _STRICT

    read: int = 0
    scored: int = 0
    rejected: int = 0


class JobProblem(BaseModel):
    """Why a job failed; the text never holds a value of the input."""

    model_config = _STRICT

    code: str
    text: str


class Job(BaseModel):
    """One job, as both engines and both stores keep it. Times are seconds since the epoch."""

    model_config = _STRICT

    id: str
    owner: str
    """Who may see it: `key_id` of the API key that created it, never the key."""
    state: JobState
    input: JobInput
    options: JobOptions
    bundle_sha256: str
    model_version: str
    created: float
    started: float | None = None
    finished: float | None = None
    counts: JobCounts = JobCounts()
    progress: float = 0.0
    """Share of the input that is done, in [0, 1]."""
    error: JobProblem | None = None
    result: str | None = None
    """Where the finished result is; None unless the state is `completed`."""

    def seconds_left(self, now: float) -> float | None:
        """Return how long the job will take from `now` on if it goes on as so far; None while nobody can tell."""
        if self.state != "running" or self.started is None or not 0 < self.progress < 1:
            return None
        return max(now - self.started, 0.0) * (1 - self.progress) / self.progress


def new_job_id() -> str:
    """Return an id with 192 random bits: nobody finds the job of another by guessing."""
    return secrets.token_urlsafe(_ID_BYTES)


def new_job(
    request: JobRequest, source: JobInput, *, job_id: str, owner: str, bundle_sha256: str, model_version: str
) -> Job:
    """Return the job for `request`, not yet stored, that the present bundle will score."""
    return Job(
        id=job_id,
        owner=owner,
        state="awaiting_upload" if request.input == UPLOAD else "queued",
        input=source,
        options=request.options(),
        bundle_sha256=bundle_sha256,
        model_version=model_version,
        created=time.time(),
    )


def parse_job_request(document: object) -> JobRequest:
    """Validate the parsed body of `POST /jobs`.

    Raises
    ------
    InvalidTransactionError
    """
    try:
        return JobRequest.model_validate(document)
    except ValidationError as error:
        issues = [
            FieldIssue(("body", *_location(detail["loc"])), detail["type"], f"{detail['msg']}.")
            for detail in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise InvalidTransactionError(issues) from None


def _location(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Keep names of the model and indexes: what the caller named otherwise is never repeated."""
    known = JobRequest.model_fields
    return tuple(part if isinstance(part, int) or part in known else UNKNOWN for part in location)
