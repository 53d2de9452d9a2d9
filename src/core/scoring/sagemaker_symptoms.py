"""What a failed call says to an operator: finer than what callers of the service are told."""

from __future__ import annotations

from enum import Enum, auto

import botocore.session
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import ConnectionError as EndpointConnectionError

from core.scoring.sagemaker_errors import InvocationError

_SERVICE = "sagemaker-runtime"


class Symptom(Enum):
    """Kinds of failure that call for different cures."""

    CREDENTIALS = auto()
    PERMISSION = auto()
    NO_ENDPOINT = auto()
    VARIANT = auto()
    UNREACHABLE = auto()
    SLOW = auto()
    NOT_READY = auto()
    THROTTLED = auto()
    MODEL_FAILED = auto()
    OTHER = auto()


_BY_CODE = {
    "ModelError": Symptom.MODEL_FAILED,
    "ModelNotReadyException": Symptom.NOT_READY,
    "ThrottlingException": Symptom.THROTTLED,
    "AccessDenied": Symptom.PERMISSION,
    "AccessDeniedException": Symptom.PERMISSION,
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        Symptom.CREDENTIALS,
    ),
}
_BY_TYPE: tuple[tuple[type[Exception], Symptom], ...] = (
    (NoCredentialsError, Symptom.CREDENTIALS),
    (PartialCredentialsError, Symptom.CREDENTIALS),
    (CredentialRetrievalError, Symptom.CREDENTIALS),
    (TokenRetrievalError, Symptom.CREDENTIALS),
    (UnauthorizedSSOTokenError, Symptom.CREDENTIALS),
    (ReadTimeoutError, Symptom.SLOW),
    (EndpointConnectionError, Symptom.UNREACHABLE),
    (HTTPClientError, Symptom.UNREACHABLE),
)


def symptom_of(error: InvocationError) -> Symptom:
    """Return what kind of failure `error` is."""
    original = error.original
    if not isinstance(original, ClientError):
        return next((symptom for kind, symptom in _BY_TYPE if isinstance(original, kind)), Symptom.OTHER)
    if error.reason == "ValidationError":
        return _symptom_of_refusal(str(original.response["Error"].get("Message", "")).lower())
    return _BY_CODE.get(error.reason, Symptom.OTHER)


def _symptom_of_refusal(message: str) -> Symptom:
    """Only the text tells what the service could not find."""
    if "variant" in message or "inference component" in message:
        return Symptom.VARIANT
    return Symptom.NO_ENDPOINT if "not found" in message or "could not find" in message else Symptom.OTHER


def other_regions(region: str) -> list[str]:
    """Return the regions beside `region` in which an endpoint could be, of the same partition."""
    session = botocore.session.get_session()
    partition = session.get_partition_for_region(region)
    return [name for name in session.get_available_regions(_SERVICE, partition) if name != region]
