"""The columns that a bundle was trained on, so that more rows of the same kind are read the same way."""

from __future__ import annotations

from typing import Any

from core.bundle import Bundle
from core.manifest import Manifest
from training.columns import SECONDS, Columns, FieldOptions, TimeColumn
from training.schema import TableSchema


def describe_columns(schema: TableSchema) -> dict[str, Any]:
    """Return the member `columns` of the manifest's `training`."""
    return {
        "target": schema.label_column,
        "amount": schema.amount_field,
        "time": schema.time_field,
        "time_unit_s": schema.time.unit_s,
        "time_starts_at_midnight": schema.time.starts_at_midnight,
        "time_offset_s": schema.time.offset_s,
        "weight": schema.weight_column,
        "uniform": schema.uniform_column,
        "features": list(schema.feature_names),
        "optional": sorted(schema.optional_fields),
    }


def leaks_of(manifest: Manifest) -> list[str]:
    """Return the features that were let in although they tell frauds by themselves."""
    leaks: list[str] = manifest.training.get("data", {}).get("allowed_leaks", [])
    return leaks


def columns_of(bundle: Bundle) -> Columns | None:
    """Return what the bundle's training was told of its columns; None: it was the public data set."""
    said = bundle.manifest.training.get("columns", {})
    if "features" not in said:
        return None
    units = {seconds: unit for unit, seconds in SECONDS.items()}
    time = said["time"] and TimeColumn(
        column=said["time"],
        unit=units[said["time_unit_s"]],
        zero="midnight" if said["time_starts_at_midnight"] else "unknown",
        utc_offset_hours=said["time_offset_s"] / 3600.0,
    )
    return Columns(
        target=said["target"],
        amount=said["amount"],
        time=time,
        weight=said["weight"],
        uniform=said["uniform"],
        features=said["features"],
        allow_leak=leaks_of(bundle.manifest),
        fields={
            each.name: FieldOptions(
                minimum=each.minimum,
                maximum=each.maximum,
                description=each.description,
                optional=each.name in said["optional"],
            )
            for each in bundle.manifest.fields
        },
        notice=bundle.manifest.training.get("notice", ""),
    )
