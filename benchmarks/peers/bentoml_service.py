"""The model as a BentoML service: one worker, a row or several as an array, no adaptive batching.

Adaptive batching is left off: at one worker with embedded trees it waits for company and loses.
"""

from __future__ import annotations

import os

import bentoml
import numpy as np
import xgboost as xgb


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class FraudModel:
    """Holds the booster of the worker."""

    def __init__(self) -> None:
        self.booster = xgb.Booster(model_file=os.environ["MODEL_FILE"])
        self.booster.set_param({"nthread": 1})

    @bentoml.api
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return a score for each of the rows."""
        return self.booster.inplace_predict(rows.astype(np.float32))
