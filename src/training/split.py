"""Divides a table into training, validation and holdout rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.preprocessing import FieldSpec
from training.arrays import Flags, Floats, Rows
from training.data import Table
from training.errors import SplitError
from training.schema import TableSchema

N_FIFTHS = 5
SHARES = {"train": 0.6, "validation": 0.2, "holdout": 0.2}


SplitKind = Literal["random", "out-of-time"]
N_WINDOWS = 3
"""How many rotations an out-of-time split has: each ends a fifth of the rows earlier than the one before."""


@dataclass(frozen=True)
class Split:
    """Three disjoint parts: one to fit on, one to make choices on, one to report on."""

    train: Table
    validation: Table
    holdout: Table
    n_grouped: int
    """Rows that look the same to the model as an earlier row, and so share its part."""
    kind: SplitKind = "random"
    n_dropped: int = 0
    """Rows left out because the model would have met their like in an earlier part."""
    stand_ins: Mapping[str, float] = field(default_factory=dict)
    """What stands for a missing value of each optional field, learned from the training rows."""

    def parts(self) -> dict[str, Table]:
        return {"train": self.train, "validation": self.validation, "holdout": self.holdout}


def split_table(table: Table, schema: TableSchema, seed: int, rotation: int = 0, kind: SplitKind = "random") -> Split:
    """Split a table into training, validation and holdout rows, and complete their optional fields.

    Parameters
    ----------
    rotation : 0 to 4, or to 2 for out-of-time; which rows are held out, 0 being the split of the shipped model

    Raises
    ------
    SplitError
        A part of an out-of-time split lacks a class, or the table has no time to split by.
    """
    split = _in_time(table, schema, rotation) if kind == "out-of-time" else _at_random(table, schema, seed, rotation)
    return _completed(split, schema) if schema.optional_fields else split


def _in_time(table: Table, schema: TableSchema, rotation: int) -> Split:
    """Train on what came first, choose on what came next, report on what came then.

    Rows of one moment share a part. A row whose features the model has met in an earlier part is left out.
    """
    if schema.time_column is None:
        raise SplitError("an out-of-time split needs a time column: say --time, or time: in the columns file")
    if rotation >= N_WINDOWS:
        raise SplitError(f"an out-of-time split has {N_WINDOWS} rotations, not {rotation + 1}")
    times = table.values[:, schema.time_column]
    ordered = np.sort(times, kind="stable")
    fifths = [ordered[len(ordered) * k // N_FIFTHS] for k in range(1, N_FIFTHS)]
    fifth_of_row = np.searchsorted(fifths, times, side="right")
    part_of_row = np.clip(fifth_of_row - (2 - rotation), 0, None)
    group_of_row = feature_groups(table, schema)
    earliest_part = np.full(len(table), N_FIFTHS)
    np.minimum.at(earliest_part, group_of_row, part_of_row)
    is_used = part_of_row < N_WINDOWS
    is_new = part_of_row == earliest_part[group_of_row]
    train, validation, holdout = (
        table.take(np.flatnonzero(is_used & is_new & (part_of_row == part))) for part in range(N_WINDOWS)
    )
    split = Split(
        train,
        validation,
        holdout,
        n_grouped=int(is_used.sum()) - len(np.unique(group_of_row[is_used])),
        kind="out-of-time",
        n_dropped=int((is_used & ~is_new).sum()),
    )
    for name, part in split.parts().items():
        if not (part.is_fraud.any() and part.is_uniform.any()):
            raise SplitError(f"split by time, the {name} rows have no fraud, or no legitimate row")
    return split


def _completed(split: Split, schema: TableSchema) -> Split:
    """Put what stands for it in the place of each missing value, as serving does."""
    stand_ins = {}
    for name in sorted(schema.optional_fields):
        column = schema.field_names.index(name)
        known = split.train.values[:, column]
        known = known[~np.isnan(known)]
        if not len(known):
            raise SplitError(f"{name}: no training row has a value")
        stand_ins[name] = _stand_in(known, schema.fields[column], below=schema.plan.missing_below)
    missing = np.array([stand_ins.get(name, np.nan) for name in schema.field_names])

    def complete(part: Table) -> Table:
        return replace(part, values=np.where(np.isnan(part.values), missing, part.values))

    return replace(
        split,
        train=complete(split.train),
        validation=complete(split.validation),
        holdout=complete(split.holdout),
        stand_ins=stand_ins,
    )


def _stand_in(known: Floats, spec: FieldSpec, *, below: bool) -> float:
    """Return the median, or a value that trees can tell from all others, if the field's range leaves room for one."""
    lower = float(np.min(known)) - max(float(np.std(known)), 1.0)
    return lower if below and lower >= spec.minimum else float(np.median(known))


def _at_random(table: Table, schema: TableSchema, seed: int, rotation: int) -> Split:
    """Split 60 / 20 / 20 at random, stratified by label, by `is_uniform` and by how hard a row is.

    With a few dozen frauds in a part, chance alone makes one part much harder than another: by plain random splits
    of the shared data, average precision differs by 0.04 (standard deviation) from fold to fold, by this one half
    as much. Neither labels nor scores of a part reach the model by it: it only decides where a row goes.

    Rows with equal features form one group and never end up in different parts: the model could not tell
    them apart, so that one in the holdout would already be known from training.

    Over all five rotations, every row is in the holdout once.
    """
    group_of_row = feature_groups(table, schema)
    _, first_row = np.unique(group_of_row, return_index=True)
    strata = table.is_fraud[first_row].astype(int) * 2 + table.is_uniform[first_row]
    features = table.values[first_row][:, schema.feature_columns]
    difficulty = _reference_margins(features, table.is_fraud[first_row], seed)
    fifth_of_row = _random_fifths(strata, difficulty, seed)[group_of_row]
    position = (fifth_of_row - rotation) % N_FIFTHS
    return Split(
        train=table.take(np.flatnonzero(position < 3)),
        validation=table.take(np.flatnonzero(position == 3)),
        holdout=table.take(np.flatnonzero(position == 4)),
        n_grouped=len(table) - len(first_row),
    )


def feature_groups(table: Table, schema: TableSchema) -> Rows:
    """Return a group number for each row; rows with the same features have the same number."""
    features = pd.DataFrame(table.values[:, schema.feature_columns])
    numbers: Rows = features.groupby(list(features.columns), sort=False, dropna=False).ngroup().to_numpy(np.intp)
    return numbers


def _reference_margins(features: Floats, is_fraud: Flags, seed: int) -> Floats:
    """Return how fraudulent a simple model, fitted on other rows, finds each row; zeros if a class is too small."""
    if min(is_fraud.sum(), (~is_fraud).sum()) < N_FIFTHS:
        return np.zeros(len(is_fraud))
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    folds = StratifiedKFold(N_FIFTHS, shuffle=True, random_state=seed)
    margins: Floats = cross_val_predict(model, features, is_fraud, cv=folds, method="decision_function")
    return margins


def _random_fifths(strata: Rows, difficulty: Floats, seed: int) -> Rows:
    """Return a number from 0 to 4 for each member.

    In every stratum, each five members next to each other in difficulty are dealt out at random, one to a fifth.
    """
    rng = np.random.default_rng(seed)
    fifths = np.empty(len(strata), dtype=np.intp)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        ranked = members[np.argsort(difficulty[members], kind="stable")]
        for start in range(0, len(ranked), N_FIFTHS):
            block = ranked[start : start + N_FIFTHS]
            fifths[block] = rng.permutation(N_FIFTHS)[: len(block)]
    return fifths
