"""Posted field values -> the float32 matrix the model sees: the only place that orders and scales features."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

FieldValues = npt.NDArray[np.float64]
"""Values as posted, shape (n_transactions, n_fields), in the order of the bundle's fields."""
FeatureMatrix = npt.NDArray[np.float32]
"""Values as the model sees them, shape (n_transactions, n_features), in the order of the bundle's features."""
FLOAT32_MAX = 3.4028234663852886e38

_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class FieldSpec(BaseModel):
    """One value that a caller must send, or may leave out, and the range in which it makes sense."""

    model_config = _STRICT

    name: Name
    minimum: float
    maximum: float
    description: Annotated[str, Field(max_length=200)] = ""
    label: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """What people call it, if the one who trained said so; comes back with reasons."""
    if_missing: float | None = None
    """What stands for a value that is absent or null; None: the field is required."""


Range = tuple[float, float]
_DAY_S = 86_400.0


class Standardise(BaseModel):
    """(x - mean) / scale, with the numbers that training learned from its training rows."""

    model_config = _STRICT

    kind: Literal["standardise"]
    mean: float
    scale: Annotated[float, Field(gt=0)]

    def range_of(self, low: float, high: float) -> Range:
        with np.errstate(over="ignore"):
            scaled = (np.array([low, high]) - self.mean) / self.scale
        return float(scaled[0]), float(scaled[1])


class Clip(BaseModel):
    """The nearest value between minimum and maximum: those of the training rows."""

    model_config = _STRICT

    kind: Literal["clip"]
    minimum: float
    maximum: float

    @model_validator(mode="after")
    def _is_not_inverted(self) -> Clip:
        if self.minimum > self.maximum:
            raise ValueError("the minimum is above the maximum")
        return self

    def range_of(self, low: float, high: float) -> Range:
        return min(max(low, self.minimum), self.maximum), min(max(high, self.minimum), self.maximum)


class Log1p(BaseModel):
    """sign(x) log(1 + abs(x)): monotone, and defined for every number, below -1 too."""

    model_config = _STRICT

    kind: Literal["log1p"]

    def apply(self, value: float) -> float:
        return math.copysign(math.log1p(abs(value)), value)

    def range_of(self, low: float, high: float) -> Range:
        return self.apply(low), self.apply(high)


class TimeOfDay(BaseModel):
    """Sine or cosine of the time of day, so that midnight has no two sides.

    The value counts `unit_s` seconds each from some midnight; `offset_s` seconds are added, for another time zone.
    """

    model_config = _STRICT

    kind: Literal["time_of_day"]
    function: Literal["sine", "cosine"]
    unit_s: Annotated[float, Field(gt=0, le=_DAY_S)] = 1.0
    offset_s: Annotated[float, Field(ge=-_DAY_S, le=_DAY_S)] = 0.0

    def apply(self, value: float) -> float:
        angle = 2.0 * math.pi * (((value * self.unit_s + self.offset_s) % _DAY_S) / _DAY_S)
        return math.sin(angle) if self.function == "sine" else math.cos(angle)

    def range_of(self, low: float, high: float) -> Range:
        is_finite = math.isfinite(low * self.unit_s) and math.isfinite(high * self.unit_s)
        return (-1.0, 1.0) if is_finite else (-math.inf, math.inf)


AnyStep = Standardise | Clip | Log1p | TimeOfDay
Step = Annotated[AnyStep, Field(discriminator="kind")]


class FeatureSpec(BaseModel):
    """One input of the model: the field it comes from and the steps in between (none: as posted)."""

    model_config = _STRICT

    name: Name
    field: Name
    steps: Annotated[tuple[Step, ...], Field(max_length=4, strict=False)] = ()


_Stage = Callable[[FieldValues], FieldValues]


class Preprocessor:
    """The compiled steps of a bundle: step k of all features is one operation on the whole matrix."""

    def __init__(self, fields: Sequence[FieldSpec], features: Sequence[FeatureSpec]) -> None:
        position = {field.name: index for index, field in enumerate(fields)}
        self.n_features = len(features)
        self._columns = np.array([position[feature.field] for feature in features], dtype=np.intp)
        self._ends = [(fields[column].minimum, fields[column].maximum) for column in self._columns]
        self._features = tuple(features)
        n_steps = max((len(feature.steps) for feature in features), default=0)
        self._stages = [
            stage
            for k in range(n_steps)
            for stage in _stages([feature.steps[k] if k < len(feature.steps) else None for feature in features])
        ]

    def transform(self, values: FieldValues) -> FeatureMatrix:
        """Return the C-ordered feature matrix of the given field values.

        Each element depends on its own row only, through operations that are correctly rounded or done one
        number at a time, so that batching never changes a bit of the result.
        """
        columns = values.take(self._columns, axis=1)
        for stage in self._stages:
            columns = stage(columns)
        return columns.astype(np.float32)

    def ranges(self) -> FieldValues:
        """Return the least and the greatest value each feature can take within its field's range, shape (2, n)."""
        ends = []
        for (low, high), feature in zip(self._ends, self._features, strict=True):
            for step in feature.steps:
                low, high = step.range_of(low, high)
            ends.append((low, high))
        ranges: FieldValues = np.array(ends).T
        return ranges


def _stages(steps: Sequence[AnyStep | None]) -> list[_Stage]:
    """Return the operations of one step of each feature; none of them changes a bit of the others' values."""
    stages: list[_Stage] = []
    if any(isinstance(step, Standardise) for step in steps):
        scales = [(s.mean, s.scale) if isinstance(s, Standardise) else (0.0, 1.0) for s in steps]
        stages.append(_scaling(*np.array(scales).T))
    if any(isinstance(step, Clip) for step in steps):
        ends = [(s.minimum, s.maximum) if isinstance(s, Clip) else (-np.inf, np.inf) for s in steps]
        stages.append(_clipping(*np.array(ends).T))
    curves = [(column, step.apply) for column, step in enumerate(steps) if isinstance(step, Log1p | TimeOfDay)]
    if curves:
        stages.append(_one_by_one(curves))
    return stages


def _scaling(mean: FieldValues, scale: FieldValues) -> _Stage:
    def apply(columns: FieldValues) -> FieldValues:
        scaled: FieldValues = (columns - mean) / scale
        return scaled

    return apply


def _clipping(minimum: FieldValues, maximum: FieldValues) -> _Stage:
    def apply(columns: FieldValues) -> FieldValues:
        clipped: FieldValues = np.minimum(np.maximum(columns, minimum), maximum)
        return clipped

    return apply


def _one_by_one(curves: Sequence[tuple[int, Callable[[float], float]]]) -> _Stage:
    """Leave vectorised logarithms and sines alone: their last bit may depend on a value's place in the array."""

    def apply(columns: FieldValues) -> FieldValues:
        for column, curve in curves:
            columns[:, column] = [curve(value) for value in columns[:, column].tolist()]
        return columns

    return apply
