"""What the service counts about itself, written to stdout in CloudWatch's embedded metric format (EMF).

Counts are summed and latencies gathered between two flushes, so that a busy server writes few lines. Dimensions
are `service` and, for errors, `code`: both from fixed sets, since each new value of a dimension costs money.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from pydantic_core import to_json

from core.errors import FraudScoringError, ScorerError
from core.observability import LogFields

NAMESPACE = "FraudScoring"
_MAX_VALUES = 100
"""Of one metric in one line: a limit of the format."""

MetricSet = Mapping[str, tuple[str, Sequence[float]]]
"""Name -> unit and values."""


def _codes(error: type[FraudScoringError]) -> set[str]:
    return {error.code}.union(*(_codes(child) for child in error.__subclasses__()))


SCORER_ERROR_CODES = frozenset(_codes(ScorerError))


class Metrics:
    """Collects the figures of one process until `flush` writes them."""

    def __init__(self, service_name: str) -> None:
        self._service_name = service_name
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies: defaultdict[str, list[float]] = defaultdict(list)

    def count(self, name: str, amount: int = 1) -> None:
        """Add `amount` to the metric `name`."""
        self._counts[name] += amount

    def record_request(self, status: int, latency_ms: float, fields: LogFields) -> None:
        """Count one finished request by what its log line says."""
        self._counts["Requests"] += 1
        self._latencies["RequestLatency"].append(latency_ms)
        if status >= 400:
            self._counts["ServerErrors" if status >= 500 else "ClientErrors"] += 1
        code = fields.get("error_code")
        if code is not None:
            self._errors[code] += 1
            self._counts["ScorerErrors"] += code in SCORER_ERROR_CODES
        if "n_transactions" in fields:
            self._counts["ApprovedTransactions"] += fields["approve"]
            self._counts["ReviewedTransactions"] += fields["review"]
            self._counts["DeclinedTransactions"] += fields["decline"]
            self._counts["DegradedTransactions"] += fields["n_transactions"] if fields.get("degraded") else 0
            # Apart from each other: to explain takes hundreds of times as many rows.
            if "explain_ms" in fields:
                self._counts["ExplainedTransactions"] += fields["explained"]
                self._latencies["ExplainLatency"].append(fields["explain_ms"])
            else:
                self._latencies["ScoreLatency"].append(fields["score_ms"])

    def flush(self) -> None:
        """Write what was collected since the last flush, if anything was."""
        counts, errors, latencies = self._counts, self._errors, self._latencies
        self._counts, self._errors, self._latencies = Counter(), Counter(), defaultdict(list)
        first: MetricSet = {name: ("Count", [total]) for name, total in counts.items()}
        for start in range(0, max(map(len, latencies.values()), default=1), _MAX_VALUES):
            chunk = {name: values[start : start + _MAX_VALUES] for name, values in latencies.items()}
            metrics = {**first, **{name: ("Milliseconds", values) for name, values in chunk.items() if values}}
            if metrics:
                self._write(metrics)
            first = {}
        for code, total in errors.items():
            self._write({"Errors": ("Count", [total])}, code=code)

    def _write(self, metrics: MetricSet, **dimensions: str) -> None:
        """Write one line; not by `add_metric`, which takes longer for one value than scoring a transaction does."""
        if sys.stdout is None:
            return  # it was closed when the process started: nobody collects metrics
        metric_set = {
            name: {"Unit": unit, "StorageResolution": 60, "Value": values} for name, (unit, values) in metrics.items()
        }
        provider = AmazonCloudWatchEMFProvider(namespace=NAMESPACE)
        line = provider.serialize_metric_set(metric_set, {"service": self._service_name, **dimensions}, {})
        sys.stdout.write(to_json(line).decode() + "\n")
        sys.stdout.flush()
