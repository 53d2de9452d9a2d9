"""The jobs part of template.yaml keeps our own rules, and each rule catches the fault that it is there for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.repository import ROOT
from tests.templates.cloudformation import Template, load_template
from tests.templates.jobs_rules import RULES, broken_rules
from tests.templates.test_lambda_template import expand


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def allow(template: Template, role: str, action: str, resource: Any) -> None:
    statements = properties(template, role)["Policies"][0]["PolicyDocument"]["Statement"]
    statements.append({"Effect": "Allow", "Action": action, "Resource": resource})


def lifecycle(template: Template) -> list[Any]:
    rules: list[Any] = properties(template, "JobsBucket")["LifecycleConfiguration"]["Rules"]
    return rules


def statements(template: Template, policy: str) -> list[Any]:
    found: list[Any] = properties(template, policy)["PolicyDocument"]["Statement"]
    return found


OTHER_MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:other"
SEEDED: dict[str, tuple[str, Callable[[Template], Any]]] = {
    "jobs by default": ("there_only_on_demand", lambda t: t["Parameters"]["Jobs"].update(Default="true")),
    "bucket without jobs": ("there_only_on_demand", lambda t: t["Resources"]["JobsTopic"].pop("Condition")),
    "public bucket": (
        "bucket_is_private",
        lambda t: properties(t, "JobsBucket")["PublicAccessBlockConfiguration"].update(BlockPublicPolicy=False),
    ),
    "bucket in the clear": ("bucket_is_private", lambda t: properties(t, "JobsBucket").pop("BucketEncryption")),
    "bucket without TLS": ("bucket_is_private", lambda t: statements(t, "JobsBucketPolicy").clear()),
    "results for ever": ("bucket_forgets", lambda t: lifecycle(t).pop(4)),
    "broken-off uploads for ever": ("bucket_forgets", lambda t: lifecycle(t).pop()),
    "worker that writes uploads": (
        "objects_are_written_by_those_who_should",
        lambda t: allow(t, "JobsWorkerFunctionRole", "s3:PutObject", {"Fn::Sub": "${JobsBucket.Arn}/uploads/*"}),
    ),
    "worker that writes anywhere": (
        "objects_are_written_by_those_who_should",
        lambda t: allow(t, "JobsWorkerFunctionRole", "s3:PutObject", {"Fn::Sub": "${JobsBucket.Arn}/*"}),
    ),
    "table in the clear": (
        "table_is_encrypted_and_recoverable",
        lambda t: properties(t, "JobsTable").pop("SSESpecification"),
    ),
    "table without recovery": (
        "table_is_encrypted_and_recoverable",
        lambda t: properties(t, "JobsTable").pop("PointInTimeRecoverySpecification"),
    ),
    "table that goes with the stack": (
        "table_is_encrypted_and_recoverable",
        lambda t: t["Resources"]["JobsTable"].update(DeletionPolicy="Delete"),
    ),
    "short visibility": (
        "queue_gives_a_function_time_and_messages_a_last_place",
        lambda t: properties(t, "JobsUploads").update(VisibilityTimeout=179),
    ),
    "no dead-letter queue": (
        "queue_gives_a_function_time_and_messages_a_last_place",
        lambda t: properties(t, "JobsUploads").pop("RedrivePolicy"),
    ),
    "queue in the clear": (
        "queue_gives_a_function_time_and_messages_a_last_place",
        lambda t: properties(t, "JobsDeadLetters").pop("KmsMasterKeyId"),
    ),
    "all messages back": (
        "queue_gives_a_function_time_and_messages_a_last_place",
        lambda t: properties(t, "JobsStartFunction")["Events"]["UploadArrived"]["Properties"].pop(
            "FunctionResponseTypes"
        ),
    ),
    "queue for anybody": (
        "queue_takes_messages_of_the_bucket_only",
        lambda t: statements(t, "JobsQueuePolicy")[0].pop("Condition"),
    ),
    "any bucket": (
        "queue_takes_messages_of_the_bucket_only",
        lambda t: properties(t, "JobsUploadArrived")["EventPattern"]["detail"].pop("bucket"),
    ),
    "any machine": (
        "this_machine_alone_is_started",
        lambda t: allow(t, "JobsStartFunctionRole", "states:StartExecution", {"Fn::Sub": OTHER_MACHINE}),
    ),
    "any function": (
        "machine_invokes_its_steps_only",
        lambda t: allow(t, "JobsStateMachineRole", "lambda:InvokeFunction", [{"Fn::GetAtt": ["ApiFunction", "Arn"]}]),
    ),
    "data in the machine's log": (
        "machine_is_logged_without_data_and_traced",
        lambda t: properties(t, "JobsStateMachine")["Logging"].update(IncludeExecutionData=True),
    ),
    "machine not traced": (
        "machine_is_logged_without_data_and_traced",
        lambda t: properties(t, "JobsStateMachine").pop("Tracing"),
    ),
    "placeholder without a value": (
        "definition_has_all_that_it_asks_for",
        lambda t: properties(t, "JobsStateMachine")["DefinitionSubstitutions"].pop("Bucket"),
    ),
    "function that outlasts its step": (
        "steps_outlast_their_functions",
        lambda t: properties(t, "JobsWorkerFunction").update(Timeout=900),
    ),
    "timeouts not noted": (
        "ends_are_noted_and_told",
        lambda t: properties(t, "JobsExecutionFailed")["EventPattern"]["detail"].update(status=["FAILED"]),
    ),
    "anybody notes failures": (
        "ends_are_noted_and_told",
        lambda t: properties(t, "JobsFailPermission").pop("SourceArn"),
    ),
    "topic for anybody": (
        "ends_are_noted_and_told",
        lambda t: statements(t, "JobsTopicPolicy")[0].pop("Condition"),
    ),
    "no failure destination": (
        "ends_are_noted_and_told",
        lambda t: properties(t, "JobsFailFunction").pop("EventInvokeConfig"),
    ),
    "no alarm of dead letters": ("alarms_watch_jobs", lambda t: t["Resources"].pop("JobsDeadLetterAlarm")),
    "no alarm of failed jobs": ("alarms_watch_jobs", lambda t: t["Resources"].pop("JobFailedAlarm")),
    "no alarm of workers": ("alarms_watch_jobs", lambda t: t["Resources"].pop("JobsWorkerAlarm")),
    "worker's environment in the clear": (
        "functions_are_as_the_api_function",
        lambda t: properties(t, "JobsWorkerFunction").pop("KmsKeyArn"),
    ),
    "setting that is none": (
        "functions_are_as_the_api_function",
        lambda t: properties(t, "JobsPlanFunction")["Environment"]["Variables"].update(JOBS_TABEL="x"),
    ),
}


@pytest.fixture(scope="module")
def expanded() -> dict[str, Template]:
    """The template under "", and each spoiled one under the name of its fault: expanded in one go."""
    source = load_template(ROOT / "template.yaml")
    spoiled = {"": copy.deepcopy(source)}
    for name, (_, spoil) in SEEDED.items():
        spoil(spoiled.setdefault(name, copy.deepcopy(source)))
        assert spoiled[name] != source, name
    return dict(zip(spoiled, expand(list(spoiled.values())), strict=True))


def test_template_keeps_every_rule(expanded: dict[str, Template]) -> None:
    assert broken_rules(expanded[""]) == {}


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_fault_is_caught(expanded: dict[str, Template], name: str) -> None:
    assert SEEDED[name][0] in broken_rules(expanded[name])


def test_every_rule_has_a_fault_that_it_catches() -> None:
    assert {rule for rule, _ in SEEDED.values()} == set(RULES)
