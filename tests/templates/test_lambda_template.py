"""template.yaml, as AWS expands it, keeps our own rules, and each rule catches the fault that it is there for."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.repository import ROOT
from tests.templates.cloudformation import Template, load_template
from tests.templates.lambda_rules import RULES, broken_rules
from tests.tools import tool

TEMPLATE = ROOT / "template.yaml"
EXPAND_S = 120


def expand(templates: list[Template]) -> list[Template]:
    """Return the templates as AWS expands them."""
    done = subprocess.run(  # noqa: S603 - our own script
        [tool("sam") / "bin" / "python", ROOT / "tests" / "templates" / "expand_sam.py"],
        input=json.dumps(templates),
        capture_output=True,
        text=True,
        timeout=EXPAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expanded: list[Template] = json.loads(done.stdout)
    return expanded


@pytest.fixture(scope="module")
def source() -> Template:
    return load_template(TEMPLATE)


@pytest.fixture(scope="module")
def expanded(source: Template) -> dict[str, Template]:
    """The template under "", and each spoiled one under the name of its fault: expanded in one go."""
    spoiled = {"": copy.deepcopy(source)}
    for name, (_, spoil) in SEEDED.items():
        spoil(spoiled.setdefault(name, copy.deepcopy(source)))
        assert spoiled[name] != source, name
    return dict(zip(spoiled, expand(list(spoiled.values())), strict=True))


def test_template_keeps_every_rule(expanded: dict[str, Template]) -> None:
    assert broken_rules(expanded[""]) == {}


def test_template_has_no_anchors_which_cloudformation_does_not_read() -> None:
    tokens = yaml.scan(TEMPLATE.read_text())

    assert not [token for token in tokens if isinstance(token, (yaml.AnchorToken, yaml.AliasToken))]


def test_every_parameter_is_used_and_shown(source: Template) -> None:
    text = json.dumps({key: source[key] for key in ("Conditions", "Resources", "Outputs")})
    parameters = set(source["Parameters"])
    assert {name for name in parameters if f'{{"Ref": "{name}"}}' not in text and f"${{{name}}}" not in text} == set()
    groups = source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(shown) == sorted(parameters)


def test_dashboards_are_documents_and_show_every_alarm(source: Template) -> None:
    shown = []
    for name in ("Dashboard", "JobsDashboard"):
        text = source["Resources"][name]["Properties"]["DashboardBody"]["Fn::Sub"]
        numbers = text.replace("${DeclineAlarmLowPercent}", "0").replace("${DeclineAlarmHighPercent}", "2")
        shown += json.loads(numbers)["widgets"][0]["properties"]["alarms"]

    alarms = [name for name, each in source["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert sorted(shown) == sorted(f"${{{name}.Arn}}" for name in alarms)


def test_curl_of_the_outputs_posts_a_file_that_is_there(source: Template) -> None:
    command = source["Outputs"]["Curl"]["Value"]["Fn::Sub"][0]

    assert "@events/predict_fraud.json" in command
    assert (ROOT / "events" / "predict_fraud.json").is_file()
    assert source["Outputs"]["Url"]["Value"]["Fn::Sub"] + "/predict" in command


# --- Seeded faults


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def variables(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "ApiFunction")["Environment"]["Variables"]
    return found


def statements(template: Template) -> list[Any]:
    found: list[Any] = properties(template, "ApiFunctionRole")["Policies"][0]["PolicyDocument"]["Statement"]
    return found


def allow(template: Template, action: str, resource: Any) -> None:
    statements(template).append({"Effect": "Allow", "Action": action, "Resource": resource})


def method_settings(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "Api")["MethodSettings"][0]
    return found


def topic_statements(template: Template) -> list[Any]:
    found: list[Any] = properties(template, "AlarmTopicPolicy")["PolicyDocument"]["Statement"]
    return found


def method_of(template: Template, path: str) -> dict[str, Any]:
    found: dict[str, Any] = properties(template, "Api")["DefinitionBody"]["paths"][path][
        "x-amazon-apigateway-any-method"
    ]
    return found


def log_the(template: Template, value: str) -> None:
    log = properties(template, "Api")["AccessLogSetting"]
    log["Format"] = log["Format"].replace("$context.resourcePath", value)


def share_a_role(template: Template) -> None:
    template["Resources"]["OtherFunction"] = copy.deepcopy(template["Resources"]["ApiFunction"])


def ship_always(template: Template) -> None:
    function = properties(template, "ApiFunction")
    function["Layers"] = function["Layers"]["Fn::If"][1]


def call_the_latest(template: Template) -> None:
    integration = method_of(template, "/{proxy+}")["x-amazon-apigateway-integration"]
    integration["uri"]["Fn::Sub"] = integration["uri"]["Fn::Sub"].replace(":live", "")


def open_the_key(template: Template) -> None:
    for statement in properties(template, "Key")["KeyPolicy"]["Statement"]:
        statement.pop("Condition", None)


PUBLIC = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": {"Ref": "AlarmTopic"}}
SEEDED: dict[str, tuple[str, Callable[[Template], Any]]] = {
    "plaintext secret": ("no_secret_in_the_environment", lambda t: variables(t).update(API_KEY="alpha")),
    "secret resolved into the environment": (
        "no_secret_in_the_environment",
        lambda t: variables(t).update(API_KEY="{{resolve:secretsmanager:keys:SecretString}}"),
    ),
    "token among the variables": ("no_secret_in_the_environment", lambda t: variables(t).update(GIT_TOKEN="alpha")),
    "secret in place of its ARN": (
        "no_secret_in_the_environment",
        lambda t: variables(t).update(API_KEYS_SECRET_ARN="alpha"),
    ),
    "environment in the clear": ("environment_is_encrypted", lambda t: properties(t, "ApiFunction").pop("KmsKeyArn")),
    "setting that is none": ("environment_has_known_settings", lambda t: variables(t).update(LOGLEVEL="INFO")),
    "function outlives the gateway": (
        "function_ends_before_the_gateway_gives_up",
        lambda t: properties(t, "ApiFunction").update(Timeout=30),
    ),
    "function shorter than a batch": (
        "function_ends_before_the_gateway_gives_up",
        lambda t: properties(t, "ApiFunction").pop("Timeout"),
    ),
    "function not traced": ("function_is_traced", lambda t: properties(t, "ApiFunction").pop("Tracing")),
    "ONNX Runtime for SageMaker": ("embedded_layer_is_left_out_without_a_model", ship_always),
    "stale version": (
        "new_parameters_make_a_new_version",
        lambda t: properties(t, "ApiFunction").pop("VersionDescription"),
    ),
    "unpublished version": ("gateway_calls_the_published_version", call_the_latest),
    "every action": ("roles_may_what_they_need", lambda t: allow(t, "*", "arn:aws:s3:::b")),
    "every action of a service": ("roles_may_what_they_need", lambda t: allow(t, "kms:*", {"Ref": "Key"})),
    "every resource": ("roles_may_what_they_need", lambda t: allow(t, "s3:GetObject", "*")),
    "pass any role": ("roles_may_what_they_need", lambda t: allow(t, "iam:PassRole", "*")),
    "all but one action": (
        "roles_may_what_they_need",
        lambda t: statements(t).append({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}),
    ),
    "any secret": (
        "function_reads_one_secret_and_calls_one_endpoint",
        lambda t: allow(t, "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:o"),
    ),
    "any endpoint": (
        "function_reads_one_secret_and_calls_one_endpoint",
        lambda t: allow(t, "sagemaker:InvokeEndpoint", "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/*"),
    ),
    "one role for two functions": ("every_function_has_a_role_of_its_own", share_a_role),
    "role for any account": (
        "every_function_has_a_role_of_its_own",
        lambda t: properties(t, "ApiFunctionRole")["AssumeRolePolicyDocument"]["Statement"][0].update(
            Principal={"AWS": "*"}
        ),
    ),
    "any API may invoke": ("gateway_alone_may_invoke", lambda t: properties(t, "ApiPermission").pop("SourceArn")),
    "anybody may invoke": ("gateway_alone_may_invoke", lambda t: properties(t, "ApiPermission").update(Principal="*")),
    "no throttling": ("stage_limits_the_rate", lambda t: method_settings(t).pop("ThrottlingRateLimit")),
    "throttling of one path": ("stage_limits_the_rate", lambda t: method_settings(t).update(ResourcePath="/predict")),
    "caching on": ("scores_are_not_cached", lambda t: properties(t, "Api").update(CacheClusterEnabled=True)),
    "caching of methods": ("scores_are_not_cached", lambda t: method_settings(t).update(CachingEnabled=True)),
    "stage not traced": ("stage_is_traced", lambda t: properties(t, "Api").pop("TracingEnabled")),
    "no access log": (
        "access_is_logged_without_what_callers_write",
        lambda t: properties(t, "Api").pop("AccessLogSetting"),
    ),
    "key in the access log": (
        "access_is_logged_without_what_callers_write",
        lambda t: log_the(t, "$context.identity.apiKey"),
    ),
    "path in the access log": ("access_is_logged_without_what_callers_write", lambda t: log_the(t, "$context.path")),
    "bodies in the gateway's log": (
        "bodies_are_not_logged",
        lambda t: method_settings(t).update(DataTraceEnabled=True),
    ),
    "bodies as text": ("bodies_come_as_bytes", lambda t: properties(t, "Api").pop("BinaryMediaTypes")),
    "gateway's own answer to throttling": (
        "gateway_answers_with_our_problems",
        lambda t: properties(t, "Api")["GatewayResponses"].pop("THROTTLED"),
    ),
    "answer of another shape": (
        "gateway_answers_with_our_problems",
        lambda t: properties(t, "Api")["GatewayResponses"]["DEFAULT_5XX"]["ResponseTemplates"].update(
            {"application/json": '{"message": "Internal server error"}'}
        ),
    ),
    "key asked for on health": (
        "plan_asks_for_the_key_but_not_on_health",
        lambda t: method_of(t, "/health").update(security=[{"gateway_key": []}]),
    ),
    "key of the plan in plain text": (
        "plan_asks_for_the_key_but_not_on_health",
        lambda t: properties(t, "GatewayKey").update(Value="alpha"),
    ),
    "no retention": ("logs_are_kept_and_encrypted", lambda t: properties(t, "AccessLogs").pop("RetentionInDays")),
    "logs in the clear": ("logs_are_kept_and_encrypted", lambda t: properties(t, "ApiFunctionLogs").pop("KmsKeyId")),
    "log group of Lambda's own": (
        "logs_are_kept_and_encrypted",
        lambda t: properties(t, "ApiFunction").pop("LoggingConfig"),
    ),
    "alarms in the clear": ("alarms_reach_somebody", lambda t: properties(t, "AlarmTopic").pop("KmsMasterKeyId")),
    "key that CloudWatch may not use": (
        "alarms_reach_somebody",
        lambda t: properties(t, "AlarmTopic").update(KmsMasterKeyId="alias/aws/sns"),
    ),
    "alarm that tells nobody": ("alarms_reach_somebody", lambda t: properties(t, "LatencyAlarm").pop("AlarmActions")),
    "alarms by plain HTTP": (
        "alarms_reach_somebody",
        lambda t: properties(t, "AlarmEmailSubscription").update(Protocol="http"),
    ),
    "public topic": ("only_alarms_are_published_and_only_by_tls", lambda t: topic_statements(t).append(PUBLIC)),
    "topic without TLS": ("only_alarms_are_published_and_only_by_tls", lambda t: topic_statements(t).pop()),
    "no alarm of throttling": ("alarms_watch_what_matters", lambda t: t["Resources"].pop("ThrottleAlarm")),
    "mean in place of the slowest": (
        "alarms_watch_what_matters",
        lambda t: properties(t, "LatencyAlarm").update(ExtendedStatistic="p50"),
    ),
    "key for every account": ("key_is_used_by_this_account_only", open_the_key),
    "key that never rotates": (
        "key_is_used_by_this_account_only",
        lambda t: properties(t, "Key").update(EnableKeyRotation=False),
    ),
    "key in the template": (
        "secret_is_made_up_by_aws",
        lambda t: properties(t, "ApiKeysSecret").update(SecretString="alpha"),
    ),
    "log group that says nothing of its end": (
        "what_is_kept_says_so",
        lambda t: t["Resources"]["AccessLogs"].pop("DeletionPolicy"),
    ),
}


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_fault_is_caught(expanded: dict[str, Template], name: str) -> None:
    assert SEEDED[name][0] in broken_rules(expanded[name])


def test_every_rule_has_a_fault_that_it_catches() -> None:
    assert {rule for rule, _ in SEEDED.values()} == set(RULES)
