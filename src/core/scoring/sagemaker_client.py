"""One call to the endpoint: a matrix in, scores out, or an `InvocationError`, by a deadline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.response import StreamingBody

from core.calibration import Scores
from core.errors import ScorerResponseError, SettingsError
from core.preprocessing import FeatureMatrix
from core.scoring.sagemaker_connection import TimeLimits, limit_connections, within
from core.scoring.sagemaker_errors import FOREIGN_ERRORS, invocation_error
from core.scoring.sagemaker_wire import MEDIA_TYPE, max_reply_bytes, read_reply, write_payload

_READ_TIMEOUT_S = 0.9
"""Only where the limits of a call do not reach; see `sagemaker_connection`."""


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """Which endpoint to call, and what of it."""

    name: str
    region: str | None = None
    target_variant: str | None = None
    inference_component: str | None = None
    connect_timeout_s: float = 0.3


@dataclass(frozen=True, slots=True)
class Answer:
    """Scores of shape (n_rows,), and the production variant that gave them where the endpoint says so."""

    scores: Scores
    variant: str | None = None


class Endpoint:
    """A SageMaker endpoint; may be called from several threads."""

    def __init__(
        self, options: EndpointOptions, *, max_calls: int, session: boto3.session.Session | None = None
    ) -> None:
        """Make the client, with room for `max_calls` connections; nothing is sent.

        One `session` may serve for the making of several endpoints.

        Raises
        ------
        SettingsError
            No client can be made with these settings, for want of a region for instance.
        """
        config = Config(
            # The retries are ours, so that there is one layer of them. Never leave this to a default: it changes.
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=options.connect_timeout_s,
            read_timeout=_READ_TIMEOUT_S,
            max_pool_connections=max_calls,
            tcp_keepalive=True,
            parameter_validation=False,
            # botocore composes its own anew for each call, which takes a tenth of the call's CPU time.
            user_agent="fraud-scoring",
        )
        try:
            session = session or new_session()
            self._client: Any = session.client("sagemaker-runtime", region_name=options.region, config=config)
        except BotoCoreError as error:
            reason = type(error).__name__
            raise SettingsError(f"no client for SageMaker ({reason}): check AWS_REGION and the AWS profile") from error
        limit_connections(self._client)
        self.region: str = self._client.meta.region_name
        self._arguments = {"EndpointName": options.name, "ContentType": MEDIA_TYPE, "Accept": MEDIA_TYPE}
        if options.target_variant:
            self._arguments["TargetVariant"] = options.target_variant
        if options.inference_component:
            self._arguments["InferenceComponentName"] = options.inference_component

    def invoke(self, features: FeatureMatrix, limits: TimeLimits) -> Answer:
        """Score the rows in one call, which blocks until `limits.deadline` at most.

        Raises
        ------
        InvocationError
            There is no answer.
        ScorerResponseError
            The answer is not one score in [0, 1] for each row.
        """
        payload, n_rows = write_payload(features), len(features)
        with within(limits):
            try:
                reply = self._client.invoke_endpoint(**self._arguments, Body=payload)
            except FOREIGN_ERRORS as error:
                raise invocation_error(error) from error
            try:
                body = _read_whole(reply["Body"], max_reply_bytes(n_rows))
            except FOREIGN_ERRORS as error:
                raise invocation_error(error, while_reading=True) from error
        return Answer(read_reply(body, n_rows), reply.get("InvokedProductionVariant"))

    def close(self) -> None:
        """Close the idle connections, and each other one after its call."""
        self._client.close()


def new_session() -> boto3.session.Session:
    """Return what clients are made with, in one thread at a time; not the default one, which others may use."""
    return boto3.session.Session()


def check_features(features: FeatureMatrix, n_features: int) -> None:
    """Raise ValueError for what the container would score without a word, and wrongly."""
    if features.ndim != 2 or features.shape[1] != n_features:
        raise ValueError(f"features of shape {features.shape} for a model of {n_features} features")
    if not np.isfinite(features).all():
        raise ValueError("a feature is not finite")


def _read_whole(body: StreamingBody, limit: int) -> bytes:
    """Read to the end, which gives the connection back to the pool; a reply that is too long costs its connection."""
    content: bytes = body.read(limit + 1)
    if len(content) > limit:
        body.close()
        raise ScorerResponseError("The scorer's answer is too long.")
    # Nothing is left, but only this call finds out that something is missing.
    return content + bytes(body.read())
