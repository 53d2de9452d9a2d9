"""Pieces that the OpenAPI documents of all routes are put together from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.api.errors import INTERNAL, PROBLEM_JSON, PROBLEMS, Problem
from core.api.limits import JSON
from core.errors import MAX_ISSUES

Json = dict[str, Any]

GUARDED = (401, 429, 503)
"""Statuses of every route that wants a key."""


def operation(
    name: str,
    summary: str,
    content: Json,
    statuses: Iterable[int] = (),
    *,
    open_to_all: bool = False,
    success: str = "200",
    known: Iterable[Problem] = tuple(PROBLEMS.values()),
) -> Json:
    """Return the operation that answers `success` with `content`, or with the `known` problems of `statuses`."""
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "X-Model-Version")}
    responses: Json = {success: {"description": "Done.", "headers": headers, "content": content}}
    for status in (*statuses, 500):
        problems = [problem for problem in (*known, INTERNAL) if problem.status == status]
        retry = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
        responses[str(status)] = {
            "description": " or ".join(f"`{problem.code}`" for problem in problems),
            "headers": {**headers, **(retry if problems[0].retryable else {})},
            "content": {PROBLEM_JSON: {"schema": ref("Problem"), "examples": _problem_examples(problems)}},
        }
    described = {"operationId": name, "summary": summary, "responses": responses}
    return {**described, "security": []} if open_to_all else described


def _problem_examples(problems: list[Problem]) -> Json:
    return {
        problem.code: {
            "value": {
                "type": f"urn:fraud-scoring:problem:{problem.code}",
                "title": problem.title,
                "status": problem.status,
                "detail": f"{problem.title}.",
                "code": problem.code,
                "request_id": "9f1c5f0e",
            }
        }
        for problem in problems
    }


def problem_schema() -> Json:
    """Return the schema of a problem document."""
    text = {"type": "string"}
    issue = {
        "type": "object",
        "required": ["loc", "code", "message"],
        "properties": {
            "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
            "code": text,
            "message": text,
        },
    }
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            **dict.fromkeys(("type", "title", "detail", "code", "request_id"), text),
            "status": {"type": "integer"},
            "errors": {"type": "array", "maxItems": MAX_ISSUES, "items": issue},
        },
    }


def json_content(schema: Json, examples: Json | None = None) -> Json:
    """Return the content of a JSON body."""
    return {JSON: {"schema": schema, **({"examples": examples} if examples else {})}}


def ref(name: str) -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}
