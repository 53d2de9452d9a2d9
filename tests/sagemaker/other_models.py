"""Models that an endpoint should not host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xgboost as xgb

from core.bundle import BOOSTER, Bundle


def booster_of_noise(n_features: int, seed: int = 1) -> bytes:
    """Return a booster trained on noise, as a file."""
    generator = np.random.default_rng(seed)
    matrix = xgb.DMatrix(generator.normal(size=(500, n_features)), generator.integers(2, size=500))
    booster = xgb.train({"objective": "binary:logistic", "base_score": 0.5, "nthread": 1}, matrix, 5)
    return bytes(booster.save_raw("json"))


def bundle_with(bundle: Bundle, booster: bytes) -> Bundle:
    """Return the bundle as if it carried another booster; nothing is verified."""
    return replace(bundle, files={**bundle.files, BOOSTER: booster})
