"""What must hold of ecs/template.yaml and what no linter knows: each rule yields what is wrong, in one line each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from core.jobs.aws.store import INDEX
from core.settings import Settings
from ecs.server import Server
from tests.templates.cloudformation import Template, alternatives, items_of, resources_of, watched_metrics

Rule = Callable[[Template], Iterator[str]]

SECRET_NAME = re.compile(r"SECRET|KEY|TOKEN|PASSWORD")
LONGEST_REQUEST_S = 20
"""A batch's deadline: the slowest that a request in flight may be."""
JOBS = ("JobsTable", "JobsBucket", "JobsStateMachineArn", "JobsKmsKeyArn")
"""Parameters that are given together, or not at all."""


def _server_config() -> Any:
    state = SimpleNamespace(readiness=None, metrics=None, releases=None)
    return Server(SimpleNamespace(state=state, middleware_stack=None), 0).config  # type: ignore[arg-type]


def _only(template: Template, kind: str) -> dict[str, Any]:
    [resource] = resources_of(template, kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def _container(template: Template) -> dict[str, Any]:
    [container] = _only(template, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    return dict(container)


def _attributes(properties: dict[str, Any], name: str) -> dict[str, Any]:
    return {item["Key"]: item["Value"] for item in items_of(properties[name])}


def _statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, role in resources_of(template, "AWS::IAM::Role").items():
        for policy in items_of(role["Properties"].get("Policies", [])):
            for statement in items_of(policy["PolicyDocument"]["Statement"]):
                yield name, statement
    for name, policy in resources_of(template, "AWS::IAM::RolePolicy").items():
        for statement in items_of(policy["Properties"]["PolicyDocument"]["Statement"]):
            yield name, statement


# --- Container


def no_secret_in_the_environment(template: Template) -> Iterator[str]:
    for variable in items_of(_container(template)["Environment"]):
        if SECRET_NAME.search(variable["Name"]):
            yield f"{variable['Name']} can be read by whoever may describe the task"


def api_key_comes_from_a_secret(template: Template) -> Iterator[str]:
    secrets = {secret["Name"]: secret for secret in _container(template).get("Secrets", [])}
    if "API_KEY" not in secrets:
        yield "API_KEY is none of the secrets"
    for name, secret in secrets.items():
        if not all(isinstance(source, dict) and "Ref" in source for source in alternatives(secret["ValueFrom"])):
            yield f"{name} does not come from a secret by reference"


def root_file_system_is_read_only(template: Template) -> Iterator[str]:
    if _container(template).get("ReadonlyRootFilesystem") is not True:
        yield "the root file system can be written"


def user_is_not_root(template: Template) -> Iterator[str]:
    user = str(_container(template).get("User", ""))
    if not user.isdigit() or int(user) == 0:
        yield f"the user is {user or 'not set'}, not a number other than 0"


def container_is_not_privileged(template: Template) -> Iterator[str]:
    container = _container(template)
    if container.get("Privileged", False) is not False:
        yield "the container is privileged"
    if container.get("LinuxParameters", {}).get("Capabilities") != {"Drop": ["ALL"]}:
        yield "the container keeps or adds capabilities"


def container_limits_open_files(template: Template) -> Iterator[str]:
    limits = {limit["Name"]: limit for limit in _container(template).get("Ulimits", [])}
    if not 1024 <= limits.get("nofile", {}).get("HardLimit", 0) <= 65536:
        yield "there is no sensible limit of open files"


def container_has_a_health_check(template: Template) -> Iterator[str]:
    command = _container(template).get("HealthCheck", {}).get("Command", [])
    if command != ["CMD", "python", "-IS", "/app/ecs/healthcheck.py"]:
        yield f"the health check is {command}"


def container_logs_to_the_log_group(template: Template) -> Iterator[str]:
    log = _container(template).get("LogConfiguration", {})
    options = log.get("Options", {})
    if log.get("LogDriver") != "awslogs" or options.get("awslogs-group") != {"Ref": "LogGroup"}:
        yield "the log goes elsewhere"
    if options.get("mode") != "non-blocking":
        yield "a slow log would stop the service"


def image_is_named_by_digest(template: Template) -> Iterator[str]:
    if _container(template)["Image"] != {"Ref": "ImageUri"}:
        yield "the image is not the parameter"
    pattern = template["Parameters"]["ImageUri"].get("AllowedPattern", ".*")
    if re.fullmatch(pattern, "registry.example.com/fraud-scoring:latest"):
        yield "the image can be named by a tag"


def _environment(template: Template) -> dict[str, Any]:
    return {variable["Name"]: variable["Value"] for variable in items_of(_container(template)["Environment"])}


def environment_is_settings(template: Template) -> Iterator[str]:
    for name in _environment(template).keys() - {name.upper() for name in Settings.model_fields}:
        yield f"{name} is no setting"


def forwarded_addresses_are_believed_of_the_balancer_only(template: Template) -> Iterator[str]:
    believed = _environment(template).get("TRUSTED_PROXIES")
    if believed != {"Fn::If": ["HasLoadBalancer", {"Ref": "VpcCidr"}, ""]}:
        yield f"X-Forwarded-For is believed of {believed}"


# --- Time-outs: each must end before the next


def a_stop_leaves_time_to_finish(template: Template) -> Iterator[str]:
    container = _container(template)
    stop_s = container.get("StopTimeout", 30)
    graceful_s = _server_config().timeout_graceful_shutdown
    drains = [v["Value"] for v in items_of(container["Environment"]) if v["Name"] == "DRAIN_SECONDS"]
    longest_drain_s = max(int(value) for drain in drains for value in alternatives(drain))
    if stop_s != 60:
        yield f"the task is killed after {stop_s} s"
    if not LONGEST_REQUEST_S < graceful_s < graceful_s + longest_drain_s < stop_s:
        yield "draining and finishing take longer than the task is given"
    group = _only(template, "AWS::ElasticLoadBalancingV2::TargetGroup")
    noticed_s = group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"]
    if longest_drain_s < noticed_s:
        yield "the task closes before the load balancer has noticed"


def balancer_closes_idle_connections_first(template: Template) -> Iterator[str]:
    attributes = _attributes(_only(template, "AWS::ElasticLoadBalancingV2::LoadBalancer"), "LoadBalancerAttributes")
    idle_s = int(attributes.get("idle_timeout.timeout_seconds", 60))
    if not LONGEST_REQUEST_S < idle_s == 60 < _server_config().timeout_keep_alive:
        yield f"the load balancer keeps idle connections for {idle_s} s"


def balancer_waits_for_requests_in_flight(template: Template) -> Iterator[str]:
    attributes = _attributes(_only(template, "AWS::ElasticLoadBalancingV2::TargetGroup"), "TargetGroupAttributes")
    delay_s = int(attributes.get("deregistration_delay.timeout_seconds", 300))
    if delay_s != 30 or not _server_config().timeout_graceful_shutdown < delay_s < 60:
        yield f"a target is deregistered after {delay_s} s"


# --- Load balancer


def balancer_takes_only_well_formed_requests(template: Template) -> Iterator[str]:
    attributes = _attributes(_only(template, "AWS::ElasticLoadBalancingV2::LoadBalancer"), "LoadBalancerAttributes")
    if attributes.get("routing.http.drop_invalid_header_fields.enabled") != "true":
        yield "invalid headers are passed on"
    if attributes.get("routing.http.desync_mitigation_mode") not in ("defensive", "strictest"):
        yield "ambiguous requests are passed on"


def balancer_asks_for_readiness(template: Template) -> Iterator[str]:
    if _only(template, "AWS::ElasticLoadBalancingV2::TargetGroup").get("HealthCheckPath") != "/health/ready":
        yield "the health check is not /health/ready"


def certificate_means_https_only(template: Template) -> Iterator[str]:
    for name, listener in resources_of(template, "AWS::ElasticLoadBalancingV2::Listener").items():
        properties = listener["Properties"]
        if properties["Protocol"] == "HTTPS":
            if not str(properties.get("SslPolicy")).startswith("ELBSecurityPolicy-TLS13-1-2"):
                yield f"{name} takes TLS before 1.2"
            continue
        for action in properties["DefaultActions"]:
            condition, with_certificate, _ = action.get("Fn::If", [None, action, None])
            if condition != "HasCertificate" or with_certificate["Type"] != "redirect":
                yield f"{name} serves without TLS though there is a certificate"


# --- Network


def _ingress(template: Template) -> Iterator[tuple[str, str, dict[str, Any], str | None]]:
    """Yield (name, group, rule, condition) of each rule that lets something in."""
    for name, group in resources_of(template, "AWS::EC2::SecurityGroup").items():
        for rule in items_of(group["Properties"].get("SecurityGroupIngress", [])):
            yield name, name, rule, group.get("Condition")
    for name, resource in resources_of(template, "AWS::EC2::SecurityGroupIngress").items():
        properties = resource["Properties"]
        yield name, properties["GroupId"]["Ref"], properties, resource.get("Condition")


def tasks_are_called_by_the_balancer_only(template: Template) -> Iterator[str]:
    for name, group, rule, condition in _ingress(template):
        if group != "TaskSecurityGroup":
            continue
        if (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) != (8000, 8000, "tcp"):
            yield f"{name} opens more than port 8000"
        from_balancer = rule.get("SourceSecurityGroupId") == {"Ref": "LoadBalancerSecurityGroup"}
        if not from_balancer and condition != "HasNoLoadBalancer":
            yield f"{name} lets in others than the load balancer"


def security_groups_open_what_is_needed(template: Template) -> Iterator[str]:
    for name, group, rule, _ in _ingress(template):
        open_to = rule.get("CidrIp") or rule.get("CidrIpv6")
        if open_to not in (None, {"Ref": "AllowedCidr"}):
            yield f"{name} is open to {open_to}, whatever AllowedCidr says"
        if group == "LoadBalancerSecurityGroup" and (rule["FromPort"], rule["ToPort"]) not in ((80, 80), (443, 443)):
            yield f"{name} opens other ports than those of the listeners"
    for name, group_resource in resources_of(template, "AWS::EC2::SecurityGroup").items():
        outbound = items_of(group_resource["Properties"].get("SecurityGroupEgress", []))
        if not outbound or any(rule["IpProtocol"] == "-1" for rule in outbound):
            yield f"{name} lets everything out"


# --- Service


def service_rolls_back(template: Template) -> Iterator[str]:
    service = _only(template, "AWS::ECS::Service")
    deployment = service.get("DeploymentConfiguration", {})
    if deployment.get("DeploymentCircuitBreaker") != {"Enable": True, "Rollback": True}:
        yield "a failed deployment is not rolled back"
    if deployment.get("MinimumHealthyPercent", 0) < 100:
        yield "a deployment takes tasks away before new ones are there"
    if "DesiredCount" in service:
        yield "an update would undo what scaling has set"
    if service.get("EnableExecuteCommand", False) is not False:
        yield "commands can be run in the tasks"


def service_scales(template: Template) -> Iterator[str]:
    policies = resources_of(template, "AWS::ApplicationAutoScaling::ScalingPolicy").values()
    tracked = {
        policy["Properties"]["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]["PredefinedMetricType"]
        for policy in policies
    }  # fmt: skip
    if tracked != {"ALBRequestCountPerTarget", "ECSServiceAverageCPUUtilization"}:
        yield f"scaling follows {sorted(tracked)}"


def repository_keeps_what_was_pushed(template: Template) -> Iterator[str]:
    repository = _only(template, "AWS::ECR::Repository")
    if repository.get("ImageTagMutability") != "IMMUTABLE":
        yield "tags can be moved"
    if repository.get("ImageScanningConfiguration") != {"ScanOnPush": True}:
        yield "images are not scanned"
    if repository.get("EncryptionConfiguration", {}).get("EncryptionType") != "KMS":
        yield "images are not encrypted by KMS"


# --- Permissions


def roles_may_what_they_need(template: Template) -> Iterator[str]:
    for role, statement in _statements(template):
        actions, resources = items_of(statement["Action"]), items_of(statement["Resource"])
        if any("*" in action for action in actions) or "NotAction" in statement:
            yield f"{role} may {actions}"
        if "*" in resources and actions != ["ecr:GetAuthorizationToken"]:
            yield f"{role} may {actions} on everything"
    for action in ("iam:PassRole", "sts:AssumeRole"):
        if any(action in items_of(statement["Action"]) for _, statement in _statements(template)):
            yield f"a role may {action}"


def roles_are_two_and_for_tasks_of_this_account(template: Template) -> Iterator[str]:
    task = _only(template, "AWS::ECS::TaskDefinition")
    if task["ExecutionRoleArn"] == task["TaskRoleArn"]:
        yield "the service has the rights of what starts it"
    for name, role in resources_of(template, "AWS::IAM::Role").items():
        [statement] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        account = statement.get("Condition", {}).get("StringEquals", {}).get("aws:SourceAccount")
        if statement["Principal"] != {"Service": "ecs-tasks.amazonaws.com"} or account != {"Ref": "AWS::AccountId"}:
            yield f"{name} can be assumed by others than tasks of this account"


def service_itself_may_invoke_one_endpoint(template: Template) -> Iterator[str]:
    for role, statement in _statements(template):
        if role != "TaskRole":
            continue
        [resource] = items_of(statement["Resource"])
        is_one = isinstance(resource, dict) and str(resource.get("Fn::Sub")).endswith("endpoint/${SageMakerEndpoint}")
        if statement["Action"] != "sagemaker:InvokeEndpoint" or not is_one:
            yield f"{role} may {statement['Action']} on {resource}"


# --- Jobs


def _holds(condition: Any, given: Mapping[str, str]) -> Any:
    """Return what a condition, or an assertion of a rule, comes to."""
    if not isinstance(condition, dict):
        return condition
    [(function, value)] = condition.items()
    if function == "Ref":
        return given[value]
    values = [_holds(each, given) for each in value]
    return {
        "Fn::Equals": lambda: values[0] == values[1],
        "Fn::Not": lambda: not values[0],
        "Fn::And": lambda: all(values),
        "Fn::Or": lambda: any(values),
    }[function]()


def jobs_are_named_wholly_or_not_at_all(template: Template) -> Iterator[str]:
    for name in JOBS:
        if template["Parameters"][name]["Default"] != "":
            yield f"{name} comes without being asked for"
    asserted = [each["Assert"] for rule in template.get("Rules", {}).values() for each in rule["Assertions"]]
    for values in itertools.product(("", "given"), repeat=len(JOBS)):
        given = dict(zip(JOBS, values, strict=True))
        if all(_holds(each, given) for each in asserted) != (len(set(values)) == 1):
            yield f"{values} of {JOBS} are taken or refused wrongly"
        if _holds(template["Conditions"]["HasJobs"], given) != all(values):
            yield f"{values} of {JOBS} are jobs, or should be"


def jobs_are_run_by_the_machine_that_is_named(template: Template) -> Iterator[str]:
    wanted = {
        "JOBS_ENGINE": {"Fn::If": ["HasJobs", "aws", "none"]},
        "JOBS_TABLE": {"Ref": "JobsTable"},
        "JOBS_BUCKET": {"Ref": "JobsBucket"},
        "JOBS_STATE_MACHINE_ARN": {"Ref": "JobsStateMachineArn"},
    }
    found = {name: value for name, value in _environment(template).items() if name.startswith("JOBS_")}
    if found != wanted:
        yield f"the settings of jobs are {found}"


_HERE = "${AWS::Region}:${AWS::AccountId}"
_RECORDS = "arn:${AWS::Partition}:dynamodb:" + _HERE + ":table/${JobsTable}"
_EXECUTION = {"Fn::Join": [":execution:", {"Fn::Split": [":stateMachine:", {"Ref": "JobsStateMachineArn"}]}]}
JOB_RIGHTS: dict[str, list[Any]] = {
    **{
        f"dynamodb:{operation}": [{"Fn::Sub": _RECORDS}, {"Fn::Sub": f"{_RECORDS}/index/{INDEX}"}]
        for operation in ("GetItem", "PutItem", "UpdateItem", "Query")
    },
    "s3:PutObject": [{"Fn::Sub": "arn:${AWS::Partition}:s3:::${JobsBucket}/uploads/*"}],
    "s3:GetObject": [{"Fn::Sub": "arn:${AWS::Partition}:s3:::${JobsInputBucket}/*"}],
    "states:StartExecution": [{"Ref": "JobsStateMachineArn"}],
    "states:StopExecution": [{"Fn::Sub": ["${Execution}:*", {"Execution": _EXECUTION}]}],
    "kms:Decrypt": [{"Ref": "JobsKmsKeyArn"}, {"Ref": "JobsInputKmsKeyArn"}],
    "kms:GenerateDataKey": [{"Ref": "JobsKmsKeyArn"}],
}
"""What the engine in AWS calls from within the API, and on what; results are read by those who own the bucket."""


def service_itself_may_what_its_jobs_need(template: Template) -> Iterator[str]:
    found = [
        (action, resource)
        for name, statement in _statements(template)
        if name == "TaskJobsPolicy"
        for action in items_of(statement["Action"])
        for resource in items_of(statement["Resource"])
    ]
    for action, resource in found:
        if resource not in JOB_RIGHTS.get(action, []):
            yield f"the service may {action} on {resource}"
    for action, resources in JOB_RIGHTS.items():
        for resource in resources:
            if (action, resource) not in found:
                yield f"the service may not {action} on {resource}"


def rights_are_added_to_the_task_role_for_jobs_only(template: Template) -> Iterator[str]:
    for name, policy in resources_of(template, "AWS::IAM::RolePolicy").items():
        if name != "TaskJobsPolicy" or policy["Properties"]["RoleName"] != {"Ref": "TaskRole"}:
            yield f"{name} adds rights to a role"
        if policy.get("Condition") != "HasJobs":
            yield f"{name} is there without jobs"


# --- Operation


def logs_are_kept_and_encrypted(template: Template) -> Iterator[str]:
    for name, group in resources_of(template, "AWS::Logs::LogGroup").items():
        if "RetentionInDays" not in group["Properties"]:
            yield f"{name} is kept for ever"
        if "KmsKeyId" not in group["Properties"]:
            yield f"{name} is not encrypted by our key"


def alarms_reach_somebody(template: Template) -> Iterator[str]:
    topic = _only(template, "AWS::SNS::Topic")
    if topic.get("KmsMasterKeyId") != {"Ref": "Key"}:
        yield "the topic is not encrypted by a key that CloudWatch may use"
    if not resources_of(template, "AWS::SNS::Subscription"):
        yield "nobody can be told by mail"
    for name, alarm in resources_of(template, "AWS::CloudWatch::Alarm").items():
        if alarm["Properties"].get("AlarmActions") != [{"Ref": "AlarmTopic"}]:
            yield f"{name} tells nobody"


def alarms_watch_what_matters(template: Template) -> Iterator[str]:
    wanted = {
        *("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count", "TargetResponseTime", "UnHealthyHostCount"),
        *("CPUUtilization", "DesiredTaskCount", "RunningTaskCount", "ScorerErrors"),
    }
    for name in sorted(wanted - watched_metrics(template)):
        yield f"no alarm watches {name}"
    settings = _only(template, "AWS::ECS::Cluster").get("ClusterSettings", [])
    if {"Name": "containerInsights", "Value": "enabled"} not in settings:
        yield "nobody counts the tasks"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        no_secret_in_the_environment,
        api_key_comes_from_a_secret,
        root_file_system_is_read_only,
        user_is_not_root,
        container_is_not_privileged,
        container_limits_open_files,
        container_has_a_health_check,
        container_logs_to_the_log_group,
        environment_is_settings,
        forwarded_addresses_are_believed_of_the_balancer_only,
        image_is_named_by_digest,
        a_stop_leaves_time_to_finish,
        balancer_closes_idle_connections_first,
        balancer_waits_for_requests_in_flight,
        balancer_takes_only_well_formed_requests,
        balancer_asks_for_readiness,
        certificate_means_https_only,
        tasks_are_called_by_the_balancer_only,
        security_groups_open_what_is_needed,
        service_rolls_back,
        service_scales,
        repository_keeps_what_was_pushed,
        roles_may_what_they_need,
        roles_are_two_and_for_tasks_of_this_account,
        service_itself_may_invoke_one_endpoint,
        jobs_are_named_wholly_or_not_at_all,
        jobs_are_run_by_the_machine_that_is_named,
        service_itself_may_what_its_jobs_need,
        rights_are_added_to_the_task_role_for_jobs_only,
        logs_are_kept_and_encrypted,
        alarms_reach_somebody,
        alarms_watch_what_matters,
    )
}


def broken_rules(template: Template) -> dict[str, list[str]]:
    """Return what is wrong, by rule."""
    found = {name: list(rule(template)) for name, rule in RULES.items()}
    return {name: faults for name, faults in found.items() if faults}
