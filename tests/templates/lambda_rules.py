"""What must hold of template.yaml, as AWS expands it, and what no linter knows: each rule yields what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from core.api.errors import PROBLEM_JSON, PROBLEM_TYPE
from core.settings import Settings
from tests.templates.cloudformation import Template, alternatives, items_of, resources_of, watched_metrics

Rule = Callable[[Template], Iterator[str]]

SECRET_NAME = re.compile(r"SECRET|KEY|TOKEN|PASSWORD")
SECRET_ARNS = [{"Ref": "ApiKeysSecret"}, {"Ref": "ApiKeysSecretArn"}]
GATEWAY_TIMEOUT_S = 29
LONGEST_REQUEST_S = 20
"""A batch's deadline."""
NAMELESS = {
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"),
    *(f"logs:{action}LogDelivery" for action in ("Create", "Get", "Update", "Delete")),
    *("logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups"),
}
"""Actions that have no resource to name."""
NAMED = re.compile(
    r"\$\{JobsBucket\.Arn\}/[a-z]+/\*"
    r"|arn:\$\{AWS::Partition\}:s3:::\$\{JobsInputBucket\}/\*"
    r"|arn:\$\{AWS::Partition\}:states:\$\{AWS::Region\}:\$\{AWS::AccountId\}"
    r":execution:\$\{AWS::StackName\}-score-job(/Batches)?:\*"
)
"""Resources that are many by their nature: objects below a prefix, executions of one machine."""
PROBLEM_STATUSES = {
    "BAD_REQUEST_BODY": 400,
    "UNAUTHORIZED": 401,
    "INVALID_API_KEY": 401,
    "ACCESS_DENIED": 403,
    "MISSING_AUTHENTICATION_TOKEN": 404,
    "RESOURCE_NOT_FOUND": 404,
    "REQUEST_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "THROTTLED": 429,
    "QUOTA_EXCEEDED": 429,
    "INTEGRATION_TIMEOUT": 504,
    "DEFAULT_4XX": 400,
    "DEFAULT_5XX": 500,
}


def only(template: Template, kind: str) -> dict[str, Any]:
    [resource] = resources_of(template, kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def _function(template: Template) -> dict[str, Any]:
    properties: dict[str, Any] = template["Resources"]["ApiFunction"]["Properties"]
    return properties


def _published(template: Template, kind: str) -> dict[str, Any]:
    """Return what SAM adds for the versions of the function."""
    resources = resources_of(template, kind)
    [name] = [name for name in resources if name.startswith("ApiFunction")]
    properties: dict[str, Any] = resources[name]["Properties"]
    return properties


def statements_of(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, role in resources_of(template, "AWS::IAM::Role").items():
        for policy in items_of(role["Properties"].get("Policies", [])):
            for statement in items_of(policy["PolicyDocument"]["Statement"]):
                yield name, statement
    for name, policy in resources_of(template, "AWS::IAM::RolePolicy").items():
        for statement in items_of(policy["Properties"]["PolicyDocument"]["Statement"]):
            yield name, statement


# --- Function


def no_secret_in_the_environment(template: Template) -> Iterator[str]:
    for name, value in _function(template)["Environment"]["Variables"].items():
        if not SECRET_NAME.search(name):
            continue
        is_arn = name.endswith("_ARN") and all(side in SECRET_ARNS for side in alternatives(value))
        if value != "" and not is_arn:
            yield f"{name} can be read by whoever may look at the function"


def environment_is_encrypted(template: Template) -> Iterator[str]:
    if _function(template).get("KmsKeyArn") != {"Fn::GetAtt": ["Key", "Arn"]}:
        yield "the environment is not encrypted with the stack's key"


def environment_has_known_settings(template: Template) -> Iterator[str]:
    known = {name.upper() for name in Settings.model_fields}
    for name in _function(template)["Environment"]["Variables"]:
        if name not in known:
            yield f"{name} is no setting"


def function_ends_before_the_gateway_gives_up(template: Template) -> Iterator[str]:
    timeout_s = _function(template).get("Timeout", 3)
    if not LONGEST_REQUEST_S < timeout_s < GATEWAY_TIMEOUT_S:
        yield f"the function may take {timeout_s} s"


def function_is_traced(template: Template) -> Iterator[str]:
    if _function(template).get("TracingConfig") != {"Mode": "Active"}:
        yield "the function is not traced"


def embedded_layer_is_left_out_without_a_model(template: Template) -> Iterator[str]:
    layers = _function(template)["Layers"]
    [embedded] = [n for n in resources_of(template, "AWS::Lambda::LayerVersion") if n.startswith("EmbeddedLayer")]
    always = [None, layers, layers]
    condition, with_model, without = layers.get("Fn::If", always) if isinstance(layers, dict) else always
    if condition != "RunsTheModel" or {"Ref": embedded} not in with_model or {"Ref": embedded} in without:
        yield "ONNX Runtime is shipped where nothing runs it, or not where something does"
    if len(without) != 2 or template["Resources"][embedded].get("Condition") != "RunsTheModel":
        yield "the other layers are not two, or the embedded one is always made"


def new_parameters_make_a_new_version(template: Template) -> Iterator[str]:
    described = json.dumps(_published(template, "AWS::Lambda::Version").get("Description", ""))
    own = {key: value for key, value in _function(template).items() if key != "ReservedConcurrentExecutions"}
    text = json.dumps(own)
    for name in template["Parameters"]:
        if f'{{"Ref": "{name}"}}' in text and f"${{{name}}}" not in described:
            yield f"{name} reaches the function only with the next change of code"
    if "${WarmStart}" not in described:
        yield "WarmStart reaches the function only with the next change of code"


def gateway_calls_the_published_version(template: Template) -> Iterator[str]:
    alias = _published(template, "AWS::Lambda::Alias")["Name"]
    for path, integration in _integrations(template):
        if f"${{ApiFunction.Arn}}:{alias}/invocations" not in str(integration["uri"]):
            yield f"{path} does not call the alias {alias}"


# --- Permissions


def roles_may_what_they_need(template: Template) -> Iterator[str]:
    for role, statement in statements_of(template):
        actions, resources = items_of(statement.get("Action", "*")), items_of(statement.get("Resource", "*"))
        if any("*" in action for action in actions) or {"NotAction", "NotResource"} & statement.keys():
            yield f"{role} may {actions}"
        if any(_is_wide(resource) for resource in resources) and not set(actions) <= NAMELESS:
            yield f"{role} may {actions} on {resources}"
        if {"iam:PassRole", "sts:AssumeRole"} & set(actions):
            yield f"{role} may {actions}"


def _is_wide(resource: Any) -> bool:
    text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else ""
    return "*" in json.dumps(resource) and not (isinstance(text, str) and NAMED.fullmatch(text))


def function_reads_one_secret_and_calls_one_endpoint(template: Template) -> Iterator[str]:
    for _, statement in statements_of(template):
        actions, resources = items_of(statement.get("Action", [])), items_of(statement.get("Resource", []))
        if "secretsmanager:GetSecretValue" in actions and resources != SECRET_ARNS:
            yield f"the function reads {resources}"
        if "sagemaker:InvokeEndpoint" in actions:
            text = str(resources)
            if len(resources) != 1 or not text.endswith(":endpoint/${SageMakerEndpoint}'}]"):
                yield f"the function calls {text}"


def every_function_has_a_role_of_its_own(template: Template) -> Iterator[str]:
    roles = [str(each["Properties"]["Role"]) for each in resources_of(template, "AWS::Lambda::Function").values()]
    if len(set(roles)) != len(roles):
        yield "two functions share a role"
    for name, role in resources_of(template, "AWS::IAM::Role").items():
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            service = statement["Principal"].get("Service", "")
            if service not in ("lambda.amazonaws.com", "apigateway.amazonaws.com", "states.amazonaws.com"):
                yield f"{name} can be taken on by {statement['Principal']}"


def gateway_alone_may_invoke(template: Template) -> Iterator[str]:
    for name, permission in resources_of(template, "AWS::Lambda::Permission").items():
        properties = permission["Properties"]
        if properties["FunctionName"] == {"Fn::GetAtt": ["JobsFailFunction", "Arn"]}:
            continue  # no request reaches it: `jobs_rules` says who may invoke it
        if properties["Principal"] != "apigateway.amazonaws.com":
            yield f"{name} lets {properties['Principal']} invoke"
        if "${Api}/${Stage}/" not in str(properties.get("SourceArn")):
            yield f"{name} is for any API"


# --- Gateway


def _body(template: Template) -> dict[str, Any]:
    body: dict[str, Any] = only(template, "AWS::ApiGateway::RestApi")["Body"]
    return body


def _integrations(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in _body(template)["paths"].items():
        for method in methods.values():
            yield path, method["x-amazon-apigateway-integration"]


def _method_settings(template: Template) -> dict[str, Any]:
    settings = only(template, "AWS::ApiGateway::Stage").get("MethodSettings") or [{}]
    return dict(settings[0])


def stage_limits_the_rate(template: Template) -> Iterator[str]:
    settings = _method_settings(template)
    wanted = {"ThrottlingRateLimit": {"Ref": "RateLimit"}, "ThrottlingBurstLimit": {"Ref": "BurstLimit"}}
    if {name: settings.get(name) for name in wanted} != wanted:
        yield "the stage lets everything through"
    if (settings.get("HttpMethod"), settings.get("ResourcePath")) != ("*", "/*"):
        yield "some methods have no limit"


def scores_are_not_cached(template: Template) -> Iterator[str]:
    stage = only(template, "AWS::ApiGateway::Stage")
    if stage.get("CacheClusterEnabled", False) is not False or _method_settings(template).get("CachingEnabled", False):
        yield "a score may be an old one"


def stage_is_traced(template: Template) -> Iterator[str]:
    if only(template, "AWS::ApiGateway::Stage").get("TracingEnabled") is not True:
        yield "the stage is not traced"


def access_is_logged_without_what_callers_write(template: Template) -> Iterator[str]:
    log = only(template, "AWS::ApiGateway::Stage").get("AccessLogSetting", {})
    if log.get("DestinationArn") != {"Fn::GetAtt": ["AccessLogs", "Arn"]}:
        yield "access is not logged"
        return
    fields = json.loads(log["Format"])
    if not {"requestId", "status", "latencyMs", "traceId"} <= fields.keys():
        yield "the access log does not tell what happened"
    for value in fields.values():
        if re.search(r"apiKey|\.path$|userAgent|authorizer|querystring|\.header|error\.message", value):
            yield f"the access log holds {value}"


def bodies_are_not_logged(template: Template) -> Iterator[str]:
    settings = _method_settings(template)
    if settings.get("DataTraceEnabled", False) or settings.get("LoggingLevel", "OFF") != "OFF":
        yield "the gateway logs requests"


def bodies_come_as_bytes(template: Template) -> Iterator[str]:
    if only(template, "AWS::ApiGateway::RestApi").get("BinaryMediaTypes") != ["*~1*"]:  # every type
        yield "the gateway turns bodies into text"


def gateway_answers_with_our_problems(template: Template) -> Iterator[str]:
    answers = _body(template).get("x-amazon-apigateway-gateway-responses", {})
    for kind, status in PROBLEM_STATUSES.items():
        answer = answers.get(kind)
        if answer is None:
            yield f"{kind} is answered by the gateway's own text"
            continue
        headers = answer["responseParameters"]
        if headers["gatewayresponse.header.Content-Type"] != f"'{PROBLEM_JSON}'":
            yield f"{kind} is not {PROBLEM_JSON}"
        problem = json.loads(answer["responseTemplates"]["application/json"])
        if set(problem) != {"type", "title", "status", "detail", "code", "request_id"}:
            yield f"{kind} has other members"
            continue
        if not str(status) == str(answer["statusCode"]) == str(problem["status"]):
            yield f"{kind} is not {status}"
        if problem["type"] != PROBLEM_TYPE + problem["code"] or problem["request_id"] != "$context.requestId":
            yield f"{kind} names itself or the request otherwise"


def plan_asks_for_the_key_but_not_on_health(template: Template) -> Iterator[str]:
    for path, methods in _body(template)["paths"].items():
        for method in methods.values():
            asks = "gateway_key" in str(method["security"])
            if asks is path.startswith("/health"):
                yield f"{path} {'asks' if asks else 'does not ask'} for the key of a usage plan"
    value = str(only(template, "AWS::ApiGateway::ApiKey").get("Value"))
    if "{{resolve:secretsmanager:" not in value:
        yield "the key of the usage plan stands in the template"


# --- Logs, alarms, key


def logs_are_kept_and_encrypted(template: Template) -> Iterator[str]:
    groups = resources_of(template, "AWS::Logs::LogGroup")
    for name, group in groups.items():
        properties = group["Properties"]
        if properties.get("RetentionInDays") != {"Ref": "LogRetentionDays"}:
            yield f"{name} is kept for ever"
        if properties.get("KmsKeyId") != {"Fn::GetAtt": ["Key", "Arn"]}:
            yield f"{name} is not encrypted with the stack's key"
    if _function(template).get("LoggingConfig", {}).get("LogGroup") != {"Ref": "ApiFunctionLogs"}:
        yield "the function logs to a group without retention"


def alarms_reach_somebody(template: Template) -> Iterator[str]:
    topic: dict[str, Any] = template["Resources"]["AlarmTopic"]["Properties"]
    if topic.get("KmsMasterKeyId") != {"Ref": "Key"}:
        yield "alarms are not encrypted, or with a key that CloudWatch may not use"
    for name, alarm in resources_of(template, "AWS::CloudWatch::Alarm").items():
        if alarm["Properties"].get("AlarmActions") != [{"Ref": "AlarmTopic"}]:
            yield f"{name} tells nobody"
    if only(template, "AWS::SNS::Subscription").get("Protocol") != "email":
        yield "alarms do not go by e-mail"


def only_alarms_are_published_and_only_by_tls(template: Template) -> Iterator[str]:
    statements = template["Resources"]["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    for statement in statements:
        ours = statement.get("Condition", {}).get("StringEquals", {}).get("aws:SourceAccount")
        if statement["Effect"] == "Allow" and (
            statement["Principal"] != {"Service": "cloudwatch.amazonaws.com"} or ours != {"Ref": "AWS::AccountId"}
        ):
            yield f"{statement['Principal']} may publish alarms"
    denied = [
        s for s in statements if s["Effect"] == "Deny" and s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    ]
    if not denied:
        yield "alarms may be published without TLS"


def alarms_watch_what_matters(template: Template) -> Iterator[str]:
    wanted = {
        *("5XXError", "Latency", "Throttles", "ThrottledRequests", "Errors", "ScorerErrors"),
        *("ApprovedTransactions", "ReviewedTransactions", "DeclinedTransactions"),
    }
    for name in sorted(wanted - watched_metrics(template)):
        yield f"no alarm watches {name}"
    latency = template["Resources"].get("LatencyAlarm", {}).get("Properties", {})
    if latency and latency.get("ExtendedStatistic") != "p99":
        yield "the latency alarm is not about the slowest 1 %"


def key_is_used_by_this_account_only(template: Template) -> Iterator[str]:
    key = only(template, "AWS::KMS::Key")
    if key.get("EnableKeyRotation") is not True:
        yield "the key does not rotate"
    for statement in key["KeyPolicy"]["Statement"]:
        principal = statement["Principal"]
        if "Service" in principal and not statement.get("Condition"):
            yield f"{principal} may use the key for any account"
        if principal == "*" or principal.get("AWS") == "*":
            yield "anybody may use the key"


def secret_is_made_up_by_aws(template: Template) -> Iterator[str]:
    secret = only(template, "AWS::SecretsManager::Secret")
    if "SecretString" in secret or secret.get("GenerateSecretString", {}).get("PasswordLength", 0) < 32:
        yield "the API key stands in the template, or is short"
    if secret.get("KmsKeyId") != {"Fn::GetAtt": ["Key", "Arn"]}:
        yield "the secret is not encrypted with the stack's key"


def what_is_kept_says_so(template: Template) -> Iterator[str]:
    kinds = ("Logs::LogGroup", "SecretsManager::Secret", "KMS::Key", "ApiGateway::Account", "S3::Bucket", "SQS::Queue")
    for kind in (f"AWS::{name}" for name in (*kinds, "DynamoDB::Table")):
        for name, resource in resources_of(template, kind).items():
            if not {"DeletionPolicy", "UpdateReplacePolicy"} <= resource.keys():
                yield f"{name} does not say what becomes of it"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        no_secret_in_the_environment,
        environment_is_encrypted,
        environment_has_known_settings,
        function_ends_before_the_gateway_gives_up,
        function_is_traced,
        embedded_layer_is_left_out_without_a_model,
        new_parameters_make_a_new_version,
        gateway_calls_the_published_version,
        roles_may_what_they_need,
        function_reads_one_secret_and_calls_one_endpoint,
        every_function_has_a_role_of_its_own,
        gateway_alone_may_invoke,
        stage_limits_the_rate,
        scores_are_not_cached,
        stage_is_traced,
        access_is_logged_without_what_callers_write,
        bodies_are_not_logged,
        bodies_come_as_bytes,
        gateway_answers_with_our_problems,
        plan_asks_for_the_key_but_not_on_health,
        logs_are_kept_and_encrypted,
        alarms_reach_somebody,
        only_alarms_are_published_and_only_by_tls,
        alarms_watch_what_matters,
        key_is_used_by_this_account_only,
        secret_is_made_up_by_aws,
        what_is_kept_says_so,
    )
}


def broken_rules(template: Template) -> dict[str, list[str]]:
    """Return what is wrong, by rule."""
    found = {name: list(rule(template)) for name, rule in RULES.items()}
    return {name: faults for name, faults in found.items() if faults}
