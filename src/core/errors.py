"""The error tree of the product. Nothing here knows of HTTP: `core.api.errors` maps classes to replies.

FraudScoringError
├── StartupError                    the process must not start (one clear line, exit code 2)
│   ├── SettingsError
│   ├── BundleError
│   └── KeySourceError
├── InvalidInputError               the caller's mistake
│   ├── MalformedRequestError       what the server reads before the app does
│   ├── RequestTimeoutError
│   ├── HeadTooLargeError
│   ├── MalformedBodyError
│   ├── UnsupportedMediaTypeError
│   ├── BodyTooLargeError
│   ├── TooManyItemsError
│   ├── InvalidTransactionError
│   ├── IdempotencyKeyMissingError
│   ├── IdempotencyKeyInvalidError
│   └── IdempotencyKeyReusedError
├── UnauthorizedError
├── ForbiddenError
├── IdempotencyInProgressError
├── JobNotFoundError
├── JobStateError
├── JobsUnavailableError
├── JobFailedError                  a job ends; its code and text go into the job's record
├── ModelRefusedError
├── RateLimitedError                the caller's own excess
│   └── TooManyAuthFailuresError
├── OverloadedError
├── ShuttingDownError
└── ScorerError                     no score could be had; never accompanied by one
    ├── ScorerModelError
    ├── ScorerResponseError
    ├── ScorerNotReadyError
    ├── ScorerThrottledError
    ├── ScorerUnavailableError
    ├── ScorerMisconfiguredError
    ├── ScorerTimeoutError
    └── DeadlineExceededError
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

MAX_ISSUES = 20
"""The most field issues that one error reports."""


class FraudScoringError(Exception):
    """Base of all that is raised on purpose; its text may be shown to the caller, and holds nothing that was sent."""

    code: ClassVar[str] = "internal_error"


class StartupError(FraudScoringError):
    """The process cannot start as it is configured."""


class SettingsError(StartupError):
    """A setting is missing, unknown or not allowed; the text names it and says what is allowed."""


class BundleError(StartupError):
    """A model bundle is damaged, incomplete or not what it says it is."""


class KeySourceError(StartupError):
    """The place where the API keys are kept does not give any; after the start, the known keys stay active."""


class InvalidInputError(FraudScoringError):
    """The request cannot be scored as it was sent."""


class MalformedRequestError(InvalidInputError):
    """What was sent is not HTTP."""

    code = "bad_request"


class RequestTimeoutError(InvalidInputError):
    """The request came in too slowly."""

    code = "request_timeout"


class HeadTooLargeError(InvalidInputError):
    """The request line and the headers have more bytes than the server reads."""

    code = "headers_too_large"


class MalformedBodyError(InvalidInputError):
    """The body is not the document that its media type promises."""

    code = "invalid_json"


class UnsupportedMediaTypeError(InvalidInputError):
    """The media type or the content encoding is not one that the route reads."""

    code = "unsupported_media_type"


class BodyTooLargeError(InvalidInputError):
    """The body has more bytes than the route reads."""

    code = "payload_too_large"


class TooManyItemsError(InvalidInputError):
    """A batch has more transactions than one request may carry."""

    code = "too_many_items"


@dataclass(frozen=True, slots=True)
class FieldIssue:
    """What is wrong with one field; `loc` holds only names of the schema and integer indexes."""

    loc: tuple[str | int, ...]
    code: str
    message: str


class InvalidTransactionError(InvalidInputError):
    """One or more fields of the posted transactions break the schema."""

    code = "invalid_request"

    def __init__(self, issues: Sequence[FieldIssue]) -> None:
        self.issues = tuple(issues[:MAX_ISSUES])
        count = len(self.issues)
        many = f"{MAX_ISSUES} or more fields are invalid; the first {MAX_ISSUES} are listed."
        some = "1 field is invalid." if count == 1 else f"{count} fields are invalid."
        super().__init__(many if count == MAX_ISSUES else some)


class IdempotencyKeyMissingError(InvalidInputError):
    """The route wants an `Idempotency-Key` header and there is none."""

    code = "idempotency_key_missing"


class IdempotencyKeyInvalidError(InvalidInputError):
    """The `Idempotency-Key` header is there twice, is too long or is no printable text."""

    code = "idempotency_key_invalid"


class IdempotencyKeyReusedError(InvalidInputError):
    """The `Idempotency-Key` came before, with another request."""

    code = "idempotency_key_reused"


class UnauthorizedError(FraudScoringError):
    """No active API key came with the request; one wording for absent, unknown and revoked."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("A valid API key is required in the x-api-key header.")


class ForbiddenError(FraudScoringError):
    """The API key is active, and may not be used for what was asked."""

    code = "forbidden"

    def __init__(self) -> None:
        super().__init__("This API key does not have the scope that the route needs.")


class IdempotencyInProgressError(FraudScoringError):
    """The first request with the `Idempotency-Key` is not done yet."""

    code = "idempotency_in_progress"


class JobNotFoundError(FraudScoringError):
    """There is no such job, or it is another caller's; one wording for both."""

    code = "not_found"


class JobStateError(FraudScoringError):
    """The job is not in a state in which this can be done."""

    code = "job_state_conflict"


class JobsUnavailableError(FraudScoringError):
    """What keeps or runs the jobs does not answer, or not now."""

    code = "jobs_unavailable"


class JobFailedError(FraudScoringError):
    """A job cannot go on. Its own `code` and text become the job's error; the text holds nothing of the input."""

    def __init__(self, code: str, text: str) -> None:
        self.job_code = code
        super().__init__(text)


class ModelRefusedError(FraudScoringError):
    """The bundle that was to be served from now on cannot be; the text is for the operator who asked for it."""

    code = "model_refused"


class RateLimitedError(FraudScoringError):
    """The caller asks more often than it may; in `retry_after_s` seconds there is room for one more request."""

    code = "rate_limited"
    _sentence: ClassVar[str] = "Too many requests."

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(self._sentence)


class TooManyAuthFailuresError(RateLimitedError):
    """Too many requests without an active API key came from one address."""

    code = "too_many_auth_failures"
    _sentence = "Too many requests without a valid API key."


class OverloadedError(FraudScoringError):
    """More is asked of this process than it can do in time."""

    code = "overloaded"

    def __init__(self) -> None:
        super().__init__("The service is busy.")


class ShuttingDownError(FraudScoringError):
    """This process is about to stop; another one should be asked."""

    code = "shutting_down"


class ScorerError(FraudScoringError):
    """The scorer gave no usable score."""

    code = "upstream_unavailable"


class ScorerModelError(ScorerError):
    """The model itself failed on the request."""

    code = "upstream_model_error"


class ScorerResponseError(ScorerError):
    """The scorer answered with something that is not one score in [0, 1] for each transaction."""

    code = "upstream_invalid_response"


class ScorerNotReadyError(ScorerError):
    """The model is still being loaded."""

    code = "model_not_ready"


class ScorerThrottledError(ScorerError):
    """The scorer refuses the present rate of calls."""

    code = "upstream_throttled"


class ScorerUnavailableError(ScorerError):
    """The scorer cannot be reached or reports a fault of its own."""


class ScorerMisconfiguredError(ScorerError):
    """The scorer does not exist, or may not be called, as it is configured."""

    code = "endpoint_misconfigured"


class ScorerTimeoutError(ScorerError):
    """The scorer did not answer in time."""

    code = "upstream_timeout"


class DeadlineExceededError(ScorerError):
    """The request's own deadline passed before there was a score."""

    code = "deadline_exceeded"
