"""The composition root: settings -> bundle -> scorer -> service -> app. Nothing else chooses a collaborator."""

from __future__ import annotations

from fastapi import FastAPI

from core.api.app import create_app
from core.api.auth import ApiKeys
from core.bundle import load_bundle
from core.scoring.embedded import EmbeddedScorer
from core.secrets_manager import SecretsManagerKeys
from core.service import ScoringService
from core.settings import Settings


def build_service(settings: Settings) -> ScoringService:
    """Load what the settings name.

    Raises
    ------
    BundleError
        The bundle is damaged, incomplete, or does not score its golden cases as recorded.
    """
    bundle = load_bundle(settings.model_bundle, expected_digest=settings.model_bundle_sha256)
    return ScoringService(bundle, EmbeddedScorer(bundle))


def build_keys(settings: Settings) -> ApiKeys:
    """Return the active API keys, and keep up with their source where they have one.

    Raises
    ------
    KeySourceError
        The secret cannot be read.
    """
    if settings.api_keys_secret_arn is None:
        return ApiKeys(settings.api_keys())
    source = SecretsManagerKeys(settings.api_keys_secret_arn)
    return ApiKeys(source.fetch(), source)


def build_app(settings: Settings) -> FastAPI:
    """Return the app that serves what the settings name.

    Raises
    ------
    StartupError
        The service cannot be built.
    """
    return create_app(build_service(settings), settings, build_keys(settings))
