"""The same training again with each fifth of the rows as the holdout: how much one split is luck."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from training.data import Table
from training.evaluate import point_values
from training.model import fit_model
from training.run import Options
from training.schema import TableSchema
from training.split import N_WINDOWS, split_table

FoldFigures = list[dict[str, float]]


def cross_validate(
    table: Table, schema: TableSchema, options: Options, prevalence: float, on_progress: Callable[[float], None]
) -> FoldFigures:
    """Return the holdout figures of each rotation of the split; the first is the split that is shipped.

    Every model is fitted, stopped and calibrated without its own holdout.
    """
    folds = []
    for fold in fold_figures(table, schema, options, prevalence):
        folds.append(fold)
        on_progress(len(folds) / options.n_rotations)
    on_progress(1.0)
    return folds


def fold_figures(table: Table, schema: TableSchema, options: Options, prevalence: float) -> Iterator[dict[str, float]]:
    """Yield the figures of each rotation as soon as they are known."""
    n_rotations = options.n_rotations if options.split == "random" else min(options.n_rotations, N_WINDOWS)
    for rotation in range(n_rotations):
        split = split_table(table, schema, options.seed, rotation, options.split)
        model = fit_model(split, schema, options.parameters, prevalence, options.seed)
        figures = point_values(model.score(split.holdout, prevalence))
        yield {"n_frauds": int(split.holdout.is_fraud.sum()), **figures}


def means(folds: FoldFigures) -> dict[str, float]:
    """Return the mean of each figure over the folds."""
    return {name: float(np.mean([fold[name] for fold in folds])) for name in _names(folds)}


def spread(folds: FoldFigures) -> dict[str, float]:
    """Return the standard deviation of each figure over two or more folds."""
    return {name: float(np.std([fold[name] for fold in folds], ddof=1)) for name in _names(folds) if len(folds) > 1}


def _names(folds: FoldFigures) -> list[str]:
    return [name for name in folds[0] if name != "n_frauds"]
