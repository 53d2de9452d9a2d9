"""Where a model is good and where it is not: by hour, by amount, and by the field it leans on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from core.bundle import BOOSTER, Bundle
from core.manifest import Metric
from training.arrays import Flags, Floats, Rows
from training.evaluate import (
    N_RESAMPLES,
    RESAMPLES_AT_ONCE,
    Scored,
    average_precision,
    curve_of,
    interval,
    resample_weights,
)
from training.known_rows import fraud_scores
from training.policies import Stream
from training.rounding import significant

MIN_FRAUDS = 5
"""With fewer, an average precision says nothing."""
_HOURS = (0, 4, 8, 12, 16, 20, 24)
_N_BANDS = 4
_REPEATS = 5
_MOST_LEGITIMATE = 20_000
"""For permutations, which score all rows again for each field."""


@dataclass(frozen=True)
class Group:
    """A part of the rows."""

    label: str
    n_frauds: int
    n_legitimate: int
    prevalence: float
    """What average precision would be by chance; each group has its own."""
    average_precision: Metric | None
    """None: too few frauds, or nothing else."""


@dataclass(frozen=True)
class Importance:
    """How much a field matters to the model."""

    field: str
    loss: float
    """Mean loss of average precision when the values of the field are shuffled among the rows."""
    spread: float
    """Standard deviation of that loss over the repeats."""
    gain_share: float
    """Share of the gain of all splits in the trees."""


def by_hour(stream: Stream, seed: int, n_resamples: int = N_RESAMPLES) -> list[Group]:
    """Return groups of four hours, days cut off; none without a time column."""
    column, meaning = stream.schema.time_column, stream.schema.time
    if column is None:
        return []
    hours = ((stream.values[:, column] * meaning.unit_s + meaning.offset_s) / 3600.0) % 24.0
    return [
        _group(f"{start} to {end} h", stream.scored, (hours >= start) & (hours < end), seed, n_resamples)
        for start, end in zip(_HOURS, _HOURS[1:], strict=False)
    ]


def by_amount(stream: Stream, seed: int, n_resamples: int = N_RESAMPLES) -> list[Group]:
    """Return bands of the amount with about as many frauds each."""
    amounts = stream.amounts
    inner = np.quantile(amounts[stream.scored.is_fraud], np.arange(1, _N_BANDS) / _N_BANDS)
    edges = np.unique(significant(inner, 2)).tolist()
    groups = []
    for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
        label = f"up to {high:g}" if low == -np.inf else f"over {low:g}" if high == np.inf else f"{low:g} to {high:g}"
        groups.append(_group(label, stream.scored, (amounts > low) & (amounts <= high), seed, n_resamples))
    return groups


def _group(label: str, scored: Scored, members: Flags, seed: int, n_resamples: int) -> Group:
    part = Scored(scored.scores[members], scored.is_fraud[members], scored.weights[members], scored.rows[members])
    weight = float(part.weights.sum())
    prevalence = float(part.weights @ part.is_fraud / weight) if weight else 0.0
    figure = None
    if part.n_frauds >= MIN_FRAUDS and part.n_legitimate:
        rng = np.random.default_rng(seed)
        sizes = [min(RESAMPLES_AT_ONCE, n_resamples - start) for start in range(0, n_resamples, RESAMPLES_AT_ONCE)]
        resampled = [average_precision(curve_of(part, resample_weights(part, size, rng))) for size in sizes]
        figure = interval(float(average_precision(curve_of(part))), np.concatenate(resampled))
    return Group(label, part.n_frauds, part.n_legitimate, prevalence, figure)


def importances(bundle: Bundle, stream: Stream, seed: int, on_progress: Callable[[float], None]) -> list[Importance]:
    """Return every field that the model sees, the most important first.

    Shuffling a field (Breiman, "Random forests", Machine Learning 45, 2001) shuffles all features made of it. What
    two fields say alike is not missed when one of them is shuffled.
    """
    rng = np.random.default_rng(seed)
    rows, weights = _sample(stream.scored, rng)
    values, is_fraud = stream.values[rows], stream.scored.is_fraud[rows]
    fields = sorted({feature.field for feature in bundle.manifest.features}, key=bundle.field_names.index)
    gains = gain_shares(bundle)

    def figure(shuffled: Floats) -> float:
        return float(average_precision(curve_of(Scored.of(fraud_scores(bundle, shuffled), is_fraud, weights))))

    whole = figure(values)
    found = []
    for number, name in enumerate(fields, start=1):
        column = bundle.field_names.index(name)
        losses = []
        for _ in range(_REPEATS):
            shuffled = values.copy()
            shuffled[:, column] = rng.permutation(shuffled[:, column])
            losses.append(whole - figure(shuffled))
        found.append(Importance(name, float(np.mean(losses)), float(np.std(losses)), gains.get(name, 0.0)))
        on_progress(number / len(fields))
    return sorted(found, key=lambda each: -each.loss)


def gain_shares(bundle: Bundle) -> dict[str, float]:
    """Return field -> its share of the gain of all splits in the booster of the bundle."""
    booster = xgb.Booster()
    booster.load_model(bytearray(bundle.files[BOOSTER]))
    by_number = {f"f{number}": each.field for number, each in enumerate(bundle.manifest.features)}
    shares: dict[str, float] = {}
    gains = booster.get_score(importance_type="total_gain")
    total = sum(float(np.sum(gain)) for gain in gains.values())
    for feature, gain in gains.items():
        shares[by_number[feature]] = shares.get(by_number[feature], 0.0) + float(np.sum(gain)) / total
    return shares


def _sample(scored: Scored, rng: np.random.Generator) -> tuple[Rows, Floats]:
    """Return all frauds and at most so many legitimate rows, with weights that make up for those left out."""
    legitimate = np.flatnonzero(~scored.is_fraud)
    if len(legitimate) <= _MOST_LEGITIMATE:
        return np.arange(len(scored.scores)), scored.weights
    chosen = rng.choice(legitimate, _MOST_LEGITIMATE, replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(scored.is_fraud), chosen]))
    factor = scored.weights[legitimate].sum() / scored.weights[chosen].sum()
    return rows, np.where(scored.is_fraud[rows], scored.weights[rows], scored.weights[rows] * factor)
