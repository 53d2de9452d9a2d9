"""Errors of AWS, of the model container and of the network -> errors of this product, and what each calls for.

Their own texts stay here: a container's may quote what a caller sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.exceptions import ConnectionError as EndpointConnectionError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError
from urllib3.exceptions import ReadTimeoutError as BodyTimeoutError

from core import errors

FOREIGN_ERRORS = (BotoCoreError, ClientError, ResponseParserError, HTTPError)
"""All that a call may raise. botocore lets urllib3's own errors through when the body of an error reply breaks off."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a failed call means."""

    error: type[errors.ScorerError]
    text: str
    is_worth_a_retry: bool = False
    """The same call may succeed if it is made again at once."""
    is_outage: bool = False
    """It counts towards the endpoint being given a rest."""


MODEL_FAILED = Fault(errors.ScorerModelError, "The model failed on the request.")
NOT_READY = Fault(errors.ScorerNotReadyError, "The model is still being loaded.")
THROTTLED = Fault(errors.ScorerThrottledError, "The scorer refuses the present rate of calls.")
MISCONFIGURED = Fault(errors.ScorerMisconfiguredError, "The scorer cannot be called as it is configured.")
INVALID_RESPONSE = Fault(errors.ScorerResponseError, "The scorer's answer cannot be used.")
TIMED_OUT = Fault(errors.ScorerTimeoutError, "The scorer did not answer in time.")
SILENT = Fault(TIMED_OUT.error, TIMED_OUT.text, is_worth_a_retry=True, is_outage=True)
DOWN = Fault(errors.ScorerUnavailableError, "The scorer reports a fault of its own.", is_outage=True)
DOWN_FOR_A_MOMENT = Fault(DOWN.error, DOWN.text, is_worth_a_retry=True, is_outage=True)
UNREACHABLE = Fault(
    errors.ScorerUnavailableError, "The scorer cannot be reached.", is_worth_a_retry=True, is_outage=True
)
UNTRUSTED = Fault(errors.ScorerUnavailableError, "The scorer cannot be reached safely.", is_outage=True)

BY_CODE = {
    "ModelError": MODEL_FAILED,
    "ModelNotReadyException": NOT_READY,
    "ValidationError": MISCONFIGURED,
    "InternalFailure": DOWN_FOR_A_MOMENT,
    "ServiceUnavailable": DOWN_FOR_A_MOMENT,
    "InternalDependencyException": DOWN,
    # No service model lists these: any service may send them, with status 400 or 429.
    "Throttling": THROTTLED,
    "ThrottlingException": THROTTLED,
    "ThrottledException": THROTTLED,
    "TooManyRequestsException": THROTTLED,
    "RequestLimitExceeded": THROTTLED,
}
_BY_TYPE: tuple[tuple[type[Exception], Fault], ...] = (
    # A pooled connection that a firewall dropped in silence looks like this; a new one may work.
    (ReadTimeoutError, SILENT),
    (BodyTimeoutError, TIMED_OUT),
    (SSLError, UNTRUSTED),
    (EndpointConnectionError, UNREACHABLE),
    (ResponseStreamingError, INVALID_RESPONSE),
    (HTTPClientError, UNREACHABLE),
    (IncompleteReadError, INVALID_RESPONSE),
    (ResponseParserError, INVALID_RESPONSE),
    (HTTPError, INVALID_RESPONSE),
)


class InvocationError(Exception):
    """One call failed; `reason` is the error's code or type, which may be logged."""

    def __init__(self, fault: Fault, reason: str, original: Exception) -> None:
        self.fault = fault
        self.reason = reason
        self.original = original
        super().__init__(reason)

    def as_scorer_error(self) -> errors.ScorerError:
        return self.fault.error(self.fault.text)


def invocation_error(error: Exception, *, while_reading: bool = False) -> InvocationError:
    """Return what one of `FOREIGN_ERRORS` means; `while_reading` says that the reply had begun."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        return InvocationError(_fault_of_reply(code, error.response), code, error)
    fault = next((fault for kind, fault in _BY_TYPE if isinstance(error, kind)), MISCONFIGURED)
    if while_reading and fault is SILENT:
        fault = TIMED_OUT
    return InvocationError(fault, type(error).__name__, error)


def _fault_of_reply(code: str, response: dict[str, Any]) -> Fault:
    if code in BY_CODE:
        return BY_CODE[code]
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    if status < 400:
        return INVALID_RESPONSE
    if status < 500:
        return THROTTLED if status == 429 else MISCONFIGURED
    if status == 504:
        return SILENT
    return DOWN_FOR_A_MOMENT if status in (500, 502, 503) else DOWN
