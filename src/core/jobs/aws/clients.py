"""Clients of the services that jobs in AWS need: each made once a process, with retries and timeouts of our own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from core.errors import JobsUnavailableError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# S3 is read in pieces of some megabytes: what has been silent for so long has stalled, and is asked for once more.
_READ_TIMEOUT_S = 20.0
_CONNECT_TIMEOUT_S = 3.0
_ATTEMPTS = 4
"""The first one and up to three retries, with the back-off of the SDK."""


def make_client(service: str, region: str | None = None) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """Return a client; safe to be shared by threads, unlike its making.

    The region is that of the environment where none is given.
    """
    # Imported here: this takes 0.3 s, and only who has jobs in AWS needs it.
    import boto3
    from botocore.config import Config

    config = Config(
        region_name=region,
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=16,
        # What a presigned URL is signed with; the older form ends in 2024's regions.
        signature_version="v4" if service != "s3" else "s3v4",
    )
    return boto3.client(service, config=config)


def aws_border(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let no error of the SDK out of `function`: what AWS refuses, or does not answer, may be tried again later."""

    @functools.wraps(function)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return function(*args, **kwargs)
        except ClientError as error:
            code = error.response["Error"].get("Code", "")
            raise JobsUnavailableError(f"AWS refuses the request ({code}).") from error
        except BotoCoreError as error:
            raise JobsUnavailableError(f"AWS does not answer ({type(error).__name__}).") from error

    return guarded
