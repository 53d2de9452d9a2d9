"""The user's own columns: a small YAML file, or options, that say what each column of a table is for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from core.manifest import RESERVED_FIELDS
from core.preprocessing import FieldSpec, Name
from training.errors import OptionError
from training.schema import DAY_S, LARGEST_VALUE, TableSchema, TimeMeaning

_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
Unit = Literal["milliseconds", "seconds", "minutes", "hours", "days"]
SECONDS: dict[Unit, float] = {
    "milliseconds": 0.001,
    "seconds": 1.0,
    "minutes": 60.0,
    "hours": 3600.0,
    "days": float(DAY_S),
}
_NAME = TypeAdapter(Name)


class TimeColumn(BaseModel):
    """When a transaction happened, as a number."""

    model_config = _STRICT

    column: Name
    unit: Unit = "seconds"
    zero: Literal["midnight", "unknown"] = "unknown"
    """`midnight` (Unix time is such): then the time of day can be tried as a feature."""
    utc_offset_hours: Annotated[float, Field(ge=-14, le=14)] = 0.0
    """Added before the time of day is taken."""

    def meaning(self) -> TimeMeaning:
        return TimeMeaning(SECONDS[self.unit], self.zero == "midnight", self.utc_offset_hours * 3600.0)


class FieldOptions(BaseModel):
    """What may be said of one column that callers send."""

    model_config = _STRICT

    minimum: float | None = None
    maximum: float | None = None
    description: Annotated[str, Field(max_length=200)] = ""
    label: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """What people call the field; comes back with the reasons of a score."""
    optional: bool = False
    """May be empty in the data, and absent or null in a request; training chooses what stands for it."""


def _named(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


class Columns(BaseModel):
    """What the columns of a table are for."""

    model_config = _STRICT

    target: str
    amount: Name
    time: Annotated[TimeColumn, BeforeValidator(_named)] | None = None
    weight: str | None = None
    uniform: str | None = None
    features: Annotated[list[Name], Field(min_length=1)] | None = None
    exclude: list[str] = []
    allow_leak: list[str] = []
    """Features that may tell frauds by themselves; else such a column is refused."""
    fields: dict[str, FieldOptions] = {}
    notice: str = ""

    @model_validator(mode="after")
    def _uses_do_not_overlap(self) -> Columns:
        if self.features is not None:
            if repeated := sorted({name for name in self.features if self.features.count(name) > 1}):
                raise ValueError(f"features named twice: {', '.join(repeated)}")
            if self.time and self.time.column in self.features:
                raise ValueError(
                    f"{self.time.column} is the time: a model of it would know when its training rows ended, and "
                    "nothing of later ones. Its time of day is tried by itself if `zero: midnight` is given"
                )
        kept_apart = [self.target, self.weight, self.uniform, self.time and self.time.column, *self.exclude]
        for name in self.features or ():
            if name in kept_apart:
                raise ValueError(f"{name} cannot be a feature and something else")
        if self.amount in kept_apart:
            raise ValueError(f"{self.amount} cannot be the amount and something else")
        return self

    @property
    def used(self) -> set[str]:
        """Columns that are no feature by default."""
        time = self.time.column if self.time else None
        return {name for name in (self.target, self.weight, self.uniform, time, *self.exclude) if name}

    def table_schema(self, numeric_columns: Iterable[str]) -> TableSchema:
        """Return the schema of a table in which these columns hold numbers.

        Raises
        ------
        OptionError
            No column is left for the model, or `fields` names a column that callers do not send.
        """
        if self.features is None:
            found = [name for name in numeric_columns if name not in self.used and is_field_name(name)]
            features = tuple(dict.fromkeys([*found, self.amount]))
        else:
            features = tuple(self.features)
        names = tuple(dict.fromkeys([*([self.time.column] if self.time else []), *features, self.amount]))
        if reserved := RESERVED_FIELDS.intersection(names):
            raise OptionError(f"columns cannot be called {', '.join(sorted(reserved))}: requests use the name")
        if unknown := sorted(set(self.fields).difference(names)):
            raise OptionError(f"columns file: fields: {', '.join(unknown)} is not among the columns that are used")
        optional = frozenset(name for name, each in self.fields.items() if each.optional)
        if fixed := optional & {self.amount, self.time.column if self.time else ""}:
            raise OptionError(f"columns file: {', '.join(sorted(fixed))} cannot be optional")
        return TableSchema(
            fields=tuple(self._field(name) for name in names),
            feature_names=features,
            notice=self.notice or "The columns file says nothing of where the data come from.",
            money_fields=frozenset({self.amount}),
            amount_field=self.amount,
            time_field=self.time.column if self.time else None,
            time=self.time.meaning() if self.time else TimeMeaning(),
            label_column=self.target,
            uniform_column=self.uniform,
            weight_column=self.weight,
            optional_fields=optional,
        )

    def _field(self, name: str) -> FieldSpec:
        said = self.fields.get(name, FieldOptions())
        starts_at_zero = name == self.amount or (self.time is not None and name == self.time.column)
        lowest = 0.0 if starts_at_zero else -LARGEST_VALUE
        field = FieldSpec(
            name=name,
            minimum=lowest if said.minimum is None else said.minimum,
            maximum=LARGEST_VALUE if said.maximum is None else said.maximum,
            description=said.description,
            label=said.label,
        )
        if field.minimum >= field.maximum:
            raise OptionError(f"columns file: fields: {name}: minimum must be below maximum")
        return field


def is_field_name(name: str) -> bool:
    """Tell whether a request could have a member of this name."""
    try:
        _NAME.validate_python(name)
    except ValidationError:
        return False
    return name not in RESERVED_FIELDS


def load_columns(path: Path | None, **given: str | None) -> Columns | None:
    """Return what the YAML file says, overridden by the options that were given; None if nothing was said.

    Raises
    ------
    OptionError
        The file cannot be read, or what it says makes no sense; the error lists every fault.
    """
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "features" in options:
        options["features"] = [name.strip() for name in options["features"].split(",")]
    if path is None and not options:
        return None
    document = {} if path is None else _read_yaml(path)
    where = "options" if path is None else str(path)
    try:
        return Columns.model_validate({**document, **options})
    except ValidationError as error:
        raise OptionError("\n  - ".join([f"{where}: the columns are not clear", *_faults(error)])) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise OptionError(f"{path}: not a mapping of names, such as `target: is_fraud`")
    return document


def _faults(error: ValidationError) -> list[str]:
    faults = []
    for each in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in each["loc"])
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "missing":
            message = "missing"
        elif each["type"] == "extra_forbidden":
            message = f"unknown; known are {', '.join(Columns.model_fields)}" if len(each["loc"]) == 1 else "unknown"
        faults.append(f"{where}: {message}" if where else message)
    return faults
