"""The alarms as the templates define them, with the default of every parameter, in the form of `PutMetricAlarm`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.repository import ROOT
from tests.templates.cloudformation import load_template, resources_of

STACK = "fraud-scoring"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
TEMPLATES = {
    "lambda": load_template(ROOT / "template.yaml"),
    "ecs": load_template(ROOT / "ecs" / "template.yaml"),
    "sagemaker": load_template(ROOT / "sagemaker" / "template.yaml"),
}

Alarm = dict[str, Any]


def alarms_of(target: str, **parameters: Any) -> dict[str, Alarm]:
    """Return the alarms of a template by their logical ids, where `parameters` differ from the defaults."""
    found = resources_of(TEMPLATES[target], "AWS::CloudWatch::Alarm")
    known = _known(target, parameters)
    alarms = {name: {"AlarmName": name, **resolved(each["Properties"], known)} for name, each in found.items()}
    for alarm in alarms.values():
        alarm["Threshold"] = float(alarm["Threshold"])
    return alarms


def service_name(target: str) -> str:
    """Return what the template tells the service to call itself in its metrics."""
    resources = TEMPLATES[target]["Resources"]
    if target == "lambda":
        value = resources["ApiFunction"]["Properties"]["Environment"]["Variables"]["SERVICE_NAME"]
    else:
        [container] = resources["TaskDefinition"]["Properties"]["ContainerDefinitions"]
        [value] = [each["Value"] for each in container["Environment"] if each["Name"] == "SERVICE_NAME"]
    return str(resolved(value, _known(target, {})))


def _known(target: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: each.get("Default", name) for name, each in TEMPLATES[target]["Parameters"].items()}
    fixed = {"AWS::StackName": STACK, "AWS::Region": "eu-west-1", "AlarmTopic": TOPIC, "AlarmTopicArn": TOPIC}
    return {**defaults, **fixed, **parameters}


def resolved(value: Any, known: Mapping[str, Any]) -> Any:
    """Return `value` as CloudFormation would pass it on; each resource is named as in the template.

    Of an `Fn::If`, the first side is taken.
    """
    if isinstance(value, list):
        return [resolved(each, known) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": name}:
            return known.get(name, name)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}.{attribute}"
        case {"Fn::If": [_, first, _]}:
            return resolved(first, known)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(known.get(found[1], found[1])), text)
    return {key: resolved(each, known) for key, each in value.items()}
