"""Sample requests for the API, all simulated: for the README, the tests and newcomers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from core.bundle import Bundle
from core.calibration import Scores
from core.decision import Decision
from core.preprocessing import FieldValues
from training.data import Table
from training.documents import batch_json, csv_text, plain_numbers
from training.errors import TrainingError
from training.known_rows import fraud_scores
from training.simulate import Simulator

_POOL = 200
_CSV_FRAUDS = 3
_CSV_LEGITIMATE = 17


def sample_events(bundle: Bundle, simulator: Simulator, seed: int) -> dict[str, str]:
    """Return file name -> text of every sample request.

    Raises
    ------
    TrainingError
        The model of `bundle` approves no simulated legitimate row or declines no simulated fraud.
    """
    pool = simulator.draw(_POOL, _POOL, seed)
    scores = fraud_scores(bundle, pool.values)
    legitimate = _first(pool, scores, bundle, "approve", is_fraud=False)
    fraud = _first(pool, scores, bundle, "decline", is_fraud=True)
    others = simulator.draw(_CSV_LEGITIMATE, _CSV_FRAUDS, seed + 1).values
    batch = np.concatenate([legitimate[np.newaxis], others[:2], fraud[np.newaxis], others[-1:]])
    shuffled = np.random.default_rng(seed).permutation(others)
    names = bundle.field_names
    return {
        "predict_legitimate.json": _pretty(_as_object("legitimate-1", names, legitimate)),
        "predict_fraud.json": _pretty(_as_object("fraud-1", names, fraud)),
        "predict_vector.json": _pretty(_as_vector("vector-1", legitimate)),
        "batch.json": batch_json(
            _as_vector(f"batch-{number}", row) if number % 2 == 0 else _as_object(f"batch-{number}", names, row)
            for number, row in enumerate(batch, start=1)
        ),
        "batch.csv": csv_text(
            ["transaction_id", *names],
            ([f"csv-{number}", *plain_numbers(row)] for number, row in enumerate(shuffled.tolist(), start=1)),
        ),
    }


def _first(pool: Table, scores: Scores, bundle: Bundle, decision: Decision, *, is_fraud: bool) -> FieldValues:
    decisions = bundle.decider.decide(scores.tolist(), pool.values)
    for row in np.flatnonzero(pool.is_fraud == is_fraud):
        if decisions[row] == decision:
            row_values: FieldValues = pool.values[row]
            return row_values
    raise TrainingError(f"{bundle.version}: no simulated transaction shows the decision {decision!r}")


def _as_object(transaction_id: str, names: tuple[str, ...], row: FieldValues) -> dict[str, Any]:
    return {"transaction_id": transaction_id, **dict(zip(names, plain_numbers(row.tolist()), strict=True))}


def _as_vector(transaction_id: str, row: FieldValues) -> dict[str, Any]:
    return {"transaction_id": transaction_id, "features": plain_numbers(row.tolist())}


def _pretty(body: dict[str, Any]) -> str:
    """Indent members, but keep a vector on one line."""
    members = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in body.items())
    return f"{{\n{members}\n}}\n"
