"""Nothing that botocore can raise for a call is left without a meaning."""

from __future__ import annotations

import botocore.exceptions
import botocore.session
import pytest
import urllib3.exceptions
from botocore.exceptions import BotoCoreError, ClientError

from core import errors
from core.api.errors import PROBLEMS
from core.scoring import sagemaker_errors
from core.scoring.sagemaker_errors import BY_CODE, Fault, invocation_error

SECRET = "card 4111111111111111"
SHAPES = botocore.session.get_session().get_service_model("sagemaker-runtime").operation_model("InvokeEndpoint")

MODELLED = {
    "InternalFailure": (errors.ScorerUnavailableError, True, True),
    "ServiceUnavailable": (errors.ScorerUnavailableError, True, True),
    "InternalDependencyException": (errors.ScorerUnavailableError, False, True),
    "ModelError": (errors.ScorerModelError, False, False),
    "ModelNotReadyException": (errors.ScorerNotReadyError, False, False),
    "ValidationError": (errors.ScorerMisconfiguredError, False, False),
}


def reply(code: str, status: int) -> ClientError:
    response = {"Error": {"Code": code, "Message": SECRET}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "InvokeEndpoint")  # type: ignore[arg-type]


def meaning(fault: Fault) -> tuple[type[errors.ScorerError], bool, bool]:
    return fault.error, fault.is_worth_a_retry, fault.is_outage


@pytest.mark.parametrize("shape", SHAPES.error_shapes, ids=lambda shape: shape.name)
def test_every_error_of_the_service_model_has_a_meaning(shape: botocore.model.StructureShape) -> None:
    assert shape.error_code in BY_CODE
    error = invocation_error(reply(shape.error_code, shape.metadata["error"]["httpStatusCode"]))
    assert meaning(error.fault) == MODELLED[shape.name]


def test_no_error_of_the_service_model_is_forgotten_here() -> None:
    assert {shape.name for shape in SHAPES.error_shapes} == set(MODELLED)


@pytest.mark.parametrize("name", ["ThrottlingException", "Throttling", "TooManyRequestsException"])
@pytest.mark.parametrize("status", [400, 429])
def test_throttling_is_not_tried_again(name: str, status: int) -> None:
    assert meaning(invocation_error(reply(name, status)).fault) == (errors.ScorerThrottledError, False, False)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, (errors.ScorerResponseError, False, False)),
        (307, (errors.ScorerResponseError, False, False)),
        (401, (errors.ScorerMisconfiguredError, False, False)),
        (403, (errors.ScorerMisconfiguredError, False, False)),
        (404, (errors.ScorerMisconfiguredError, False, False)),
        (413, (errors.ScorerMisconfiguredError, False, False)),
        (429, (errors.ScorerThrottledError, False, False)),
        (500, (errors.ScorerUnavailableError, True, True)),
        (502, (errors.ScorerUnavailableError, True, True)),
        (503, (errors.ScorerUnavailableError, True, True)),
        (504, (errors.ScorerTimeoutError, True, True)),
        (599, (errors.ScorerUnavailableError, False, True)),
    ],
)
def test_unknown_code_is_judged_by_its_status(
    status: int, expected: tuple[type[errors.ScorerError], bool, bool]
) -> None:
    assert meaning(invocation_error(reply("SomethingNew", status)).fault) == expected


def every_subclass(cls: type[BaseException]) -> list[type[BaseException]]:
    return [cls, *(deeper for child in cls.__subclasses__() for deeper in every_subclass(child))]


def bare(cls: type[Exception]) -> Exception:
    """Return an instance without calling its constructor, each of which asks for something else."""
    error: Exception = cls.__new__(cls)
    error.args = (SECRET,)
    return error


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for root in (BotoCoreError, urllib3.exceptions.HTTPError)
        for cls in every_subclass(root)
        if cls.__module__.startswith(("botocore", "urllib3"))
    ],
    ids=lambda cls: f"{cls.__module__}.{cls.__name__}",
)
@pytest.mark.parametrize("while_reading", [False, True])
def test_every_error_of_the_libraries_becomes_a_published_one(cls: type[Exception], while_reading: bool) -> None:
    error = bare(cls)

    meant = invocation_error(error, while_reading=while_reading).as_scorer_error()

    assert isinstance(error, sagemaker_errors.FOREIGN_ERRORS)
    assert type(meant) in PROBLEMS
    assert SECRET not in str(meant)


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (botocore.exceptions.ReadTimeoutError, (errors.ScorerTimeoutError, True, True)),
        (botocore.exceptions.ConnectTimeoutError, (errors.ScorerUnavailableError, True, True)),
        (botocore.exceptions.EndpointConnectionError, (errors.ScorerUnavailableError, True, True)),
        (botocore.exceptions.ConnectionClosedError, (errors.ScorerUnavailableError, True, True)),
        (botocore.exceptions.SSLError, (errors.ScorerUnavailableError, False, True)),
        (botocore.exceptions.NoCredentialsError, (errors.ScorerMisconfiguredError, False, False)),
        (botocore.exceptions.ParamValidationError, (errors.ScorerMisconfiguredError, False, False)),
        (botocore.exceptions.ResponseStreamingError, (errors.ScorerResponseError, False, False)),
        (botocore.exceptions.IncompleteReadError, (errors.ScorerResponseError, False, False)),
        (urllib3.exceptions.ProtocolError, (errors.ScorerResponseError, False, False)),
        (urllib3.exceptions.ReadTimeoutError, (errors.ScorerTimeoutError, False, False)),
    ],
)
def test_errors_of_transport_and_body_mean_what_they_should(
    cls: type[Exception], expected: tuple[type[errors.ScorerError], bool, bool]
) -> None:
    assert meaning(invocation_error(bare(cls)).fault) == expected


def test_silence_in_the_middle_of_a_reply_is_not_tried_again() -> None:
    error = bare(botocore.exceptions.ReadTimeoutError)

    assert meaning(invocation_error(error, while_reading=True).fault) == (errors.ScorerTimeoutError, False, False)


def test_neither_the_published_text_nor_the_reason_quotes_the_service() -> None:
    error = invocation_error(reply("ModelError", 424))

    assert SECRET not in str(error.as_scorer_error()) + error.reason
