"""The one table of errors: complete, in step with the contract, and silent about what it must not tell."""

from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException

from core import errors
from core.api.errors import INTERNAL, JOB_PROBLEMS, PROBLEMS, problem_of, problem_response
from core.errors import FieldIssue, FraudScoringError, InvalidTransactionError

CONTRACT = {
    "bad_request": 400,
    "request_timeout": 408,
    "headers_too_large": 431,
    "invalid_json": 400,
    "idempotency_key_missing": 400,
    "idempotency_key_invalid": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "idempotency_in_progress": 409,
    "job_state_conflict": 409,
    "jobs_unavailable": 503,
    "payload_too_large": 413,
    "too_many_items": 413,
    "model_refused": 409,
    "rate_limited": 429,
    "too_many_auth_failures": 429,
    "overloaded": 503,
    "unsupported_media_type": 415,
    "invalid_request": 422,
    "idempotency_key_reused": 422,
    "upstream_model_error": 502,
    "upstream_invalid_response": 502,
    "shutting_down": 503,
    "model_not_ready": 503,
    "upstream_throttled": 503,
    "upstream_unavailable": 503,
    "endpoint_misconfigured": 503,
    "upstream_timeout": 504,
    "deadline_exceeded": 504,
}
"""Code -> status, as published."""

NEVER_IN_A_REQUEST = {errors.FraudScoringError, errors.InvalidInputError, errors.ScorerError, errors.JobFailedError}
"""Bases that are never raised themselves, and what ends a job, not a request.

Start-up errors have no status either: the process does not start."""


WITH_A_SENTENCE_OF_THEIR_OWN = {errors.UnauthorizedError, errors.ForbiddenError, errors.OverloadedError}


def tree(root: type[FraudScoringError] = FraudScoringError) -> list[type[FraudScoringError]]:
    return [root, *(cls for child in root.__subclasses__() for cls in tree(child))]


def raisable() -> list[type[FraudScoringError]]:
    own = [cls for cls in tree() if cls.__module__ == errors.__name__]
    return [cls for cls in own if not issubclass(cls, errors.StartupError) and cls not in NEVER_IN_A_REQUEST]


def instance(cls: type[FraudScoringError], text: str = "") -> FraudScoringError:
    if issubclass(cls, InvalidTransactionError):
        return cls([FieldIssue(("body", "amount"), "finite_number", "Input should be a finite number.")])
    if issubclass(cls, errors.RateLimitedError):
        return cls(2.5)
    return cls() if cls in WITH_A_SENTENCE_OF_THEIR_OWN else cls(text)


@pytest.mark.parametrize("cls", raisable())
def test_problem_of_every_error_of_a_request_is_the_published_one(cls: type[FraudScoringError]) -> None:
    problem = problem_of(instance(cls))

    assert problem.code == cls.code
    assert problem.status == CONTRACT[cls.code]
    assert problem.retryable == (problem.status in (429, 503) or problem.code == "idempotency_in_progress")


def test_problems_hold_the_published_codes_and_no_other() -> None:
    assert {problem.code: problem.status for problem in (*PROBLEMS.values(), *JOB_PROBLEMS.values())} == CONTRACT


def test_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    documented = [line.strip("│├└─ ").split(" ")[0] for line in (errors.__doc__ or "").splitlines()]
    own = [cls.__name__ for cls in tree() if cls.__module__ == errors.__name__]

    assert [name for name in documented if name.endswith("Error")] == own


@pytest.mark.parametrize("cls", [cls for cls in tree() if issubclass(cls, errors.StartupError)])
def test_problem_of_start_up_error_in_a_request_is_a_bug(cls: type[FraudScoringError]) -> None:
    assert problem_of(cls("models/creditcard is damaged")) is INTERNAL


def body_of(error: Exception) -> dict[str, object]:
    return dict(json.loads(problem_response(error, "id-1").body))


def test_problem_response_error_of_ours_is_quoted() -> None:
    assert body_of(errors.TooManyItemsError("A batch may have at most 5 transactions, not 6.")) == {
        "type": "urn:fraud-scoring:problem:too_many_items",
        "title": "Too many transactions",
        "status": 413,
        "detail": "A batch may have at most 5 transactions, not 6.",
        "code": "too_many_items",
        "request_id": "id-1",
    }


def test_problem_response_error_without_text_has_its_title_as_detail() -> None:
    assert body_of(errors.ScorerTimeoutError())["detail"] == "The scorer did not answer in time."


@pytest.mark.parametrize(
    "error",
    [
        ValueError("4111111111111111"),
        KeyError("4111111111111111"),
        errors.BundleError("4111111111111111"),
        HTTPException(404, "4111111111111111"),
        HTTPException(418, "4111111111111111"),
        type("NewError", (errors.ScorerTimeoutError,), {})("4111111111111111"),
    ],
)
def test_problem_response_text_of_a_foreign_error_is_not_quoted(error: Exception) -> None:
    response = problem_response(error, "id-1")

    assert b"4111" not in response.body
    assert response.status_code in (404, 500, 504)


def test_problem_response_issues_are_listed() -> None:
    error = InvalidTransactionError([FieldIssue(("body", "transactions", 3, "amount"), "missing", "Field required.")])

    assert body_of(error)["errors"] == [
        {"loc": ["body", "transactions", 3, "amount"], "code": "missing", "message": "Field required."}
    ]


@pytest.mark.parametrize("cls", [cls for cls, problem in PROBLEMS.items() if problem.status == 503])
def test_problem_response_503_asks_to_come_back_in_1_to_5_seconds_jittered(cls: type[FraudScoringError]) -> None:
    waits = {problem_response(instance(cls), "id-1").headers["retry-after"] for _ in range(200)}

    assert waits == {"1", "2", "3", "4", "5"}


def test_problem_response_headers_follow_the_contract() -> None:
    assert problem_response(errors.UnauthorizedError(), "id-1").headers["www-authenticate"] == "ApiKey"
    assert problem_response(errors.BodyTooLargeError("x"), "id-1").headers["connection"] == "close"
    allow = problem_response(HTTPException(405, headers={"Allow": "POST"}), "id-1").headers["allow"]
    assert allow == "POST"
    assert "retry-after" not in problem_response(errors.ScorerModelError("x"), "id-1").headers


@pytest.mark.parametrize(
    ("n_issues", "text"),
    [(1, "1 field is invalid."), (2, "2 fields are invalid."), (19, "19 fields are invalid."),
     (20, "20 or more fields are invalid; the first 20 are listed."),
     (500, "20 or more fields are invalid; the first 20 are listed.")],
)  # fmt: skip
def test_invalid_transaction_error_counts_its_issues(n_issues: int, text: str) -> None:
    error = InvalidTransactionError([FieldIssue(("body",), "missing", "Field required.")] * n_issues)

    assert str(error) == text
    assert len(error.issues) == min(n_issues, 20)
