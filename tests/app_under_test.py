"""The real app with settings that make tests cheap."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from core.api.app import create_app
from core.bundle import Bundle
from core.scoring.base import Scorer
from core.service import ScoringService
from core.settings import Settings
from tests.repository import BUNDLE

KEY = "alpha-5dc1f0aa"
OTHER_KEY = "beta-93b7e2c4"
PREDICT_KEY, BATCH_KEY, ADMIN_KEY = "gamma-0b52a7de", "delta-7f90c1d3", "omega-41c8e6a5"
MORE_KEYS = f"{OTHER_KEY},{PREDICT_KEY}:predict,{BATCH_KEY}:batch,{ADMIN_KEY}:admin"
MAX_BATCH_ITEMS = 50
MAX_EXPLAINED_ITEMS = 5
MAX_BODY_BYTES = 16_384
MAX_BATCH_BODY_BYTES = 131_072


def settings_of_tests(**changes: Any) -> Settings:
    """Return settings that owe nothing to the environment: two keys and small limits, unless changed."""
    values: dict[str, Any] = {
        "api_key": f"{KEY},{MORE_KEYS}",
        "model_bundle": BUNDLE,
        "auth_failures_per_minute": 0,
        "max_batch_items": MAX_BATCH_ITEMS,
        "max_explained_items": MAX_EXPLAINED_ITEMS,
        "max_body_bytes": MAX_BODY_BYTES,
        "max_batch_body_bytes": MAX_BATCH_BODY_BYTES,
        "log_level": "ERROR",
    }
    return Settings(_env_file=None, **{**values, **changes})


def app_with(bundle: Bundle, scorer: Scorer, **changes: Any) -> FastAPI:
    """Return the app of `bundle` and `scorer`."""
    return create_app(ScoringService(bundle, scorer), settings_of_tests(**changes))
