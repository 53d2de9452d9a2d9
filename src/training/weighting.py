"""Weights and factors that turn the rows at hand into the real world's mixture of fraud and no fraud."""

from __future__ import annotations

import numpy as np

from training.arrays import Flags, Floats
from training.data import DataFile, Table

CREDITCARD_PREVALENCE = 492 / 284_807
"""Frauds among all rows of the public data set, of which a file with a uniform column is a sample."""


def real_prevalence(data: DataFile, given: float | None) -> float:
    """Return the prevalence to weight to: as given, else the public data set's, else the file's own.

    A file without a uniform column is taken to be a fair picture of the world, and so is its prevalence.
    """
    if given is not None:
        return given
    if data.has_uniform_column:
        return CREDITCARD_PREVALENCE
    return float(np.average(data.table.is_fraud, weights=data.table.weights))


def real_world_weights(table: Table, prevalence: float) -> Floats:
    """Return one weight a row under which frauds have the share `prevalence`, shape (n_rows,).

    A fraud weighs 1, each uniform legitimate row the same number of legitimate transactions, both times the weight
    that the table gives it, if it does. A legitimate row that is not part of the uniform sample weighs nothing: it
    says nothing about a rate.
    """
    weights = table.weights
    frauds, uniform = weights @ table.is_fraud, weights @ table.is_uniform
    legitimate = frauds * (1.0 - prevalence) / prevalence / uniform
    return weights * np.where(table.is_fraud, 1.0, np.where(table.is_uniform, legitimate, 0.0))


def growing_weights(table: Table) -> Floats | None:
    """Return the weight of each row in growing trees, shape (n_rows,); None, for 1 each, if the table gives none.

    What the table gives, over its mean among the rows of the class. So rows of a class count as the world has them,
    and both classes keep the share that they have in the table, which `odds_factor` undoes.
    """
    if table.given_weights is None:
        return None
    weights = table.given_weights
    fraud, legitimate = weights[table.is_fraud].mean(), weights[~table.is_fraud].mean()
    scaled: Floats = weights / np.where(table.is_fraud, fraud, legitimate)
    return scaled


def odds_factor(is_fraud: Flags, prevalence: float) -> float:
    """Return the factor by which the odds of a model trained on such labels become those of the real world."""
    n_frauds, n_legitimate = int(is_fraud.sum()), int((~is_fraud).sum())
    return (prevalence / (1.0 - prevalence)) / (n_frauds / n_legitimate)
