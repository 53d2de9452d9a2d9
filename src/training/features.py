"""Learns the numbers of the preprocessing steps, from training rows only."""

from __future__ import annotations

import numpy as np

from core.preprocessing import Clip, FeatureSpec, FieldValues, Log1p, Standardise, Step, TimeOfDay
from training.arrays import Floats
from training.schema import CLOCK, TableSchema


def fit_features(values: FieldValues, schema: TableSchema) -> tuple[FeatureSpec, ...]:
    """Learn the steps of each feature that the schema's plan asks for, for values of shape (n_rows, n_fields)."""
    specs = [
        FeatureSpec(name=name, field=name, steps=_fit_steps(values[:, column], name, schema))
        for name, column in zip(schema.feature_names, schema.feature_columns, strict=True)
    ]
    time, meaning = schema.time_field, schema.time
    if time is not None and schema.time_column is not None:
        if schema.plan.time_of_day:
            specs += [
                FeatureSpec(
                    name=f"{time}_{function}",
                    field=time,
                    steps=(
                        TimeOfDay(
                            kind="time_of_day", function=function, unit_s=meaning.unit_s, offset_s=meaning.offset_s
                        ),
                    ),
                )
                for function in CLOCK
            ]
        if schema.plan.raw_time:
            specs.append(FeatureSpec(name=time, field=time, steps=(_standardise(values[:, schema.time_column]),)))
    return tuple(specs)


def _fit_steps(column: Floats, name: str, schema: TableSchema) -> tuple[Step, ...]:
    """Return the steps in the order in which they are taken; each is learned from what the one before gives."""
    steps: list[Step] = []
    if schema.plan.clip:
        steps.append(Clip(kind="clip", minimum=float(np.min(column)), maximum=float(np.max(column))))
    if schema.plan.log_amounts and name in schema.money_fields:
        log = Log1p(kind="log1p")
        steps.append(log)
        column = np.array([log.apply(value) for value in column.tolist()])
    return (*steps, _standardise(column))


def _standardise(column: Floats) -> Standardise:
    scale = float(column.std())
    return Standardise(kind="standardise", mean=float(column.mean()), scale=scale if scale > 0.0 else 1.0)
