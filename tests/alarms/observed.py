"""What CloudWatch receives while the real service runs: its own metric lines, and those that AWS makes of its replies.

Names, dimensions and units of AWS' metrics are as AWS documents them: one value of `5XXError` a request, 0 or 1; of
`Errors` a value an invocation; counts of an ALB only where they are not 0.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.api.app import create_app
from core.bundle import Bundle
from core.scoring.base import Scorer
from core.scoring.static import StaticScorer
from core.service import ScoringService
from tests.alarms.cloudwatch import Sample, read_emf, sample
from tests.alarms.definitions import STACK, TEMPLATES, service_name
from tests.app_under_test import KEY, settings_of_tests
from tests.contract.exchange import Request
from tests.contract.lambda_transports import LAMBDA_TRANSPORTS
from tests.contract.transports import Socket
from tests.processes import serving

NOT_INVOKED = "-"
"""What API Gateway logs for a status of the function where it did not ask it."""
READY = Request("GET", "/health/ready")


def gateway(statuses: Iterable[int], function_statuses: Iterable[int | str] | None = None) -> list[Sample]:
    """Return the metrics of the stage, of its replies: its own, and those that the template counts in its log."""
    replies = list(statuses)
    found = []
    for status, of_function in zip(replies, function_statuses or replies, strict=True):
        found.append(sample("AWS/ApiGateway", "5XXError", status >= 500, ApiName=STACK, Stage="v1"))
        found += counted_in_the_log({"$context.status": status, "$context.integration.status": of_function})
    return found


def counted_in_the_log(context: dict[str, object]) -> list[Sample]:
    """Return what the metric filter of the template makes of a line of the access log."""
    resources = TEMPLATES["lambda"]["Resources"]
    line = resources["Api"]["Properties"]["AccessLogSetting"]["Format"]
    values = {"$context.apiId": "Api", **context}
    line = json.loads(re.sub(r"\$context\.[\w.]*\w", lambda found: str(values.get(found[0], "x")), line))
    counted = resources["ThrottledRequests"]["Properties"]
    terms = re.findall(r'\$\.(\w+) (!?=) "([^"]*)"', counted["FilterPattern"])
    left = re.sub(r'\$\.\w+ !?= "[^"]*"', "", counted["FilterPattern"]).split()
    assert set(left) <= {"{", "()", "&&", "}"}, "more of the language of filters than is known here"
    if not all((line[name] == value) == (comparison == "=") for name, comparison, value in terms):
        return []
    [metric] = counted["MetricTransformations"]
    dimensions = {each["Key"]: line[each["Value"].removeprefix("$.")] for each in metric["Dimensions"]}
    return [sample(metric["MetricNamespace"], metric["MetricName"], float(metric["MetricValue"]), **dimensions)]


def on_lambda(
    bundle: Bundle,
    answer: float | Exception | Any,
    requests: Sequence[Request],
    fallback: Scorer | None = None,
    **settings: Any,
) -> list[Sample]:
    """Answer the requests with the real handler, whose scorer gives `answer`."""
    service = ScoringService(bundle, StaticScorer(answer), fallback)
    app = create_app(service, settings_of_tests(service_name=service_name("lambda"), **settings))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), LAMBDA_TRANSPORTS["rest-v1"](app) as transport:
        replies = [transport.send(request) for request in requests]
    of_lambda = [sample("AWS/Lambda", "Errors", 0, FunctionName="ApiFunction") for _ in replies]
    return [*read_emf(out.getvalue()), *of_lambda, *gateway(reply.status for reply in replies)]


@dataclass(frozen=True)
class Observed:
    """What was answered by a server, and what CloudWatch received."""

    statuses: list[int]
    samples: list[Sample]


def on_ecs(folder: Path, requests: Sequence[Request], **settings: str) -> Observed:
    """Answer the requests with the real server, behind an ALB that asks whether it is ready."""
    settings = {"API_KEY": KEY, "SERVICE_NAME": service_name("ecs"), "LOG_LEVEL": "ERROR", **settings}
    with serving(folder, **settings) as server:
        ask = Socket(server.port).send
        statuses = [ask(request).status for request in requests]
        is_ready = ask(READY).status == 200
        assert server.stop() == 0
    own = read_emf(server.out.read_text())
    return Observed(statuses, [*own, *balancer(statuses, n_unhealthy=not is_ready), *tasks(), *cpu(40)])


def balancer(statuses: Sequence[int] = (), *, n_of_its_own: int = 0, n_unhealthy: int = 0) -> list[Sample]:
    """Return the metrics of an ALB over a minute; `n_of_its_own` 5xx had no target that could have answered."""
    name = {"LoadBalancer": "ApplicationLoadBalancer.LoadBalancerFullName"}
    counts = {
        "RequestCount": len(statuses),
        "HTTPCode_Target_5XX_Count": sum(status >= 500 for status in statuses),
        "HTTPCode_ELB_5XX_Count": n_of_its_own,
    }
    return [
        *(sample("AWS/ApplicationELB", metric, count, **name) for metric, count in counts.items() if count),
        sample(
            "AWS/ApplicationELB",
            "UnHealthyHostCount",
            n_unhealthy,
            **name,
            TargetGroup="TargetGroup.TargetGroupFullName",
        ),
    ]


SERVICE = {"ClusterName": "Cluster", "ServiceName": "Service.Name"}


def tasks(*, desired: int = 2, running: int = 2) -> list[Sample]:
    counts = {"DesiredTaskCount": desired, "RunningTaskCount": running}
    return [sample("ECS/ContainerInsights", name, count, **SERVICE) for name, count in counts.items()]


def cpu(percent: float) -> list[Sample]:
    return [sample("AWS/ECS", "CPUUtilization", percent, **SERVICE)]
