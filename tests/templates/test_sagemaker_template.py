"""sagemaker/template.yaml keeps our own rules, and each rule catches the fault that it is there for."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.repository import ROOT
from tests.templates.cloudformation import LONGEST_INLINE_TEMPLATE, Template, load_template
from tests.templates.sagemaker_rules import RULES, broken_rules

TEMPLATE = ROOT / "sagemaker" / "template.yaml"


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template(TEMPLATE)


def test_template_keeps_every_rule(template: Template) -> None:
    assert broken_rules(template) == {}


def test_template_can_be_passed_inline_and_has_no_anchors() -> None:
    assert len(TEMPLATE.read_bytes()) <= LONGEST_INLINE_TEMPLATE
    tokens = yaml.scan(TEMPLATE.read_text())
    assert not [token for token in tokens if isinstance(token, (yaml.AnchorToken, yaml.AliasToken))]


def test_every_parameter_is_used_and_shown(template: Template) -> None:
    text = json.dumps({key: template[key] for key in ("Rules", "Conditions", "Resources", "Outputs")})
    parameters = set(template["Parameters"])
    assert {name for name in parameters if f'{{"Ref": "{name}"}}' not in text and f"${{{name}}}" not in text} == set()
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(parameters)


@pytest.mark.parametrize(
    ("uri", "is_allowed"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5", True),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:3.2-0", True),
        (f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost@sha256:{'0' * 64}", True),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:1.7-1", False),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:latest", False),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/another:3.0-5", False),
    ],
)
def test_image_is_one_that_reads_the_booster(template: Template, uri: str, is_allowed: bool) -> None:
    assert bool(re.fullmatch(template["Parameters"]["ImageUri"]["AllowedPattern"], uri)) == is_allowed


def test_script_knows_the_parameters_of_the_template(template: Template) -> None:
    needed = {name for name, parameter in template["Parameters"].items() if "Default" not in parameter}
    assert needed == {"ImageUri", "ModelBucket", "ModelDigest"}


# --- Seeded faults


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def statement(template: Template, index: int) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "ExecutionRole")["Policies"][0]["PolicyDocument"]["Statement"][index]
    return found


def rollout(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "Endpoint")["DeploymentConfig"]["Fn::If"][1]
    return found


SEEDS: dict[str, tuple[str, Callable[[Template], object]]] = {
    "any action": ("permissions_are_narrow", lambda t: statement(t, 0).update(Action="s3:*")),
    "any resource": ("permissions_are_narrow", lambda t: statement(t, 0).update(Resource="*")),
    "any key": (
        "permissions_are_narrow",
        lambda t: properties(t, "KeyPolicy")["PolicyDocument"]["Statement"][0].update(Resource="*"),
    ),
    "any account": (
        "role_is_for_this_account",
        lambda t: properties(t, "ExecutionRole")["AssumeRolePolicyDocument"]["Statement"][0].pop("Condition"),
    ),
    "whole bucket": (
        "role_reads_models_and_nothing_else",
        lambda t: statement(t, 0).update(Resource={"Fn::Sub": "arn:aws:s3:::${ModelBucket}/*"}),
    ),
    "plain capture": (
        "captured_data_are_encrypted",
        lambda t: properties(t, "EndpointConfig")["DataCaptureConfig"]["Fn::If"][1].pop("KmsKeyId"),
    ),
    "capture without rule": ("captured_data_are_encrypted", lambda t: t.pop("Rules")),
    "no isolation": (
        "containers_on_instances_are_isolated",
        lambda t: properties(t, "Model").update(EnableNetworkIsolation=False),
    ),
    "one place for all models": (
        "model_lies_under_its_digest",
        lambda t: properties(t, "Model")["PrimaryContainer"].update(ModelDataUrl="s3://b/model.tar.gz"),
    ),
    "named configuration": (
        "new_model_makes_a_new_configuration",
        lambda t: properties(t, "EndpointConfig").update(EndpointConfigName="fraud"),
    ),
    "no way back": ("rollout_goes_back_on_alarm", lambda t: rollout(t).pop("AutoRollbackConfiguration")),
    "all at once": ("rollout_goes_back_on_alarm", lambda t: properties(t, "Endpoint").pop("DeploymentConfig")),
    "no time for alarms": (
        "rollout_goes_back_on_alarm",
        lambda t: rollout(t)["BlueGreenUpdatePolicy"].update(TerminationWaitInSeconds=0),
    ),
    "fixed fleet": ("instances_scale", lambda t: t["Resources"].pop("ScalableTarget")),
    "scaling before the endpoint": ("instances_scale", lambda t: t["Resources"]["ScalableTarget"].pop("DependsOn")),
    "unwatched overhead": ("alarms_watch_errors_and_latency", lambda t: t["Resources"].pop("OverheadLatencyAlarm")),
    "silent alarm": (
        "alarms_watch_errors_and_latency",
        lambda t: [properties(t, "ServerErrorAlarm").pop(name) for name in ("AlarmActions", "OKActions")],
    ),
}


@pytest.mark.parametrize(("rule", "seed"), SEEDS.values(), ids=SEEDS)
def test_seeded_fault_is_caught(template: Template, rule: str, seed: Callable[[Template], object]) -> None:
    broken = copy.deepcopy(template)
    seed(broken)
    assert rule in broken_rules(broken)


def test_every_rule_has_a_fault_that_it_catches() -> None:
    assert {rule for rule, _ in SEEDS.values()} == {rule.__name__ for rule in RULES}
