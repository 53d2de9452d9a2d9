"""The part of the OpenAPI document that describes the routes of jobs."""

from __future__ import annotations

from typing import Any, get_args

from core.api.errors import JOB_PROBLEMS, PROBLEMS
from core.api.job_routes import DEFAULT_PAGE, INPUT, JOB, JOBS
from core.api.openapi_parts import GUARDED, Json, json_content, operation, ref
from core.explanation import MAX_REASONS
from core.jobs.engines import Jobs, UploadReceiver
from core.jobs.records import MAX_CARRIED, FormatName, JobState
from core.jobs.stores import MAX_PAGE

_KNOWN = (*PROBLEMS.values(), *JOB_PROBLEMS.values())
_CREATING = (400, 403, 409, 413, 415, 422, *GUARDED)
_TEXT, _NUMBER = {"type": "string"}, {"type": "number", "minimum": 0}
_MAYBE_TEXT = {"type": ["string", "null"]}
_JOB_ID: Json = {
    "name": "job_id", "in": "path", "required": True,
    "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+$"},
}  # fmt: skip


def describe_jobs(jobs: Jobs) -> tuple[Json, Json]:
    """Return the paths of jobs, and the schemas that they refer to."""
    return _paths(takes_uploads=isinstance(jobs.engine, UploadReceiver), inputs=jobs.engine.inputs), _schemas()


def _paths(*, takes_uploads: bool, inputs: str) -> Json:
    paths: Json = {
        JOBS: {"post": _create(inputs), "get": _list()},
        JOB: {
            "get": {**_of_job("job_status", "How far is a job, and where is its result?"), "parameters": [_JOB_ID]},
            "delete": {**_of_job("job_cancel", "Cancel a job; one that is over stays"), "parameters": [_JOB_ID]},
        },
    }
    if takes_uploads:
        described = _of_job("job_upload", "Send the file that a job awaits", (409, 413, 415))
        described["parameters"] = [_JOB_ID]
        binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        described["requestBody"] = {"required": True, "content": binary}
        paths[INPUT] = {"put": described}
    return paths


def _schemas() -> Json:
    counts = dict.fromkeys(("read", "scored", "rejected"), {"type": "integer", "minimum": 0})
    return {
        "JobRequest": {
            "type": "object",
            "additionalProperties": False,
            "required": ["input", "format"],
            "properties": {
                "input": {"type": "string", "minLength": 1, "maxLength": 1024},
                "format": {"enum": list(get_args(FormatName))},
                "reasons": {
                    "description": f"Up to {MAX_REASONS} reasons for each row: hundreds of times as much work.",
                    "type": "boolean",
                    "default": False,
                },
                "carry": {
                    "description": "Columns that come back in the result; without it `transaction_id`, if there.",
                    "type": ["array", "null"],
                    "uniqueItems": True,
                    "maxItems": MAX_CARRIED,
                    "items": {"type": "string", "minLength": 1, "maxLength": 128},
                },
            },
        },
        "Job": _object({
            "job_id": _TEXT,
            "state": {"enum": list(get_args(JobState))},
            "status_url": _TEXT,
            "format": {"enum": list(get_args(FormatName))},
            "rows": _object(counts),
            "progress": {**_NUMBER, "maximum": 1},
            "seconds_left": {"type": ["number", "null"], "minimum": 0},
            "created": _TEXT,
            "started": _MAYBE_TEXT,
            "finished": _MAYBE_TEXT,
            "error": {"anyOf": [_object({"code": _TEXT, "text": _TEXT}), {"type": "null"}]},
            "result": _MAYBE_TEXT,
            "model_version": _TEXT,
        }),
    }  # fmt: skip


def _create(inputs: str) -> Json:
    upload = _object({
        "method": _TEXT, "url": _TEXT, "headers": {"type": "object"},
        "max_bytes": {"type": "integer"}, "expires": _MAYBE_TEXT,
    })  # fmt: skip
    accepted = _object({"job_id": _TEXT, "state": _TEXT, "status_url": _TEXT, "created": _TEXT})
    accepted["properties"]["upload"] = upload
    described = operation(
        "job_create", "Score a file of any size", json_content(accepted), _CREATING, success="202", known=_KNOWN
    )
    described["responses"]["202"]["headers"]["Location"] = {"description": "The job's status.", "schema": _TEXT}
    described["parameters"] = [
        {
            "name": "Idempotency-Key", "in": "header", "required": True,
            "description": "For 24 hours, the same key with the same request means the same job.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "example": "2026-11-23-night",
        }
    ]  # fmt: skip
    examples = {"upload": {"value": {"input": "upload", "format": "csv", "carry": ["transaction_id"]}}}
    described["requestBody"] = {
        "required": True,
        "description": f"`input` is `upload`, or {inputs}.",
        "content": json_content(ref("JobRequest"), examples),
    }
    return described


def _list() -> Json:
    page = _object({"jobs": {"type": "array", "items": ref("Job")}, "cursor": _MAYBE_TEXT})
    described = operation("job_list", "List your jobs, the newest first", json_content(page), (403, 422, *GUARDED))
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}
    described["parameters"] = [
        {"name": "limit", "in": "query", "schema": limit},
        {"name": "cursor", "in": "query", "description": "Of the page before.", "schema": _TEXT},
    ]
    return described


def _of_job(name: str, summary: str, statuses: tuple[int, ...] = ()) -> Json:
    return operation(name, summary, json_content(ref("Job")), (403, 404, *statuses, *GUARDED), known=_KNOWN)


def _object(properties: dict[str, Any]) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}
