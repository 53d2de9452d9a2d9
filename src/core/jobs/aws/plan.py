"""The first step of a job in AWS: find out what the file is, and where its batches begin."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TypedDict

from pydantic_core import to_json

from core.bundle import Bundle
from core.errors import JobFailedError, JobStateError
from core.jobs.aws.batches import PIECE_LIMITS, Batch, cut_ranges, unpack
from core.jobs.aws.ledger import Ledger, Plan
from core.jobs.aws.objects import Objects, Pinned, split_location
from core.jobs.aws.store import DynamoStore
from core.jobs.formats.base import Layout, Table
from core.jobs.formats.choice import format_of
from core.jobs.records import Job, JobProblem, JobState
from core.transactions import TransactionSchema

GOING_ON: frozenset[JobState] = frozenset({"queued", "running", "failed"})
"""States of a job whose execution runs: a failed one is redriven."""
_SPLITTABLE = frozenset({"csv", "jsonl"})


class BatchList(TypedDict):
    """Where the state machine reads which batches to score, and how many at a time."""

    key: str
    round: int
    concurrency: int


class Planner:
    """Plans jobs of one deployment."""

    def __init__(
        self, store: DynamoStore, ledger: Ledger, objects: Objects, bundle: Bundle, bucket: str, concurrency: int
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._objects = objects
        self._bundle = bundle
        self._bucket = bucket
        self._concurrency = concurrency

    def plan(self, job_id: str, seconds_left: Callable[[], float]) -> BatchList:
        """Cut the job's file into batches and return where their list is.

        Raises
        ------
        JobFailedError
            The job cannot be done; its record says so already.
        JobStateError
            It is not to be done any more.
        """
        job = self._store.find(job_id)
        check_going_on(job)
        job = self._store.update(job, GOING_ON, state="running", started=job.started or time.time(), error=None)
        try:
            check_bundle(job, self._bundle)
            batches, layout = self._cut(job, seconds_left)
            if not batches:
                raise JobFailedError("no_rows", "The file has a header and no rows.")  # noqa: TRY301 - as the rest
        except JobFailedError as error:
            fail(self._store, job, JobProblem(code=error.job_code, text=str(error)))
            raise
        key = batches_key(job_id, 0)
        self._objects.write(self._bucket, key, to_json([batch.model_dump(exclude_none=True) for batch in batches]))
        self._ledger.note_plan(job_id, Plan(n_batches=len(batches), columns=layout.columns, carry=layout.carry))
        return {"key": key, "round": 0, "concurrency": self._concurrency}

    def _cut(self, job: Job, seconds_left: Callable[[], float]) -> tuple[list[Batch], Layout]:
        source, reasons = pinned_input(job), job.options.reasons
        limits = PIECE_LIMITS.explained() if reasons else PIECE_LIMITS
        schema = TransactionSchema(self._bundle.manifest.fields)
        with self._objects.open(source) as file:
            table = format_of(job.input.format).open(file, schema, job.options.carry, limits)
            if job.input.format not in _SPLITTABLE:
                return self._unpacked(job, table, seconds_left), table.layout
        start = self._end_of_header(source) if table.layout.columns else 0
        ranges = cut_ranges(self._objects, source, start, explained=reasons)
        batches = [Batch(job_id=job.id, index=n, start=begin, stop=end) for n, (begin, end) in enumerate(ranges)]
        return batches, table.layout

    def _end_of_header(self, source: Pinned) -> int:
        head = self._objects.read(source, 0, PIECE_LIMITS.line_bytes + 2)
        return head.find(b"\n") + 1 or source.n_bytes

    def _unpacked(self, job: Job, table: Table, seconds_left: Callable[[], float]) -> list[Batch]:
        # Names of this run alone: another one at the same time would replace the pieces, and with them their tags.
        run = secrets.token_hex(4)

        def write(index: int, payload: bytes) -> str:
            key = f"pieces/{job.id}/{run}-{index:06d}"
            return f"{key} {self._objects.write(self._bucket, key, payload)}"

        pieces = unpack(table.chunks, write, seconds_left)
        return [
            Batch(job_id=job.id, index=index, start=0, stop=n_bytes, piece=piece)
            for index, (piece, n_bytes) in enumerate(pieces)
        ]


def batches_key(job_id: str, round_: int) -> str:
    """Return the key of the list of batches that are scored in this round."""
    return f"plans/{job_id}/{round_}.json"


def pinned_input(job: Job) -> Pinned:
    """Return the file that the job was created for."""
    bucket, key = split_location(job.input.location)
    return Pinned(bucket, key, job.input.version or "", job.input.n_bytes or 0)


def check_going_on(job: Job) -> None:
    """Return if the job may be worked on.

    Raises
    ------
    JobStateError
    """
    if job.state not in GOING_ON:
        raise JobStateError(f"The job is {job.state}.")


def check_bundle(job: Job, bundle: Bundle) -> None:
    """Return if this process has the model that the job was created for: one result is never of two models.

    Raises
    ------
    JobFailedError
    """
    if job.bundle_sha256 != bundle.digest:
        raise JobFailedError("model_changed", "The service has another model than when the job was created.")


def fail(store: DynamoStore, job: Job, problem: JobProblem) -> bool:
    """Note that the job failed, unless it is over already; tell whether that was news."""
    try:
        store.update(job, {"queued", "running"}, state="failed", finished=time.time(), error=problem)
    except JobStateError:
        return False
    return True
