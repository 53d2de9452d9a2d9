"""The last step of a job in AWS: count what is there, and only when all of it is, say that there is a result."""

from __future__ import annotations

import time

from pydantic import TypeAdapter
from pydantic_core import to_json

from core.errors import JobFailedError, JobStateError
from core.jobs.aws.batches import Batch
from core.jobs.aws.ledger import Done, Ledger, Plan
from core.jobs.aws.objects import Objects
from core.jobs.aws.plan import GOING_ON, BatchList, batches_key, check_going_on, fail
from core.jobs.aws.store import DynamoStore
from core.jobs.aws.worker import result_key
from core.jobs.records import Job, JobProblem, result_columns
from core.jobs.results import MANIFEST, InputDigest, ResultManifest
from core.metrics import Metrics

_BATCHES = TypeAdapter(list[Batch])
_ENDS = {
    "TIMED_OUT": JobProblem(code="timed_out", text="The job took longer than a job may take."),
    "ABORTED": JobProblem(code="aborted", text="The job was stopped by an operator."),
}
_UNKNOWN = JobProblem(code="internal_error", text="The job ended by a fault of the service.")


class Settled(BatchList):
    """How many batches have no result yet, and where their list is."""

    missing: int


class Settler:
    """Ends jobs of one deployment."""

    def __init__(
        self, store: DynamoStore, ledger: Ledger, objects: Objects, metrics: Metrics, bucket: str, concurrency: int
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._objects = objects
        self._metrics = metrics
        self._bucket = bucket
        self._concurrency = concurrency

    def settle(self, job_id: str, round_: int, redrives: int) -> Settled:
        """Complete the job, or return the batches that are missing, if a redrive asks for another round.

        Raises
        ------
        JobFailedError
            Batches are missing and there is no further round; the job's record says so already.
        JobStateError
            The job was cancelled.
        """
        job = self._store.find(job_id)
        if job.state == "completed":
            return self._settled(job_id, round_, 0)
        check_going_on(job)
        done = self._ledger.done(job_id)
        if done.plan is None:
            raise JobStateError("The job has no plan.")
        missing = done.missing
        if not missing:
            self._complete(job, done, done.plan)
            return self._settled(job_id, round_, 0)
        if round_ >= redrives:
            problem = _why(done, missing)
            self._count_failure(fail(self._store, job, problem))
            raise JobFailedError(problem.code, problem.text)
        self._store.update(job, GOING_ON, state="running", finished=None, error=None)
        self._list_again(job_id, round_ + 1, set(missing))
        return self._settled(job_id, round_ + 1, len(missing))

    def note_failure(self, job_id: str, status: str) -> None:
        """Note that the execution of the job ended with `status`, unless the record says already how it ended."""
        self._count_failure(fail(self._store, self._store.find(job_id), _ENDS.get(status, _UNKNOWN)))

    def _complete(self, job: Job, done: Done, plan: Plan) -> None:
        manifest = ResultManifest(
            input=InputDigest(format=job.input.format, n_bytes=job.input.n_bytes or 0, etag=job.input.version),
            format=job.input.format,
            columns=result_columns(plan.carry, reasons=job.options.reasons),
            counts=done.counts,
            parts=done.all_parts,
            model_version=job.model_version,
            bundle_sha256=job.bundle_sha256,
        )
        key = result_key(job.id, MANIFEST)
        self._objects.write(self._bucket, key, manifest.to_bytes())
        try:
            self._store.update(
                job,
                GOING_ON,
                state="completed",
                finished=time.time(),
                counts=done.counts,
                progress=1.0,
                error=None,
                result=f"s3://{self._bucket}/{key}",
            )
        except JobStateError:
            state = self._store.find(job.id).state
            if state == "completed":  # by another run of this step, which wrote the same and has counted it
                return
            if state == "cancelled":
                self._objects.delete(self._bucket, key)
            raise
        self._metrics.count("CompletedJobs")
        self._metrics.count("ScoredJobRows", done.counts.scored)
        self._metrics.count("RejectedJobRows", done.counts.rejected)

    def _count_failure(self, is_news: bool) -> None:
        if is_news:
            self._metrics.count("FailedJobs")

    def _list_again(self, job_id: str, round_: int, wanted: set[int]) -> None:
        first = self._objects.find(f"s3://{self._bucket}/{batches_key(job_id, 0)}")
        batches = _BATCHES.validate_json(self._objects.read(first, 0, first.n_bytes))
        again = [batch.model_dump(exclude_none=True) for batch in batches if batch.index in wanted]
        self._objects.write(self._bucket, batches_key(job_id, round_), to_json(again))

    def _settled(self, job_id: str, round_: int, missing: int) -> Settled:
        where: BatchList = {"key": batches_key(job_id, round_), "round": round_, "concurrency": self._concurrency}
        return {**where, "missing": missing}


def _why(done: Done, missing: list[int]) -> JobProblem:
    """Return the reason that says most: what no redrive can mend comes first."""
    known = [done.faults[index] for index in missing if index in done.faults]
    final = [problem for problem in known if problem.code in ("input_changed", "input_missing", "model_changed")]
    if final:
        return final[0]
    total = done.plan.n_batches if done.plan else 0
    text = f"{len(missing)} of {total} batches could not be scored. The others are kept: a redrive scores the rest."
    return JobProblem(code=known[0].code if known else "internal_error", text=text)
