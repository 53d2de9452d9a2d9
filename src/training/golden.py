"""Golden cases: simulated transactions with the answers that every later load must reproduce."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.calibration import Scores
from core.decision import Decider, Thresholds
from training.model import FittedModel
from training.simulate import Simulator

N_CASES = 64
_POOL = 4000


def golden_cases(model: FittedModel, thresholds: Thresholds, simulator: Simulator, seed: int) -> dict[str, Any]:
    """Return the content of `golden.json`: cases from the lowest to the highest fraud score.

    They are evenly spaced in log-odds, and the nearest ones on both sides of each threshold are among them.
    """
    pool = simulator.draw(_POOL, _POOL, seed).values
    fraud_scores = model.fraud_scores(pool)
    chosen = _choose(fraud_scores, thresholds)
    names = model.schema.field_names
    return {
        "transactions": [dict(zip(names, row, strict=True)) for row in pool[chosen].tolist()],
        "features": model.transform(pool[chosen]).astype(np.float64).tolist(),
        "raw_scores": model.raw_scores(pool[chosen]).tolist(),
        "fraud_scores": fraud_scores[chosen].tolist(),
        "decisions": Decider(thresholds, names).decide(fraud_scores[chosen].tolist(), pool[chosen]),
    }


def _choose(fraud_scores: Scores, thresholds: Thresholds) -> list[int]:
    log_odds = np.log(fraud_scores / (1.0 - fraud_scores))
    chosen: list[int] = []
    for threshold in (thresholds.review, thresholds.decline):
        for side in (fraud_scores < threshold, fraud_scores >= threshold):
            if side.any():
                chosen.append(_nearest(np.where(side, np.abs(fraud_scores - threshold), np.inf), chosen))
    for target in np.linspace(log_odds.min(), log_odds.max(), N_CASES - len(chosen)):
        chosen.append(_nearest(np.abs(log_odds - target), chosen))
    return sorted(chosen, key=lambda index: float(fraud_scores[index]))


def _nearest(distance: Scores, taken: list[int]) -> int:
    distance = distance.copy()
    distance[taken] = np.inf
    return int(np.argmin(distance))
