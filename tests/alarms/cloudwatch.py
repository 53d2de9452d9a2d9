"""As much of CloudWatch as the alarms of the templates need: statistics, metric math, and when an alarm rings.

Nobody here can run CloudWatch itself, and moto stores alarms without ever looking at a metric. So this is written after
AWS' documentation, for what the templates use and no more; anything else is refused. Where AWS is kinder, this is
strict: a sum or a quotient of which one part is missing, is missing. Of the periods, only those of `EvaluationPeriods`
are looked at, whereas AWS goes further back in time when some have no data.
"""

from __future__ import annotations

import ast
import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.alarms.definitions import Alarm

Dimensions = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Sample:
    """One value that CloudWatch received."""

    namespace: str
    name: str
    dimensions: Dimensions
    value: float


def sample(namespace: str, name: str, value: float, **dimensions: str) -> Sample:
    return Sample(namespace, name, frozenset(dimensions.items()), value)


def read_emf(lines: str) -> list[Sample]:
    """Return what CloudWatch Logs takes out of lines in the embedded metric format; other lines mean nothing to it."""
    samples = []
    for document in map(json.loads, lines.splitlines()):
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, document[name]) for name in names)
                for metric in directive["Metrics"]:
                    values = document[metric["Name"]]
                    for value in values if isinstance(values, list) else [values]:
                        samples.append(Sample(directive["Namespace"], metric["Name"], dimensions, value))
    return samples


def state_of(alarm: Alarm, periods: Sequence[Sequence[Sample]], before: str = "OK") -> str:
    """Return the state after these periods, the last one last; before the first one there was no data."""
    assert alarm["TreatMissingData"] in ("breaching", "notBreaching")
    n_periods: int = alarm["EvaluationPeriods"]
    looked_at = [*([[]] * n_periods), *periods][-n_periods:]
    points = [_point(alarm, each) for each in looked_at]
    if any(point is not None and math.isnan(point) for point in points):
        return before
    n_breaching = sum(_is_breaching(alarm, point) for point in points)
    return "ALARM" if n_breaching >= alarm.get("DatapointsToAlarm", n_periods) else "OK"


def ringing(alarms: Mapping[str, Alarm], periods: Sequence[Sequence[Sample]]) -> set[str]:
    """Return the names of the alarms that ring after these periods."""
    return {name for name, alarm in alarms.items() if state_of(alarm, periods) == "ALARM"}


COMPARISONS = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
}


def _is_breaching(alarm: Alarm, point: float | None) -> bool:
    if point is None:
        return bool(alarm["TreatMissingData"] == "breaching")
    return bool(COMPARISONS[alarm["ComparisonOperator"]](point, alarm["Threshold"]))


def _point(alarm: Alarm, samples: Sequence[Sample]) -> float | None:
    """Return the value of one period: None if it is missing, NaN if it is of too few samples to count."""
    if "Metrics" not in alarm:
        statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        values = _values(alarm, samples)
        if alarm.get("EvaluateLowSampleCountPercentile") == "ignore" and _are_too_few(statistic, values):
            return math.nan
        return _statistic(statistic, values)
    [returned] = [query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True)]
    assert len({query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query}) == 1
    return _Math(alarm["Metrics"], samples).value_of(returned)


def _values(metric: Mapping[str, Any], samples: Sequence[Sample]) -> list[float]:
    """A metric is its name with exactly these dimensions: one with more or fewer is another one."""
    dimensions = frozenset((each["Name"], each["Value"]) for each in metric["Dimensions"])
    wanted = (metric["Namespace"], metric["MetricName"], dimensions)
    return [each.value for each in samples if (each.namespace, each.name, each.dimensions) == wanted]


def _are_too_few(statistic: str, values: list[float]) -> bool:
    return 0 < len(values) < 10 / (1 - float(statistic.removeprefix("p")) / 100) - 1e-6


def _statistic(name: str, values: list[float]) -> float | None:
    if not values:
        return None
    if name.startswith("p"):
        return sorted(values)[math.ceil(float(name[1:]) / 100 * len(values)) - 1]
    return {"Sum": sum(values), "Average": sum(values) / len(values), "Maximum": max(values)}[name]


ARITHMETIC: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class _Math:
    """The queries of one alarm over one period; their expressions are Python's but for the case of AND and OR."""

    def __init__(self, queries: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> None:
        self._queries = {query["Id"]: query for query in queries}
        self._samples = samples

    def value_of(self, name: str) -> float | None:
        query = self._queries[name]
        if "Expression" in query:
            text = query["Expression"].replace(" AND", " and").replace(" OR", " or")
            return self._of(ast.parse(" ".join(text.split()), mode="eval").body)
        stat = query["MetricStat"]
        return _statistic(stat["Stat"], _values(stat["Metric"], self._samples))

    def _of(self, node: ast.expr) -> float | None:
        match node:
            case ast.Constant(value=int() | float() as value):
                return value
            case ast.Name(id=name):
                return self.value_of(name)
            case ast.BinOp(left=left, op=kind, right=right) | ast.Compare(left=left, ops=[kind], comparators=[right]):
                return self._arithmetic(kind, self._of(left), self._of(right))
            case ast.BoolOp(op=kind, values=parts):
                truths = [self._of(part) for part in parts]
                if None in truths:
                    return None
                return float(all(truths) if isinstance(kind, ast.And) else any(truths))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, arguments)
        raise NotImplementedError(ast.dump(node))

    @staticmethod
    def _arithmetic(kind: ast.AST, left: float | None, right: float | None) -> float | None:
        if left is None or right is None or (isinstance(kind, ast.Div) and right == 0):
            return None
        return float(ARITHMETIC[type(kind)](left, right))

    def _call(self, name: str, arguments: list[ast.expr]) -> float | None:
        match name, arguments:
            case "SUM", [ast.List(elts=parts)]:
                values = [value for value in map(self._of, parts) if value is not None]
                return sum(values) if values else None
            case "FILL", [inner, otherwise]:
                value = self._of(inner)
                return self._of(otherwise) if value is None else value
            case "IF", [condition, then, otherwise]:
                truth = self._of(condition)
                return None if truth is None else self._of(then if truth else otherwise)
        raise NotImplementedError(name)
