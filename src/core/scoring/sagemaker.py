"""Scoring on a SageMaker endpoint that hosts the bundle's booster."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from core.bundle import Bundle, check_golden_scores
from core.calibration import Scores
from core.errors import BundleError, ScorerMisconfiguredError, SettingsError
from core.observability import EventLog, annotate
from core.preprocessing import FeatureMatrix
from core.scoring.sagemaker_client import Answer, Endpoint, EndpointOptions, check_features
from core.scoring.sagemaker_coalescing import Coalescer
from core.scoring.sagemaker_guard import GuardedEndpoint
from core.scoring.sagemaker_wire import max_rows_per_payload
from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Pace:
    """How long callers wait at most, and how much is sent at a time."""

    deadline_s: float = 2.0
    batch_deadline_s: float = 20.0
    calls: int = 4
    """Most calls under way for single transactions, and as many again for batches: neither holds up the other."""
    rows_per_call: int = 1000
    coalesce: bool = True


def endpoint_options(settings: Settings) -> EndpointOptions:
    """Return which endpoint the settings name."""
    if settings.sagemaker_endpoint is None:
        raise SettingsError("SAGEMAKER_ENDPOINT is not set")
    return EndpointOptions(
        settings.sagemaker_endpoint,
        region=settings.aws_region,
        target_variant=settings.sagemaker_target_variant,
        inference_component=settings.sagemaker_inference_component,
        connect_timeout_s=settings.sagemaker_connect_timeout_s,
    )


class SageMakerScorer:
    """Sends feature rows to an endpoint: single ones together with those of other callers, batches in chunks."""

    name = "sagemaker"
    keeps_loop_busy = False

    def __init__(self, bundle: Bundle, options: EndpointOptions, pace: Pace, log: EventLog) -> None:
        """Make the client and its threads; nothing is sent.

        Raises
        ------
        SettingsError
            The endpoint cannot be called with these settings, or not for this bundle.
        """
        self._bundle = bundle
        self._n_features = bundle.preprocessor.n_features
        if self._n_features == 1:
            raise SettingsError(f"{bundle.version} has a single feature: the container would guess a wrong separator")
        self._pace = pace
        self._chunk = min(pace.rows_per_call, max_rows_per_payload(self._n_features))
        self._endpoint = Endpoint(options, max_calls=2 * pace.calls)
        guarded = GuardedEndpoint(self._endpoint, log)
        self._singles = Coalescer(
            partial(guarded.score, whole_s=pace.deadline_s),
            max_calls=pace.calls,
            max_rows=self._chunk if pace.coalesce else 1,
        )
        self._batches = Coalescer(
            partial(guarded.score, whole_s=pace.batch_deadline_s),
            max_calls=pace.calls,
            max_rows=self._chunk,
        )
        self._is_verified = False

    async def score(self, features: FeatureMatrix) -> Scores:
        check_features(features, self._n_features)
        if len(features) == 1:
            answers = [await self._singles.submit(features, time.monotonic() + self._pace.deadline_s)]
        else:
            answers = await self._ask_in_chunks(features, time.monotonic() + self._pace.batch_deadline_s)
        variants = {answer.variant for answer in answers if answer.variant is not None}
        if variants:
            annotate(variant=",".join(sorted(variants)))
        return _scores_of(answers)

    async def check_ready(self) -> None:
        """Compare the endpoint's answers to the golden cases with the bundle's, until they agreed once.

        After that the endpoint's state is no matter of this process: were each probe to fail with it, a fault of
        one endpoint would take every process out of service.
        """
        if self._is_verified:
            return
        deadline = time.monotonic() + self._pace.deadline_s
        answers = await self._ask_in_chunks(self._bundle.golden_features(), deadline)
        try:
            check_golden_scores(self._bundle, _scores_of(answers))
        except BundleError as error:
            raise ScorerMisconfiguredError("The endpoint hosts another model than that of the bundle.") from error
        self._is_verified = True

    async def _ask_in_chunks(self, features: FeatureMatrix, deadline: float) -> list[Answer]:
        starts = range(0, len(features), self._chunk)
        futures = [self._batches.submit(features[start : start + self._chunk], deadline) for start in starts]
        try:
            return await asyncio.gather(*futures)
        finally:
            for future in futures:  # after a failure nobody wants the rest
                future.cancel()

    def close(self, *, wait: bool = True) -> None:
        self._singles.close(wait=wait)
        self._batches.close(wait=wait)
        self._endpoint.close()


def _scores_of(answers: list[Answer]) -> Scores:
    return np.concatenate([answer.scores for answer in answers])
