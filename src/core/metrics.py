"""What the service counts about itself, written to stdout in CloudWatch's embedded metric format (EMF).

Counts are summed and latencies gathered between two flushes, so that a busy server writes few lines. Dimensions
are `service` and, for errors, `code`: both from fixed sets, since each new value of a dimension costs money.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from core.errors import FraudScoringError, ScorerError
from core.observability import SERVICE, LogFields

NAMESPACE = "FraudScoring"


def _codes(error: type[FraudScoringError]) -> set[str]:
    return {error.code}.union(*(_codes(child) for child in error.__subclasses__()))


SCORER_ERROR_CODES = frozenset(_codes(ScorerError))


class Metrics:
    """Collects the figures of one process until `flush` writes them."""

    def __init__(self) -> None:
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
            self._latencies["ScoreLatency"].append(fields["score_ms"])

    def flush(self) -> None:
        """Write what was collected since the last flush, if anything was."""
        counts, errors, latencies = self._counts, self._errors, self._latencies
        self._counts, self._errors, self._latencies = Counter(), Counter(), defaultdict(list)
        provider = _provider()
        for name, total in counts.items():
            provider.add_metric(name, MetricUnit.Count, total)
        for name, values in latencies.items():
            for value in values:
                provider.add_metric(name, MetricUnit.Milliseconds, value)
        if provider.metric_set:
            provider.flush_metrics()
        for code, total in errors.items():
            by_code = _provider()
            by_code.add_dimension("code", code)
            by_code.add_metric("Errors", MetricUnit.Count, total)
            by_code.flush_metrics()


def _provider() -> AmazonCloudWatchEMFProvider:
    # The provider's own defaults are shared between instances, hence the fresh containers.
    return AmazonCloudWatchEMFProvider(
        metric_set={},
        dimension_set={},
        metadata_set={},
        default_dimensions={},
        namespace=NAMESPACE,
        service=SERVICE,
    )
