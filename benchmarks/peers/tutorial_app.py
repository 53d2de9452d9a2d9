"""What tutorials write: FastAPI, a Pydantic model with a field each, and `Booster.inplace_predict` in the handler.

Served by plain uvicorn on one worker. It checks no key, limits nothing and logs nothing.
"""

from __future__ import annotations

import os

import numpy as np
import xgboost as xgb
from fastapi import FastAPI
from pydantic import BaseModel, create_model

FEATURES = os.environ["FEATURES"].split(",")
Transaction: type[BaseModel] = create_model("Transaction", **dict.fromkeys(FEATURES, (float, ...)))

booster = xgb.Booster(model_file=os.environ["MODEL_FILE"])
booster.set_param({"nthread": 1})
app = FastAPI()


@app.post("/predict")
async def predict(transaction: Transaction) -> dict[str, float]:  # type: ignore[valid-type]
    row = np.array([[getattr(transaction, name) for name in FEATURES]], dtype=np.float32)
    return {"score": float(booster.inplace_predict(row)[0])}


@app.post("/predict/batch")
async def predict_batch(transactions: list[Transaction]) -> dict[str, list[float]]:  # type: ignore[valid-type]
    rows = np.array([[getattr(each, name) for name in FEATURES] for each in transactions], dtype=np.float32)
    return {"scores": booster.inplace_predict(rows).tolist()}
