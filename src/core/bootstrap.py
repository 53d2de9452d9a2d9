"""The composition root: settings -> bundle -> scorer -> service -> app. Nothing else chooses a collaborator."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.api.auth import ApiKeys, KeySource
from core.bundle import Bundle
from core.bundle_location import load_bundle_from
from core.keys_file import KeysFile
from core.observability import EventLog
from core.scoring.base import Scorer
from core.secrets_manager import SecretsManagerKeys
from core.service import ScoringService
from core.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from core.api.job_api import JobApi


def build_service(settings: Settings) -> ScoringService:
    """Load what the settings name.

    Raises
    ------
    BundleError
        The bundle is damaged, incomplete, or does not score its golden cases as recorded.
    SettingsError
        The endpoint cannot be called as it is configured.
    """
    bundle = load_bundle_from(settings.model_bundle, expected_digest=settings.model_bundle_sha256)
    if settings.scorer == "embedded":
        return ScoringService(bundle, _embedded(bundle))
    fallback = _embedded(bundle) if settings.scorer_fallback == "embedded" else None
    return ScoringService(bundle, _sagemaker(bundle, settings), fallback)


# Each scorer is imported where it is chosen: one needs ONNX Runtime, the other boto3, and neither that of the other.


def _embedded(bundle: Bundle) -> Scorer:
    from core.scoring.embedded import EmbeddedScorer

    return EmbeddedScorer(bundle)


def _sagemaker(bundle: Bundle, settings: Settings) -> Scorer:
    from core.scoring.sagemaker import Pace, SageMakerScorer, endpoint_options

    pace = Pace(
        deadline_s=settings.sagemaker_deadline_s,
        batch_deadline_s=settings.sagemaker_batch_deadline_s,
        calls=settings.sagemaker_concurrency,
        rows_per_call=settings.sagemaker_rows_per_call,
        coalesce=settings.sagemaker_coalesce,
    )
    return SageMakerScorer(bundle, endpoint_options(settings), pace, EventLog(settings.log_level))


def build_keys(settings: Settings) -> ApiKeys:
    """Return the active API keys, and keep up with their source where they have one.

    Raises
    ------
    KeySourceError
        The file or the secret cannot be read.
    """
    source: KeySource
    if settings.api_keys_file is not None:
        source = KeysFile(settings.api_keys_file)
    elif settings.api_keys_secret_arn is not None:
        source = SecretsManagerKeys(settings.api_keys_secret_arn)
    else:
        return ApiKeys(settings.api_keys())
    return ApiKeys(source.fetch(), source)


def build_jobs(settings: Settings) -> JobApi | None:
    """Return what jobs add to the API, and have those run that are left; None where jobs are not served.

    Raises
    ------
    SettingsError
        The folder of jobs cannot be written, or the resources in AWS are not named.
    """
    if settings.jobs_engine == "none":
        return None
    from core.api.job_api import JobApi

    if settings.jobs_engine == "aws":
        from core.jobs.aws.opening import open_engine as open_engine_in_aws

        return JobApi(open_engine_in_aws(settings))
    from core.jobs.local.opening import open_engine

    return JobApi(open_engine(settings, build_service))


def build_app(settings: Settings, *, reloadable: bool = False) -> FastAPI:
    """Return the app that serves what the settings name; `reloadable`: its model can be exchanged while it runs.

    Raises
    ------
    StartupError
        The service cannot be built.
    """
    # Here and not above: processes that only score build a service, and need no FastAPI.
    from core.api.app import create_app

    load = partial(build_service, settings) if reloadable else None
    service = build_service(settings)
    return create_app(service, settings, build_keys(settings), load, build_jobs(settings))
