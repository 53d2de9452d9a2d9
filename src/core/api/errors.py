"""The one table that turns errors into replies: RFC 9457 problem details with a stable `code`."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core import errors

PROBLEM_JSON = "application/problem+json"
PROBLEM_TYPE = "urn:fraud-scoring:problem:"
RETRY_AFTER_S = (1, 5)
MAX_RETRY_AFTER_S = 60


@dataclass(frozen=True)
class Problem:
    """How one kind of error is answered."""

    status: int
    code: str
    title: str
    retryable: bool = False
    headers: dict[str, str] = field(default_factory=dict)


_UNAVAILABLE = "The scorer is unavailable"

PROBLEMS: dict[type[errors.FraudScoringError], Problem] = {
    errors.MalformedRequestError: Problem(400, "bad_request", "Bad request", headers={"Connection": "close"}),
    errors.RequestTimeoutError: Problem(408, "request_timeout", "Request timeout", headers={"Connection": "close"}),
    errors.HeadTooLargeError: Problem(
        431, "headers_too_large", "The headers are too large", headers={"Connection": "close"}
    ),
    errors.MalformedBodyError: Problem(400, "invalid_json", "The body cannot be read"),
    errors.UnauthorizedError: Problem(401, "unauthorized", "Unauthorized", headers={"WWW-Authenticate": "ApiKey"}),
    errors.ForbiddenError: Problem(403, "forbidden", "Forbidden"),
    errors.BodyTooLargeError: Problem(
        413, "payload_too_large", "The body is too large", headers={"Connection": "close"}
    ),
    errors.TooManyItemsError: Problem(413, "too_many_items", "Too many transactions", headers={"Connection": "close"}),
    errors.UnsupportedMediaTypeError: Problem(415, "unsupported_media_type", "Unsupported media type"),
    errors.InvalidTransactionError: Problem(422, "invalid_request", "Invalid request"),
    errors.ModelRefusedError: Problem(409, "model_refused", "The model was refused"),
    errors.RateLimitedError: Problem(429, "rate_limited", "Too many requests", retryable=True),
    errors.TooManyAuthFailuresError: Problem(
        429, "too_many_auth_failures", "Too many failed authentications", retryable=True
    ),
    errors.OverloadedError: Problem(503, "overloaded", "Overloaded", retryable=True),
    errors.ShuttingDownError: Problem(503, "shutting_down", "Shutting down", retryable=True),
    errors.ScorerModelError: Problem(502, "upstream_model_error", "The model failed"),
    errors.ScorerResponseError: Problem(502, "upstream_invalid_response", "The scorer's answer is invalid"),
    errors.ScorerNotReadyError: Problem(503, "model_not_ready", "The model is not ready", retryable=True),
    errors.ScorerThrottledError: Problem(503, "upstream_throttled", "The scorer is throttled", retryable=True),
    errors.ScorerMisconfiguredError: Problem(503, "endpoint_misconfigured", _UNAVAILABLE, retryable=True),
    errors.ScorerUnavailableError: Problem(503, "upstream_unavailable", _UNAVAILABLE, retryable=True),
    errors.ScorerTimeoutError: Problem(504, "upstream_timeout", "The scorer did not answer in time"),
    errors.DeadlineExceededError: Problem(504, "deadline_exceeded", "The deadline of the request passed"),
}
"""Every error that any request can meet. What is not here is a bug, and answered as one."""

JOB_PROBLEMS: dict[type[errors.FraudScoringError], Problem] = {
    errors.IdempotencyKeyMissingError: Problem(400, "idempotency_key_missing", "Idempotency-Key is missing"),
    errors.IdempotencyKeyInvalidError: Problem(400, "idempotency_key_invalid", "Idempotency-Key is invalid"),
    errors.IdempotencyKeyReusedError: Problem(422, "idempotency_key_reused", "Idempotency-Key was used before"),
    errors.IdempotencyInProgressError: Problem(
        409, "idempotency_in_progress", "The first request is not done", retryable=True
    ),
    errors.JobNotFoundError: Problem(404, "not_found", "Not found"),
    errors.JobStateError: Problem(409, "job_state_conflict", "The job is in another state"),
    errors.JobsUnavailableError: Problem(503, "jobs_unavailable", "Jobs cannot be reached", retryable=True),
}
"""Errors that only requests about jobs can meet beside these."""

_ALL = {**PROBLEMS, **JOB_PROBLEMS}
INTERNAL = Problem(500, "internal_error", "Internal error")
ROUTING = {
    404: Problem(404, "not_found", "Not found"),
    405: Problem(405, "method_not_allowed", "Method not allowed"),
}


def problem_of(error: Exception) -> Problem:
    """Return how `error` is answered; anything without an entry is an internal error."""
    if isinstance(error, HTTPException):
        return ROUTING.get(error.status_code, INTERNAL)
    return next((_ALL[cls] for cls in type(error).__mro__ if cls in _ALL), INTERNAL)


def problem_response(error: Exception, request_id: str) -> Response:
    """Return the reply for `error`; only errors of our own tree are quoted, since others may hold a caller's data."""
    problem = problem_of(error)
    body: dict[str, Any] = {
        "type": PROBLEM_TYPE + problem.code,
        "title": problem.title,
        "status": problem.status,
        "detail": f"{error}" if type(error).__mro__[0] in _ALL and f"{error}" else f"{problem.title}.",
        "code": problem.code,
        "request_id": request_id,
    }
    if isinstance(error, errors.InvalidTransactionError):
        body["errors"] = [
            {"loc": list(issue.loc), "code": issue.code, "message": issue.message} for issue in error.issues
        ]
    headers = dict(problem.headers)
    if problem.retryable:
        headers["Retry-After"] = str(_retry_after(error))
    if isinstance(error, HTTPException) and error.headers:
        # Starlette lists the methods of `Allow` in the order of a set, which differs from process to process.
        headers.update((name, ", ".join(sorted(value.split(", ")))) for name, value in error.headers.items())
    return Response(to_json(body), problem.status, headers, PROBLEM_JSON)


def _retry_after(error: Exception) -> int:
    """Return whole seconds: until there is room, where that is known; else any of a few, lest all come back at once."""
    if isinstance(error, errors.RateLimitedError):
        return min(math.ceil(error.retry_after_s), MAX_RETRY_AFTER_S)
    low, high = RETRY_AFTER_S
    return low + secrets.randbelow(high - low + 1)
