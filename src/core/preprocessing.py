"""Posted field values -> the float32 matrix the model sees: the only place that orders and scales features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

FieldValues = npt.NDArray[np.float64]
"""Values as posted, shape (n_transactions, n_fields), in the order of the bundle's fields."""
FeatureMatrix = npt.NDArray[np.float32]
"""Values as the model sees them, shape (n_transactions, n_features), in the order of the bundle's features."""

_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class FieldSpec(BaseModel):
    """One value that a caller must send, and the range in which it makes sense."""

    model_config = _STRICT

    name: Name
    minimum: float
    maximum: float
    description: Annotated[str, Field(max_length=200)] = ""


class Standardise(BaseModel):
    """(x - mean) / scale, with the numbers that training learned from its training rows."""

    model_config = _STRICT

    kind: Literal["standardise"]
    mean: float
    scale: Annotated[float, Field(gt=0)]


class FeatureSpec(BaseModel):
    """One input of the model: the field it comes from and the steps in between (none: as posted)."""

    model_config = _STRICT

    name: Name
    field: Name
    steps: Annotated[tuple[Standardise, ...], Field(max_length=4, strict=False)] = ()


class Preprocessor:
    """The compiled steps of a bundle: step k of all features is one operation on the whole matrix."""

    def __init__(self, fields: Sequence[FieldSpec], features: Sequence[FeatureSpec]) -> None:
        position = {field.name: index for index, field in enumerate(fields)}
        self.n_features = len(features)
        self._columns = np.array([position[feature.field] for feature in features], dtype=np.intp)
        # A feature with fewer steps than others gets (x - 0) / 1, which changes no bit of x.
        self._stages = [
            (
                np.array([f.steps[k].mean if k < len(f.steps) else 0.0 for f in features]),
                np.array([f.steps[k].scale if k < len(f.steps) else 1.0 for f in features]),
            )
            for k in range(max((len(feature.steps) for feature in features), default=0))
        ]

    def transform(self, values: FieldValues) -> FeatureMatrix:
        """Return the C-ordered feature matrix of the given field values.

        Each element depends on its own row only, through correctly rounded operations, so that batching
        never changes a bit of the result.
        """
        columns = values.take(self._columns, axis=1)
        for mean, scale in self._stages:
            columns = (columns - mean) / scale
        return columns.astype(np.float32)
