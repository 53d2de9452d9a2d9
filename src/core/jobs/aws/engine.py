"""Jobs on Step Functions: a state machine cuts a file, spreads its batches over Lambda, and counts what came of it."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from core.errors import FieldIssue, InvalidTransactionError, JobFailedError
from core.jobs.aws.clients import aws_border
from core.jobs.aws.ledger import Ledger
from core.jobs.aws.objects import Objects, Pinned, split_location
from core.jobs.engines import UploadTarget
from core.jobs.records import UPLOAD, Job, JobInput, JobRequest, JobState

UPLOAD_S = 3600
"""How long a URL for an upload is good; a session of a role may end it earlier."""
MAX_UPLOAD_BYTES = 5 << 30
"""S3's own limit of a single PUT, which a signed URL cannot lower."""

_COUNTED_BY_BATCH: frozenset[JobState] = frozenset({"running", "failed", "cancelled"})
"""States in which the record of a job does not say how far it came."""


class StepFunctionsEngine:
    """The `JobEngine` in AWS. An execution has the id of its job for a name, so that a job can be started once only."""

    inputs = "`s3://bucket/key` in the bucket that jobs may read"

    def __init__(self, client: Any, machine_arn: str, objects: Objects, ledger: Ledger, bucket: str) -> None:  # noqa: ANN401 - boto3 makes its classes at run time
        self._client = client
        self._machine_arn = machine_arn
        self._objects = objects
        self._ledger = ledger
        self._bucket = bucket

    def locate(self, request: JobRequest, job_id: str) -> JobInput:
        if request.format == "parquet":
            raise _refused("format", "parquet_unavailable", "Jobs in AWS read CSV, gzipped CSV and JSON Lines.")
        if request.input == UPLOAD:
            location = f"s3://{self._bucket}/{upload_key(job_id, request.format)}"
            return JobInput(location=location, format=request.format)
        try:
            found = self._find(request.input)
        except JobFailedError as error:
            raise _refused("input", error.job_code, str(error)) from None
        return JobInput(location=request.input, format=request.format, version=found.etag, n_bytes=found.n_bytes)

    def _find(self, location: str) -> Pinned:
        bucket, _ = split_location(location)
        if bucket == self._bucket:
            # Uploads and results of all callers are there.
            raise JobFailedError("input_forbidden", "The file is not there, or the service may not read it.")
        return self._objects.find(location)

    @aws_border
    def start(self, job: Job) -> None:
        document = to_json({"job_id": job.id}).decode()
        try:
            self._client.start_execution(stateMachineArn=self._machine_arn, name=job.id, input=document)
        except self._client.exceptions.ExecutionAlreadyExists:
            # Started before, and over: names are taken for 90 days.
            return

    @aws_border
    def cancel(self, job: Job) -> None:
        execution = f"{self._machine_arn.replace(':stateMachine:', ':execution:')}:{job.id}"
        try:
            self._client.stop_execution(executionArn=execution, error="cancelled")
        except self._client.exceptions.ExecutionDoesNotExist:
            # Not started: an upload that comes later finds the job cancelled.
            return

    def refresh(self, job: Job) -> Job:
        if job.state not in _COUNTED_BY_BATCH:
            return job
        done = self._ledger.done(job.id)
        total = done.plan.n_batches if done.plan else 0
        progress = len(done.parts) / total if total else 0.0
        return job.model_copy(update={"counts": done.counts, "progress": progress})

    @aws_border
    def upload_target(self, job: Job) -> UploadTarget:
        bucket, key = split_location(job.input.location)
        url = self._objects.upload_url(bucket, key, UPLOAD_S)
        # Signed with the condition, so that nobody can replace what was sent once.
        return UploadTarget(url, {"If-None-Match": "*"}, MAX_UPLOAD_BYTES, job.created + UPLOAD_S)


def upload_key(job_id: str, format_name: str) -> str:
    """Return the key under which the file of a job is uploaded."""
    return f"uploads/{job_id}.{format_name}"


def _refused(field: str, code: str, text: str) -> InvalidTransactionError:
    return InvalidTransactionError([FieldIssue(("body", field), code, text)])
