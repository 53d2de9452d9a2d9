"""Simulated transactions: rows with the schema and roughly the distributions of a real table, but no row of it.

One Gaussian copula for each class: the dependence between fields is a correlation of normal scores, and the
distribution of each field is a short table of quantiles. Only these aggregates are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from core.preprocessing import FieldValues
from training.arrays import Floats
from training.data import Table
from training.rounding import significant
from training.schema import TableSchema

SHIPPED_PARAMETERS = Path(__file__).with_name("simulator.json")
QUANTILES = (0.005, 0.01, 0.025, 0.05, *(round(0.1 * step, 1) for step in range(1, 10)), 0.95, 0.975, 0.99, 0.995)
"""No minimum and no maximum: those would be values of single transactions."""
DECIMALS = 6

_TAIL = 4.5
"""Normal score up to which the last quantiles are extended, in a straight line."""
_SHRINKAGE = 0.1
"""Share of the identity in each correlation matrix, which keeps it positive definite with few rows."""


@dataclass(frozen=True)
class ClassDistribution:
    """The rows of one class, as a copula."""

    quantiles: Floats
    """Shape (n_fields, n_quantiles)."""
    correlation: Floats
    """Shape (n_fields, n_fields), of normal scores."""

    def draw(self, n_rows: int, rng: np.random.Generator) -> FieldValues:
        """Return simulated values, shape (n_rows, n_fields)."""
        scores = rng.standard_normal((n_rows, len(self.quantiles))) @ np.linalg.cholesky(self.correlation).T
        knots, values = _extend(_normal_scores(QUANTILES), self.quantiles)
        return np.column_stack([np.interp(column, knots, row) for column, row in zip(scores.T, values, strict=True)])


@dataclass(frozen=True)
class Simulator:
    """Draws labelled transactions that follow a schema."""

    schema: TableSchema
    legitimate: ClassDistribution
    fraud: ClassDistribution

    def draw(self, n_legitimate: int, n_frauds: int, seed: int) -> Table:
        """Return simulated transactions, legitimate ones first; equal arguments give equal rows."""
        rng = np.random.default_rng(seed)
        values = np.concatenate([self.legitimate.draw(n_legitimate, rng), self.fraud.draw(n_frauds, rng)])
        is_fraud = np.arange(len(values)) >= n_legitimate
        return Table(self._rounded(values), is_fraud, ~is_fraud)

    def _rounded(self, values: FieldValues) -> FieldValues:
        columns = []
        for field, column in zip(self.schema.fields, values.T, strict=True):
            decimals = DECIMALS
            if field.name in self.schema.integer_fields:
                decimals = 0
            elif field.name in self.schema.money_fields:
                decimals = 2
            columns.append(np.round(np.clip(column, field.minimum, field.maximum), decimals))
        # Adding zero turns -0.0 into 0.0.
        return np.column_stack(columns) + 0.0

    def to_json(self) -> str:
        """Return the parameters, one row of numbers a line, without any row of the table they came from."""
        classes = {"legitimate": self.legitimate, "fraud": self.fraud}
        document = {
            "description": "Aggregates of labelled transactions, made by `python -m training fit-simulator`.",
            "fields": list(self.schema.field_names),
            "quantiles": list(QUANTILES),
            "classes": {
                name: {"quantiles": each.quantiles.tolist(), "correlation": each.correlation.tolist()}
                for name, each in classes.items()
            },
        }
        return _one_row_a_line(document) + "\n"


def load_simulator(schema: TableSchema, path: Path = SHIPPED_PARAMETERS) -> Simulator:
    """Read the parameters that `Simulator.to_json` wrote."""
    classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
    return Simulator(
        schema,
        *(
            ClassDistribution(np.array(classes[name]["quantiles"]), np.array(classes[name]["correlation"]))
            for name in ("legitimate", "fraud")
        ),
    )


def fit_simulator(table: Table, schema: TableSchema) -> Simulator:
    """Learn the distributions of the uniform legitimate rows and of the frauds of `table`."""
    return Simulator(schema, *(_fit_class(table.values[rows]) for rows in (table.is_uniform, table.is_fraud)))


def _fit_class(values: FieldValues) -> ClassDistribution:
    ranks = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0, kind="stable")
    scores = _normal_scores((np.arange(len(values)) + 0.5) / len(values))[ranks]
    correlation = (1.0 - _SHRINKAGE) * np.corrcoef(scores.T) + _SHRINKAGE * np.eye(values.shape[1])
    return ClassDistribution(significant(np.quantile(values, QUANTILES, axis=0).T, 4), np.round(correlation, 3))


def _normal_scores(probabilities: Iterable[float]) -> Floats:
    normal = NormalDist()
    return np.array([normal.inv_cdf(each) for each in probabilities])


def _extend(knots: Floats, quantiles: Floats) -> tuple[Floats, Floats]:
    """Continue the first and the last segment of each field's quantiles to the tails."""
    low = quantiles[:, 0] - (quantiles[:, 1] - quantiles[:, 0]) / (knots[1] - knots[0]) * (_TAIL + knots[0])
    high = quantiles[:, -1] + (quantiles[:, -1] - quantiles[:, -2]) / (knots[-1] - knots[-2]) * (_TAIL - knots[-1])
    return np.array([-_TAIL, *knots, _TAIL]), np.column_stack([low, quantiles, high])


def _one_row_a_line(value: object, indent: str = "") -> str:
    """Serialise like json.dumps(indent=1), but with a list of numbers on one line."""
    if isinstance(value, dict):
        members = [f"{indent} {json.dumps(key)}: {_one_row_a_line(each, indent + ' ')}" for key, each in value.items()]
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if isinstance(value, list) and isinstance(value[0], list):
        return "[\n" + ",\n".join(f"{indent} {json.dumps(row)}" for row in value) + f"\n{indent}]"
    return json.dumps(value)
