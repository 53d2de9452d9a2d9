"""Distributions made up from a schema alone: to try the whole path before there are data."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from core.preprocessing import FieldSpec
from training.arrays import Floats
from training.schema import DAY_S, TableSchema
from training.simulate import QUANTILES, ClassDistribution, Simulator

_DAYS = 30
_FIRST_MOMENT_S = 20_000 * DAY_S
"""A day of October 2024, in Unix time."""
_LARGEST_SPAN = 1e6
"""A wider range says nothing of where values lie."""
_NORMAL = np.array([NormalDist().inv_cdf(each) for each in QUANTILES])


def invent_simulator(schema: TableSchema, seed: int) -> Simulator:
    """Return a simulator in which every other feature tells frauds from the rest a little, and none of them much."""
    rng = np.random.default_rng(seed)
    shifts = {name: rng.uniform(1.0, 2.0) if k % 2 == 0 else 0.0 for k, name in enumerate(schema.feature_names)}
    identity = np.eye(len(schema.fields))
    legitimate, fraud = (
        np.array([_quantiles(field, schema, share * shifts.get(field.name, 0.0)) for field in schema.fields])
        for share in (0.0, 1.0)
    )
    return Simulator(schema, ClassDistribution(legitimate, identity), ClassDistribution(fraud, identity))


def _quantiles(field: FieldSpec, schema: TableSchema, shift: float) -> Floats:
    """Return quantiles of times over a month, of lognormal amounts, or of a bell curve within the field's range."""
    if field.name == schema.time_field:
        start = _FIRST_MOMENT_S if schema.time.starts_at_midnight else 0
        times: Floats = (start + np.array(QUANTILES) * _DAYS * DAY_S) / schema.time.unit_s
        return times
    if field.name in schema.money_fields:
        amounts: Floats = np.exp(3.0 + 0.5 * shift + _NORMAL)
        return amounts
    span = field.maximum - field.minimum
    middle, spread = ((field.minimum + field.maximum) / 2, span / 8) if span < _LARGEST_SPAN else (0.0, 1.0)
    values: Floats = middle + spread * (_NORMAL + shift)
    return values
