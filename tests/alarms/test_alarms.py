"""Every alarm rings when its fault happens, tells its topic so, and is quiet otherwise.

The faults happen to the real handler and the real server wherever those take part. What CloudWatch does with the
metrics then is in `cloudwatch.py`, and is not CloudWatch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from core import errors
from core.bundle import Bundle
from core.scoring.static import StaticScorer
from tests.alarms.cloudwatch import Sample, ringing, sample, state_of
from tests.alarms.definitions import TEMPLATES, TOPIC, alarms_of
from tests.alarms.observed import NOT_INVOKED, balancer, cpu, gateway, on_ecs, on_lambda, tasks
from tests.app_under_test import PREDICT_KEY
from tests.contract.case import JSON_TYPE, batch, json_batch, predict
from tests.contract.exchange import Request
from tests.contract.rows import shipped_rows
from tests.processes import free_port, run_python

ROW = json.dumps({"json": 1.5, "class": 2, "log.amount": 3.25})
PREDICT = predict(ROW)
SHIPPED = predict(json.dumps(shipped_rows().fraud))
FORTY = batch(json_batch([ROW] * 40))
WRONG_KEY = predict(ROW, headers=((b"x-api-key", b"guessed"), JSON_TYPE))
MISTAKES = [
    predict("{"),
    predict(json.dumps({"json": "x"})),
    WRONG_KEY,
    Request("POST", "/predict/batch", ((b"x-api-key", PREDICT_KEY.encode()), JSON_TYPE), b""),
    Request("GET", "/no-such-path"),
]
DOWN = errors.ScorerUnavailableError("The scorer cannot be reached.")
DECLINED, APPROVED = 0.999, 0.0


@dataclass(frozen=True)
class Rig:
    """What faults are made with."""

    bundle: Bundle
    folder: Path


Happening = Callable[[Rig], list[Sample]]


def share_declined(percent: int) -> Callable[[Any], Any]:
    def answer(features: Any) -> Any:
        scores = features[:, 0] * 0 + APPROVED
        scores[: len(scores) * percent // 100] = DECLINED
        return scores

    return answer


def does_not_start(rig: Rig) -> list[Sample]:
    for environment in ({"MODEL_BUNDLE": "/nonexistent", "API_KEY": "k"}, {}):
        assert run_python("-c", "import handlers.api; handlers.api.handler", **environment).returncode != 0
    failed = sample("AWS/Lambda", "Errors", 1, FunctionName="ApiFunction")
    return [failed, failed, *gateway([502, 502], [NOT_INVOKED, NOT_INVOKED])]


def of_function(name: str, metric: str, n: int) -> list[Sample]:
    return [sample("AWS/Lambda", metric, 1, FunctionName=name)] * n


def latency(n_replies: int, milliseconds: float) -> list[Sample]:
    return [sample("AWS/ApiGateway", "Latency", milliseconds, ApiName="fraud-scoring", Stage="v1")] * n_replies


def of_machine(metric: str) -> list[Sample]:
    return [sample("AWS/States", metric, 1, StateMachineArn="JobsStateMachine")]


def of_dead_letters(n: int) -> list[Sample]:
    return [sample("AWS/SQS", "ApproximateNumberOfMessagesVisible", n, QueueName="JobsDeadLetters.QueueName")]


ON_LAMBDA: dict[str, tuple[Happening, set[str]]] = {
    "nothing": (lambda rig: [], set()),
    "healthy": (lambda rig: on_lambda(rig.bundle, share_declined(0), [PREDICT, FORTY] * 20), set()),
    "mistakes of callers": (lambda rig: on_lambda(rig.bundle, APPROVED, MISTAKES * 5), set()),
    "guessed keys": (
        lambda rig: on_lambda(rig.bundle, APPROVED, [WRONG_KEY] * 60, auth_failures_per_minute=20),
        set(),
    ),
    "scorer down": (
        lambda rig: on_lambda(rig.bundle, DOWN, [PREDICT, FORTY] * 5),
        {"ServerErrorAlarm", "ScorerErrorAlarm"},
    ),
    "scorer down, fallback": (
        lambda rig: on_lambda(rig.bundle, DOWN, [PREDICT] * 10, fallback=StaticScorer(APPROVED)),
        {"ScorerErrorAlarm"},
    ),
    "a few bad scores": (
        lambda rig: on_lambda(rig.bundle, 2.0, [PREDICT] * 4) + on_lambda(rig.bundle, APPROVED, [PREDICT] * 600),
        set(),
    ),
    "a bug": (lambda rig: on_lambda(rig.bundle, ZeroDivisionError(), [PREDICT] * 10), {"ServerErrorAlarm"}),
    "does not start": (does_not_start, {"ServerErrorAlarm", "FunctionErrorAlarm"}),
    "the stage is full": (lambda rig: gateway([429] * 10, [NOT_INVOKED] * 10), {"ThrottleAlarm"}),
    "Lambda is full": (lambda rig: of_function("ApiFunction", "Throttles", 10), {"ThrottleAlarm"}),
    "slow": (lambda rig: latency(950, 30) + latency(50, 2500), {"LatencyAlarm"}),
    "a cold start": (lambda rig: latency(99, 30) + latency(5, 2500), set()),
    "all declined": (lambda rig: on_lambda(rig.bundle, DECLINED, [FORTY] * 13), {"DeclineShareAlarm"}),
    "3 % declined": (lambda rig: on_lambda(rig.bundle, share_declined(3), [FORTY] * 13), {"DeclineShareAlarm"}),
    "all of a few declined": (lambda rig: on_lambda(rig.bundle, DECLINED, [FORTY] * 12), set()),
    "a job fails": (lambda rig: of_machine("ExecutionsFailed"), {"JobFailedAlarm"}),
    "a job takes too long": (lambda rig: of_machine("ExecutionsTimedOut"), {"JobFailedAlarm"}),
    "batches fail": (lambda rig: of_function("JobsWorkerFunction", "Errors", 10), {"JobsWorkerAlarm"}),
    "batches find no room": (
        lambda rig: of_function("JobsWorkerFunction", "Errors", 4) + of_function("JobsWorkerFunction", "Throttles", 6),
        {"JobsWorkerAlarm"},
    ),
    "a batch fails": (lambda rig: of_function("JobsWorkerFunction", "Errors", 3) + of_dead_letters(0), set()),
    "a dead letter": (lambda rig: of_dead_letters(1), {"JobsDeadLetterAlarm"}),
}
"""What happens, and which alarms of the template must ring for it; no other one may."""


def with_endpoint_down(rig: Rig, fallback: str) -> list[Sample]:
    observed = on_ecs(
        rig.folder,
        [SHIPPED] * 6,
        SAGEMAKER_ENDPOINT="gone",
        AWS_REGION="eu-west-1",
        SCORER_FALLBACK=fallback,
        AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=f"http://127.0.0.1:{free_port()}",
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert observed.statuses == [503 if fallback == "none" else 200] * 6
    return observed.samples


def healthy_on_ecs(rig: Rig) -> list[Sample]:
    return on_ecs(rig.folder, [SHIPPED] * 6).samples


def response_time(seconds: float) -> list[Sample]:
    name = "ApplicationLoadBalancer.LoadBalancerFullName"
    return [sample("AWS/ApplicationELB", "TargetResponseTime", seconds, LoadBalancer=name)] * 100


ON_ECS: dict[str, tuple[Happening, set[str]]] = {
    "healthy": (healthy_on_ecs, set()),
    "mistakes of callers": (lambda rig: on_ecs(rig.folder, MISTAKES).samples, set()),
    "endpoint down": (
        lambda rig: with_endpoint_down(rig, "none"),
        # Never compared with the bundle, the process is not ready either.
        {"ServerErrorAlarm", "ScorerErrorAlarm", "UnhealthyHostsAlarm"},
    ),
    "endpoint down, fallback": (lambda rig: with_endpoint_down(rig, "embedded"), {"ScorerErrorAlarm"}),
    "no task answers": (
        lambda rig: balancer(n_of_its_own=3, n_unhealthy=2) + tasks(running=0),
        {"ServerErrorAlarm", "UnhealthyHostsAlarm", "MissingTasksAlarm"},
    ),
    "a task is missing": (lambda rig: balancer([200]) + tasks(running=1), {"MissingTasksAlarm"}),
    "nobody counts tasks": (lambda rig: balancer([200]), {"MissingTasksAlarm"}),
    "slow": (lambda rig: response_time(0.6) + tasks(), {"LatencyAlarm"}),
    "quick": (lambda rig: response_time(0.03) + tasks(), set()),
    "busy": (lambda rig: cpu(95) + tasks(), {"CpuAlarm"}),
}


def of_endpoint(metric: str, value: float, n: int = 1) -> list[Sample]:
    return [sample("AWS/SageMaker", metric, value, EndpointName="fraud-scoring", VariantName="AllTraffic")] * n


ON_SAGEMAKER: dict[str, tuple[Happening, set[str]]] = {
    "nothing": (lambda rig: [], set()),
    "healthy": (lambda rig: of_endpoint("ModelLatency", 4_000, 50) + of_endpoint("OverheadLatency", 9_000, 50), set()),
    "container fails": (lambda rig: of_endpoint("Invocation5XXErrors", 1, 5), {"ServerErrorAlarm"}),
    "rows are refused": (lambda rig: of_endpoint("Invocation4XXErrors", 1, 5), {"ClientErrorAlarm"}),
    "model slow": (lambda rig: of_endpoint("ModelLatency", 600_000, 50), {"ModelLatencyAlarm"}),
    "starts cold": (lambda rig: of_endpoint("OverheadLatency", 900_000, 50), {"OverheadLatencyAlarm"}),
}

HAPPENINGS = {
    (target, name): happening
    for target, table in (("lambda", ON_LAMBDA), ("ecs", ON_ECS), ("sagemaker", ON_SAGEMAKER))
    for name, happening in table.items()
}
LONGEST = 10
"""Periods: no alarm looks at more of them."""
QUIET: dict[str, list[Sample]] = {"lambda": [], "ecs": [*balancer(), *tasks(), *cpu(40)], "sagemaker": []}


@pytest.fixture
def rig(tiny: Bundle, tmp_path: Path) -> Rig:
    return Rig(tiny, tmp_path)


@pytest.mark.parametrize(("target", "name"), HAPPENINGS)
def test_alarms_of_what_happens_ring_and_no_other(rig: Rig, target: str, name: str) -> None:
    happening, expected = HAPPENINGS[target, name]
    alarms, fault, quiet = alarms_of(target), happening(rig), QUIET[target]

    assert ringing(alarms, [fault] * LONGEST) == expected
    assert ringing(alarms, [fault] * LONGEST + [quiet] * LONGEST) == set()
    for alarm in map(alarms.get, expected):
        enough = alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
        assert state_of(alarm, [quiet] * LONGEST + [fault] * enough) == "ALARM"
        assert state_of(alarm, [quiet] * LONGEST + [fault] * (enough - 1)) == "OK"


@pytest.mark.parametrize("target", TEMPLATES)
def test_every_alarm_has_a_fault(target: str) -> None:
    rung = set.union(*(alarms for (of, _), (_, alarms) in HAPPENINGS.items() if of == target))

    assert rung == alarms_of(target).keys()


def test_share_of_declined_can_be_too_low(rig: Rig) -> None:
    approved = on_lambda(rig.bundle, APPROVED, [FORTY] * 13)
    alarm = alarms_of("lambda", DeclineAlarmLowPercent=1)["DeclineShareAlarm"]

    assert state_of(alarm, [approved]) == "ALARM"
    assert state_of(alarms_of("lambda")["DeclineShareAlarm"], [approved]) == "OK"


# What moto can do: take the alarm as AWS' API would, keep its state, and carry a message from the topic to a queue.
# It changes no state by itself and sends nothing when it does, so both are done here from what it holds of the alarm.


class Account:
    """A simulated account with the topic of the alarms, and a queue that hears of them."""

    def __init__(self) -> None:
        self.cloudwatch, self.sns, self.sqs = (
            boto3.client(name, region_name="eu-west-1") for name in ("cloudwatch", "sns", "sqs")
        )
        topic = self.sns.create_topic(Name=TOPIC.rsplit(":", 1)[1])["TopicArn"]
        assert topic == TOPIC
        self._queue = self.sqs.create_queue(QueueName="on-call")["QueueUrl"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["Attributes"]["QueueArn"])

    def change(self, name: str, state: str) -> None:
        """Let an alarm change its state, and tell those whom it names for that."""
        self.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="drill")
        [alarm] = self.cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        assert alarm["ActionsEnabled"]
        for topic in alarm["AlarmActions" if alarm["StateValue"] == "ALARM" else "OKActions"]:
            message = {"AlarmName": name, "NewStateValue": alarm["StateValue"]}
            self.sns.publish(TopicArn=topic, Message=json.dumps(message))

    def heard(self) -> list[tuple[str, str]]:
        received = self.sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages", [])
        messages = [json.loads(json.loads(each["Body"])["Message"]) for each in received]
        return [(each["AlarmName"], each["NewStateValue"]) for each in messages]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield Account()


@pytest.mark.parametrize(("target", "name"), [(target, name) for target in TEMPLATES for name in alarms_of(target)])
def test_alarm_is_one_that_the_api_takes_and_tells_its_topic_of_both_ends(
    account: Account, target: str, name: str
) -> None:
    definition = alarms_of(target)[name]
    account.cloudwatch.put_metric_alarm(**definition)

    for state in ("ALARM", "OK"):
        account.change(definition["AlarmName"], state)
        assert account.heard() == [(definition["AlarmName"], state)]
