"""What is wrong with a table, and what is odd about it: found before any training, and all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score
from sklearn.tree import DecisionTreeClassifier

from training.arrays import Flags, Floats
from training.schema import TableSchema

MIN_FRAUDS = 20
MIN_LEGITIMATE = 100
"""With fewer, a split of three parts leaves nothing to choose a threshold with."""
FEW_FRAUDS = 100
LEAK = 0.99
"""Average precision from which a single column must be a copy of the target, or a consequence of it."""
SUSPICIOUS = 0.9
_LEAVES = 8


@dataclass
class Findings:
    """Problems forbid training; warnings are for the person who knows the data."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    """Features that look like a leak and were let in."""


def to_numbers(column: pd.Series) -> pd.Series:
    """Return the cells as float64; NaN for those that are empty or no numbers."""
    try:
        return column.astype("float64")
    except (TypeError, ValueError):
        return pd.to_numeric(column.astype(object), errors="coerce").astype("float64")


def judge_cells(frame: pd.DataFrame, numbers: pd.DataFrame, schema: TableSchema, found: Findings) -> list[str]:
    """Every cell must hold a finite number; return the columns of which this is true."""
    clean = []
    for name in frame.columns:
        empty = frame[name].isna()
        n_words = int((numbers[name].isna() & ~empty).sum())
        n_empty, n_infinite = int(empty.sum()), int(np.isinf(numbers[name]).sum())
        may_be_empty = name in schema.optional_fields and n_empty < len(frame)
        if n_words:
            found.problems.append(f"{name}: {n_words} cells are not numbers")
        if n_empty and may_be_empty:
            found.warnings.append(f"{name}: {n_empty} of {len(frame)} cells are empty, as its optional field allows")
        elif n_empty:
            found.problems.append(f"{name}: {n_empty} cells are empty or NaN")
        if n_infinite:
            found.problems.append(f"{name}: {n_infinite} cells are infinite")
        if not (n_words or n_infinite or (n_empty and not may_be_empty)):
            clean.append(name)
    return clean


def judge_values(numbers: pd.DataFrame, clean: Iterable[str], schema: TableSchema, found: Findings) -> None:
    """Values must be within their ranges, differ from each other, and be labels where labels belong."""
    if numbers.empty:
        found.problems.append("no rows")
        return
    clean = set(clean)
    for each in schema.fields:
        if each.name not in clean:
            continue
        column = numbers[each.name]
        if n_outside := int(((column < each.minimum) | (column > each.maximum)).sum()):
            found.problems.append(f"{each.name}: {n_outside} values outside {each.minimum:g} to {each.maximum:g}")
        if column.min() == column.max():
            found.problems.append(f"{each.name}: every row has the same value")
    for name in (schema.label_column, schema.uniform_column):
        if name in clean and (n_other := int((~numbers[name].isin((0.0, 1.0))).sum())):
            found.problems.append(f"{name}: {n_other} values are neither 0 nor 1")
    weight = schema.weight_column
    if weight in clean and (n_not_positive := int((numbers[weight] <= 0).sum())):
        found.problems.append(f"{weight}: {n_not_positive} weights are not above 0")


def judge_classes(is_fraud: Flags, is_uniform: Flags, found: Findings) -> None:
    """There must be enough rows of each class to learn from, and to judge by."""
    n_frauds, n_uniform = int(is_fraud.sum()), int(is_uniform.sum())
    if n_frauds < MIN_FRAUDS:
        found.problems.append(f"{n_frauds} frauds: at least {MIN_FRAUDS} distinct ones are needed")
    elif n_frauds < FEW_FRAUDS:
        found.warnings.append(f"{n_frauds} frauds: every figure will have a wide interval")
    if n_uniform < MIN_LEGITIMATE:
        found.problems.append(f"{n_uniform} uniformly sampled legitimate rows: at least {MIN_LEGITIMATE} are needed")
    if n_frauds > len(is_fraud) / 2:
        found.warnings.append(f"{n_frauds} of {len(is_fraud)} rows are frauds: does 1 mean fraud in the target column?")


def judge_features(numbers: pd.DataFrame, is_fraud: Flags, schema: TableSchema, found: Findings) -> None:
    """No feature may know the answer, or be a name of its row, or be there twice."""
    for name in schema.feature_names:
        column = numbers[name].to_numpy(np.float64)
        precision = _single_column_precision(column, is_fraud)
        if precision >= LEAK:
            _judge_leak(name, precision, schema, found)
        elif precision >= SUSPICIOUS:
            found.warnings.append(f"{name}: average precision {precision:.3f} by itself; is it known in time?")
        if _is_like_an_id(column):
            found.warnings.append(f"{name}: another whole number in every row, like an id; leave it out if it is one")
    seen: dict[bytes, str] = {}
    for name in schema.feature_names:
        twin = seen.setdefault(numbers[name].to_numpy(np.float64).tobytes(), name)
        if twin != name:
            found.warnings.append(f"{name}: the same values as {twin}")


def _judge_leak(name: str, precision: float, schema: TableSchema, found: Findings) -> None:
    said = f"{name}: tells frauds from the rest by itself (average precision {precision:.3f})"
    if name in schema.allowed_leaks:
        found.leaks.append(name)
        found.warnings.append(f"{said}; let in, and the model card says so")
        return
    found.problems.append(
        f"{said}: a copy of the target, or known only afterwards? Leave it out; --allow-leak {name} lets it in, if it "
        "is known when a transaction is scored"
    )


def _single_column_precision(column: Floats, is_fraud: Flags) -> float:
    """Return the average precision of a tree of a few leaves that sees nothing but this column, on its own rows."""
    tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, min_samples_leaf=5, random_state=0)
    # The tree compares float32, which ends at 3.4e38, far beyond what a field may hold.
    scores = tree.fit(column[:, np.newaxis], is_fraud).predict_proba(column[:, np.newaxis])[:, 1]
    return float(average_precision_score(is_fraud, scores))


def _is_like_an_id(column: Floats) -> bool:
    return bool((column == np.round(column)).all()) and len(np.unique(column)) == len(column)
