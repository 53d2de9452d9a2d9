"""The routes of jobs: thin as those of scores; who runs a job, and who remembers it, is behind two ports."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import anyio.to_thread
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from core.api.headers import header_values
from core.api.limits import JSON, body_chunks, read_body, require_media_type
from core.api.middleware import context_of
from core.api.query import no_reasons_here
from core.api.release import Endpoint
from core.errors import (
    FieldIssue,
    IdempotencyKeyInvalidError,
    IdempotencyKeyMissingError,
    InvalidTransactionError,
    JobStateError,
)
from core.jobs.engines import Jobs, UploadReceiver, UploadTarget
from core.jobs.records import REASONS, UNFINISHED, UPLOAD, Job, JobRequest, new_job, new_job_id, parse_job_request
from core.jobs.stores import MAX_PAGE
from core.json_document import read_json
from core.service import ScoringService
from core.settings import Settings

JOBS, JOB, INPUT = "/jobs", "/jobs/{job_id}", "/jobs/{job_id}/input"
PATTERNS = (
    (re.compile(r"/jobs/(?P<job_id>[^/]+)"), JOB),
    (re.compile(r"/jobs/(?P<job_id>[^/]+)/input"), INPUT),
)
SCOPES_OF_JOBS = dict.fromkeys((JOBS, JOB, INPUT), "batch")
DEFAULT_PAGE = 20
IDEMPOTENCY_KEY = b"idempotency-key"
_KEY = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_LIMIT = re.compile(r"[1-9][0-9]{0,2}")


class JobRoutes:
    """The handlers, with the collaborators that they share."""

    def __init__(self, jobs: Jobs, service: ScoringService, settings: Settings) -> None:
        self._engine = jobs.engine
        self._store = jobs.store
        self._bundle = service.bundle
        self._explains = service.explainer is not None
        self._max_body_bytes = settings.max_body_bytes

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """Return who answers which route and method."""
        endpoints: dict[tuple[str, str], Endpoint] = {
            (JOBS, "POST"): self.create,
            (JOBS, "GET"): self.list,
            (JOB, "GET"): self.status,
            (JOB, "DELETE"): self.cancel,
        }
        if isinstance(self._engine, UploadReceiver):
            endpoints[INPUT, "PUT"] = self.upload
        return endpoints

    async def create(self, request: Request) -> Response:
        """Take on a job, once for each Idempotency-Key."""
        require_media_type(request, (JSON,))
        key = _idempotency_key(request)
        asked = parse_job_request(read_json(await read_body(request, self._max_body_bytes)))
        job, target = await anyio.to_thread.run_sync(self._create, asked, context_of(request.scope).key_id, key)
        prefix = str(request.scope.get("root_path", ""))
        # What the job was when it was taken on, not what has become of it: a repeated request gets the same reply.
        body: dict[str, Any] = {
            "job_id": job.id,
            "state": "queued" if target is None else "awaiting_upload",
            "status_url": f"{prefix}/jobs/{job.id}",
            "created": _timestamp(job.created),
        }
        if target is not None:
            body["upload"] = _describe_upload(target, prefix)
        return Response(to_json(body), 202, {"location": body["status_url"]}, JSON)

    async def status(self, request: Request) -> Response:
        """Tell how far a job is, and where its result is."""
        job = await anyio.to_thread.run_sync(self._find, request)
        return _reply(_describe(job, request))

    async def list(self, request: Request) -> Response:
        """List the caller's jobs, the newest first."""
        limit, cursor = request.query_params.get("limit", str(DEFAULT_PAGE)), request.query_params.get("cursor")
        if not _LIMIT.fullmatch(limit) or int(limit) > MAX_PAGE:
            message = f"Input should be a whole number from 1 to {MAX_PAGE}."
            raise InvalidTransactionError([FieldIssue(("query", "limit"), "invalid_limit", message)])
        owner = context_of(request.scope).key_id
        page = await anyio.to_thread.run_sync(self._store.list, owner, cursor, int(limit))
        return _reply({"jobs": [_describe(job, request) for job in page.jobs], "cursor": page.cursor})

    async def cancel(self, request: Request) -> Response:
        """Cancel a job; one that is over stays as it is."""
        job = await anyio.to_thread.run_sync(self._cancel, request)
        return _reply(_describe(job, request))

    async def upload(self, request: Request) -> Response:
        """Take the file that a job awaits."""
        if not isinstance(self._engine, UploadReceiver):
            raise TypeError("the engine takes no uploads")
        require_media_type(request, ("application/octet-stream",))
        job = await anyio.to_thread.run_sync(self._find, request)
        if job.state != "awaiting_upload":
            raise JobStateError("The job does not await a file.")
        file = self._engine.receive(job)
        try:
            async for chunk in body_chunks(request, self._engine.upload_target(job).max_bytes):
                await anyio.to_thread.run_sync(file.write, chunk)
            source = await anyio.to_thread.run_sync(file.commit)
            job = self._store.update(job, {"awaiting_upload"}, state="queued", input=source)
        except BaseException:
            file.discard()
            raise
        self._engine.start(job)
        return _reply(_describe(job, request))

    def _create(self, asked: JobRequest, owner: str, key: str) -> tuple[Job, UploadTarget | None]:
        digest = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
        # The key first: what the job was created from may be gone since, and the reply is still that of the first time.
        job = self._store.created(owner, key, digest) or self._store.create(self._new(asked, owner), key, digest)
        if job.state == "queued":
            self._engine.start(job)
        return job, self._engine.upload_target(job) if asked.input == UPLOAD else None

    def _new(self, asked: JobRequest, owner: str) -> Job:
        if asked.reasons and not self._explains:
            raise no_reasons_here(("body", REASONS))
        job_id = new_job_id()
        return new_job(
            asked,
            self._engine.locate(asked, job_id),
            job_id=job_id,
            owner=owner,
            bundle_sha256=self._bundle.digest,
            model_version=self._bundle.version,
        )

    def _find(self, request: Request) -> Job:
        owner = context_of(request.scope).key_id
        return self._engine.refresh(self._store.get(owner, request.path_params["job_id"]))

    def _cancel(self, request: Request) -> Job:
        job = self._find(request)
        try:
            job = self._store.update(job, UNFINISHED, state="cancelled", finished=time.time())
        except JobStateError:
            return self._find(request)
        self._engine.cancel(job)
        return job


def _idempotency_key(request: Request) -> str:
    values = header_values(request.scope, IDEMPOTENCY_KEY)
    if not values:
        raise IdempotencyKeyMissingError("Send a header Idempotency-Key of your own, the same for every try.")
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise IdempotencyKeyInvalidError("Idempotency-Key should be there once, with 1 to 255 printable characters.")
    return values[0].decode("ascii")


def _describe_upload(target: UploadTarget, prefix: str) -> dict[str, Any]:
    described = replace(target, url=prefix + target.url if target.url.startswith("/") else target.url)
    return {
        "method": described.method,
        "url": described.url,
        "headers": dict(described.headers),
        "max_bytes": described.max_bytes,
        "expires": _timestamp(described.expires),
    }


def _describe(job: Job, request: Request) -> dict[str, Any]:
    left = job.seconds_left(time.time())
    return {
        "job_id": job.id,
        "state": job.state,
        "status_url": f"{request.scope.get('root_path', '')}/jobs/{job.id}",
        "format": job.input.format,
        "rows": job.counts.model_dump(),
        "progress": round(job.progress, 4),
        "seconds_left": None if left is None else round(left, 1),
        "created": _timestamp(job.created),
        "started": _timestamp(job.started),
        "finished": _timestamp(job.finished),
        "error": None if job.error is None else job.error.model_dump(),
        "result": job.result,
        "model_version": job.model_version,
    }


def _timestamp(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def _reply(body: dict[str, Any]) -> Response:
    return Response(to_json(body), media_type=JSON)
