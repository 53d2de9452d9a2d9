"""`manifest.json`: what a model bundle says of itself, as strict models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.calibration import Calibration
from core.decision import DecisionRule, ExpectedLoss
from core.preprocessing import FeatureSpec, FieldSpec

RESERVED_FIELDS = frozenset({"transaction_id", "features"})
"""Members of the wire format that no field may be named after."""

_MAX_FILE_BYTES = 256 << 20
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0, le=1)]


class FileEntry(BaseModel):
    """Size and digest of one file of the bundle."""

    model_config = _STRICT

    bytes: Annotated[int, Field(ge=0, le=_MAX_FILE_BYTES)]
    sha256: Sha256


class Metric(BaseModel):
    """A figure with its bootstrap interval."""

    model_config = _STRICT

    value: float
    low: float
    high: float
    confidence: Probability = 0.95


class HoldoutMetrics(BaseModel):
    """What the model reached on rows that took no part in any choice, weighted to the real prevalence."""

    model_config = _STRICT

    n_frauds: Annotated[int, Field(ge=0)]
    n_legitimate: Annotated[int, Field(ge=0)]
    metrics: dict[str, Metric]


class Explanation(BaseModel):
    """What the reasons of a score are measured against."""

    model_config = _STRICT

    baseline: Annotated[tuple[tuple[float, ...], ...], Field(min_length=1, max_length=64, strict=False)]
    """Typical legitimate transactions, synthetic ones: a value for each field, in the order of the fields."""


class Manifest(BaseModel):
    """`manifest.json`: everything that serving needs to know of a model, and where it came from."""

    model_config = _STRICT

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    fields: Annotated[tuple[FieldSpec, ...], Field(min_length=1, max_length=1000, strict=False)]
    features: Annotated[tuple[FeatureSpec, ...], Field(min_length=1, max_length=1000, strict=False)]
    calibration: Calibration
    thresholds: DecisionRule
    prevalence: Annotated[float, Field(gt=0, lt=1)]
    holdout: HoldoutMetrics
    explanation: Explanation | None = None
    """None: scores of this model come without reasons."""
    training: dict[str, Any]
    """How the model was made: data digest, row counts, parameters. For people; serving reads none of it."""
    libraries: dict[str, str]
    files: dict[str, FileEntry]

    @model_validator(mode="after")
    def _names_are_consistent(self) -> Manifest:
        fields = [field.name for field in self.fields]
        features = [feature.name for feature in self.features]
        if len(set(fields)) != len(fields) or len(set(features)) != len(features):
            raise ValueError("field and feature names must be unique")
        if reserved := RESERVED_FIELDS.intersection(fields):
            raise ValueError(f"reserved field names: {', '.join(sorted(reserved))}")
        if missing := {feature.field for feature in self.features}.difference(fields):
            raise ValueError(f"features made from unknown fields: {', '.join(sorted(missing))}")
        if inverted := [field.name for field in self.fields if field.minimum >= field.maximum]:
            raise ValueError(f"fields with an empty range: {', '.join(inverted)}")
        if odd := [
            f.name for f in self.fields if f.if_missing is not None and not f.minimum <= f.if_missing <= f.maximum
        ]:
            raise ValueError(f"what stands for a missing value is out of range: {', '.join(odd)}")
        return self

    @model_validator(mode="after")
    def _amount_is_a_field(self) -> Manifest:
        if isinstance(self.thresholds, ExpectedLoss):
            minimum = {field.name: field.minimum for field in self.fields}.get(self.thresholds.amount_field)
            if minimum is None:
                raise ValueError(f"thresholds.amount_field is no field: {self.thresholds.amount_field}")
            if minimum < 0.0:
                raise ValueError(f"{self.thresholds.amount_field} may be negative: it cannot be the amount")
        return self

    @model_validator(mode="after")
    def _baseline_fits_the_fields(self) -> Manifest:
        for row in () if self.explanation is None else self.explanation.baseline:
            if len(row) != len(self.fields):
                raise ValueError("a row of explanation.baseline does not have one value for each field")
            outside = [
                field.name
                for field, value in zip(self.fields, row, strict=True)
                if not field.minimum <= value <= field.maximum
            ]
            if outside:
                raise ValueError(f"values of explanation.baseline out of range: {', '.join(outside)}")
        return self
