"""What must hold for `sagemaker/template.yaml` beyond what cfn-lint and checkov know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.templates.cloudformation import Template, items_of, resources_of

Rule = Callable[[Template], Iterator[str]]

ON_EVERY_RESOURCE = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}
"""AWS knows no resources for these."""
ALARMS_OF = {"Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency", "OverheadLatency"}
NO_VALUE = {"Ref": "AWS::NoValue"}


def _only(template: Template, kind: str) -> dict[str, Any]:
    [resource] = resources_of(template, kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def _statements(template: Template) -> Iterator[dict[str, Any]]:
    documents = [
        *(
            policy["PolicyDocument"]
            for role in resources_of(template, "AWS::IAM::Role").values()
            for policy in items_of(role["Properties"].get("Policies", []))
        ),
        *(policy["Properties"]["PolicyDocument"] for policy in resources_of(template, "AWS::IAM::Policy").values()),
    ]
    for document in documents:
        yield from items_of(document["Statement"])


def permissions_are_narrow(template: Template) -> Iterator[str]:
    for statement in _statements(template):
        actions = items_of(statement["Action"])
        if any("*" in action for action in actions):
            yield f"{', '.join(actions)}: an action is a wildcard"
        if "*" in items_of(statement["Resource"]) and not set(actions) <= ON_EVERY_RESOURCE:
            yield f"{', '.join(actions)}: on every resource"


def role_is_for_this_account(template: Template) -> Iterator[str]:
    for statement in items_of(_only(template, "AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"]):
        if "aws:SourceAccount" not in json.dumps(statement.get("Condition", {})):
            yield "the service may take the role on behalf of other accounts"


def role_reads_models_and_nothing_else(template: Template) -> Iterator[str]:
    for statement in _statements(template):
        if "s3:GetObject" in items_of(statement["Action"]):
            for resource in items_of(statement["Resource"]):
                if "${ModelBucket}/${ModelPrefix}/" not in json.dumps(resource):
                    yield f"the role reads {json.dumps(resource)}"


def captured_data_are_encrypted(template: Template) -> Iterator[str]:
    for capture in items_of(_only(template, "AWS::SageMaker::EndpointConfig").get("DataCaptureConfig", NO_VALUE)):
        if capture.get("KmsKeyId") != {"Ref": "KmsKeyArn"}:
            yield "captured transactions are not encrypted with a key of the owner's"
    if "KmsKeyArn" not in json.dumps(template.get("Rules", {})):
        yield "no rule asks for the key"


def containers_on_instances_are_isolated(template: Template) -> Iterator[str]:
    expected = {"Fn::If": ["IsServerless", NO_VALUE, True]}
    if _only(template, "AWS::SageMaker::Model").get("EnableNetworkIsolation") != expected:
        yield "the container has a network"


def model_lies_under_its_digest(template: Template) -> Iterator[str]:
    where = json.dumps(_only(template, "AWS::SageMaker::Model")["PrimaryContainer"]["ModelDataUrl"])
    if "${ModelDigest}" not in where:
        yield f"{where}: another model would not be noticed"


def new_model_makes_a_new_configuration(template: Template) -> Iterator[str]:
    for kind, name in (("Model", "ModelName"), ("EndpointConfig", "EndpointConfigName")):
        if name in _only(template, f"AWS::SageMaker::{kind}"):
            yield f"{kind} has a name, and could not be replaced"


def rollout_goes_back_on_alarm(template: Template) -> Iterator[str]:
    alarms = set(resources_of(template, "AWS::CloudWatch::Alarm"))
    for rollout in items_of(_only(template, "AWS::SageMaker::Endpoint").get("DeploymentConfig", NO_VALUE)):
        if rollout.get("BlueGreenUpdatePolicy", {}).get("TerminationWaitInSeconds", 0) < 300:
            yield "the old fleet is gone before an alarm could go off"
        watched = {
            alarm["AlarmName"]["Ref"] for alarm in rollout.get("AutoRollbackConfiguration", {}).get("Alarms", [])
        }
        if len(watched & alarms) < 3:
            yield "a bad model is not rolled back by the alarms of errors and latency"
        return
    yield "a new model replaces the old one at once"


def instances_scale(template: Template) -> Iterator[str]:
    targets = resources_of(template, "AWS::ApplicationAutoScaling::ScalableTarget")
    if [target.get("Condition") for target in targets.values()] != ["IsInstance"]:
        yield "the number of instances is fixed"
    elif "Endpoint" not in items_of(next(iter(targets.values())).get("DependsOn", [])):
        yield "auto scaling is set up before there is an endpoint"


def alarms_watch_errors_and_latency(template: Template) -> Iterator[str]:
    text = {name: json.dumps(alarm) for name, alarm in resources_of(template, "AWS::CloudWatch::Alarm").items()}
    for metric in sorted(ALARMS_OF):
        if not any(f'"{metric}"' in alarm for alarm in text.values()):
            yield f"nothing watches {metric}"
    for name, alarm in text.items():
        if "AlarmTopicArn" not in alarm:
            yield f"{name} tells nobody"


RULES: tuple[Rule, ...] = (
    permissions_are_narrow,
    role_is_for_this_account,
    role_reads_models_and_nothing_else,
    captured_data_are_encrypted,
    containers_on_instances_are_isolated,
    model_lies_under_its_digest,
    new_model_makes_a_new_configuration,
    rollout_goes_back_on_alarm,
    instances_scale,
    alarms_watch_errors_and_latency,
)


def broken_rules(template: Template) -> dict[str, list[str]]:
    """Return what is wrong, by the rule that says so."""
    found = {rule.__name__: list(rule(template)) for rule in RULES}
    return {name: faults for name, faults in found.items() if faults}
