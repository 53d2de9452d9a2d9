"""The step that runs a thousand times side by side: the rows of one batch, scored and written as parts of the result.

A batch can come more than once, and two workers can have the same at the same time: what they write is the same bytes
under the same names.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from functools import cached_property

from core.errors import FraudScoringError, JobFailedError, JobStateError
from core.jobs.aws.batches import Batch
from core.jobs.aws.ledger import Ledger, Plan
from core.jobs.aws.objects import Objects, Pinned
from core.jobs.aws.plan import check_bundle, check_going_on, pinned_input
from core.jobs.aws.store import DynamoStore
from core.jobs.chunks import score_chunk
from core.jobs.formats.base import ChunkLimits, Layout
from core.jobs.formats.choice import format_of
from core.jobs.formats.lines import cut_lines
from core.jobs.records import Job, JobProblem
from core.jobs.results import Part
from core.service import ScoringService
from core.transactions import TransactionSchema

_LIMITS = ChunkLimits()


class Worker:
    """Scores batches of any job of one deployment, one at a time."""

    def __init__(
        self, store: DynamoStore, ledger: Ledger, objects: Objects, service: ScoringService, bucket: str
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._objects = objects
        self._service = service
        self._bucket = bucket
        self._schema = TransactionSchema(service.bundle.manifest.fields)

    def score(self, batch: Batch) -> int:
        """Write the batch's parts of the result and return its index.

        Raises
        ------
        JobFailedError
            Trying again would change nothing, for this batch or any other.
        FraudScoringError
            The batch may be tried again. Either way the reason is noted.
        """
        job = self._store.find(batch.job_id)
        check_going_on(job)
        try:
            check_bundle(job, self._service.bundle)
            plan = self._ledger.plan(job.id)
            if plan is None:
                raise JobStateError("The job has no plan.")
            parts = tuple(self._parts(job, plan, batch))
        except FraudScoringError as error:
            code = error.job_code if isinstance(error, JobFailedError) else error.code
            self._ledger.note_fault(job.id, batch.index, JobProblem(code=code, text=str(error)))
            raise
        self._ledger.note_parts(job.id, batch.index, parts)
        return batch.index

    def _parts(self, job: Job, plan: Plan, batch: Batch) -> Iterator[Part]:
        layout, table_format = Layout(plan.columns, plan.carry), format_of(job.input.format)
        blocks = self._objects.blocks(_source(job, batch, self._bucket), batch.start, batch.stop)
        reasons = job.options.reasons
        for number, payload in enumerate(cut_lines(blocks, _LIMITS.explained() if reasons else _LIMITS)):
            rows = table_format.rows(payload, layout, self._schema)
            scored = self._loop.run_until_complete(score_chunk(rows, self._service, reasons=reasons))
            data = table_format.encode(scored)
            name = f"part-{batch.index:06d}-{number:04d}.{job.input.format}"
            self._objects.write(self._bucket, result_key(job.id, name), data)
            yield Part(
                name=name,
                sha256=hashlib.sha256(data).hexdigest(),
                n_bytes=len(data),
                rows=scored.n_rows,
                scored=scored.n_scored,
                rejected=scored.n_rejected,
            )

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """One for all batches: locks and sockets of a scorer belong to the loop that they were first used on."""
        return asyncio.new_event_loop()

    def close(self) -> None:
        """Give back what scoring needed."""
        self._loop.close()


def _source(job: Job, batch: Batch, bucket: str) -> Pinned:
    if batch.piece is None:
        return pinned_input(job)
    key, _, etag = batch.piece.partition(" ")
    return Pinned(bucket, key, etag, batch.stop)


def result_key(job_id: str, name: str) -> str:
    """Return the key of one file of the result."""
    return f"results/{job_id}/{name}"
