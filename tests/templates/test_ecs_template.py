"""ecs/template.yaml keeps our own rules, and each rule catches the fault that it is there for."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from tests.repository import ROOT
from tests.templates.cloudformation import LONGEST_INLINE_TEMPLATE, Template, items_of, load_template
from tests.templates.ecs_rules import RULES, broken_rules

TEMPLATE = ROOT / "ecs" / "template.yaml"


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template(TEMPLATE)


def test_template_keeps_every_rule(template: Template) -> None:
    assert broken_rules(template) == {}


def test_template_can_be_passed_inline() -> None:
    assert len(TEMPLATE.read_bytes()) <= LONGEST_INLINE_TEMPLATE


def test_template_has_no_anchors_which_cloudformation_does_not_read() -> None:
    tokens = yaml.scan(TEMPLATE.read_text())
    assert not [token for token in tokens if isinstance(token, (yaml.AnchorToken, yaml.AliasToken))]


def test_every_parameter_is_used_and_shown(template: Template) -> None:
    text = json.dumps({key: template[key] for key in ("Conditions", "Resources", "Outputs")})
    parameters = set(template["Parameters"])
    assert {name for name in parameters if f'{{"Ref": "{name}"}}' not in text and f"${{{name}}}" not in text} == set()
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(shown) == sorted(parameters)


# --- Seeded faults


def properties(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def container(template: Template) -> dict[str, Any]:
    definition: dict[str, Any] = properties(template, "TaskDefinition")["ContainerDefinitions"][0]
    return definition


def set_attribute(template: Template, name: str, attributes: str, key: str, value: str) -> None:
    for attribute in items_of(properties(template, name)[attributes]):
        if attribute["Key"] == key:
            attribute["Value"] = value


def add_statement(template: Template, role: str, action: str, resource: Any) -> None:
    policies = items_of(properties(template, role)["Policies"])
    policies[0]["PolicyDocument"]["Statement"].append({"Effect": "Allow", "Action": action, "Resource": resource})


def jobs_statement(template: Template, sid: str) -> dict[str, Any]:
    statements = items_of(properties(template, "TaskJobsPolicy")["PolicyDocument"]["Statement"])
    found: dict[str, Any]
    [found] = [statement for statement in statements if statement["Sid"] == sid]
    return found


def set_variable(template: Template, name: str, value: Any) -> None:
    [variable] = [each for each in container(template)["Environment"] if each["Name"] == name]
    variable["Value"] = value


def open_task(template: Template) -> None:
    template["Resources"]["TaskIngressFromClients"].pop("Condition")


def serve_plainly(template: Template) -> None:
    forward = {"Type": "forward", "TargetGroupArn": {"Ref": "TargetGroup"}}
    properties(template, "HttpListener")["DefaultActions"] = [forward]


def share_the_role(template: Template) -> None:
    task = properties(template, "TaskDefinition")
    task["TaskRoleArn"] = task["ExecutionRoleArn"]


def anyone_in_ecs(template: Template) -> None:
    del properties(template, "TaskRole")["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]


ANYWHERE = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
SEEDED: dict[str, tuple[str, Callable[[Template], Any]]] = {
    "plaintext secret": (
        "no_secret_in_the_environment",
        lambda t: container(t)["Environment"].append({"Name": "API_KEY", "Value": "alpha"}),
    ),
    "token among the variables": (
        "no_secret_in_the_environment",
        lambda t: container(t)["Environment"].append({"Name": "GIT_TOKEN", "Value": "alpha"}),
    ),
    "secret spelled out": (
        "api_key_comes_from_a_secret",
        lambda t: container(t)["Secrets"][0].update(ValueFrom="alpha"),
    ),
    "no secret": ("api_key_comes_from_a_secret", lambda t: container(t).pop("Secrets")),
    "writable root": ("root_file_system_is_read_only", lambda t: container(t).update(ReadonlyRootFilesystem=False)),
    "root user": ("user_is_not_root", lambda t: container(t).update(User="0")),
    "user by name": ("user_is_not_root", lambda t: container(t).update(User="root")),
    "no user": ("user_is_not_root", lambda t: container(t).pop("User")),
    "privileged": ("container_is_not_privileged", lambda t: container(t).update(Privileged=True)),
    "capabilities kept": ("container_is_not_privileged", lambda t: container(t).pop("LinuxParameters")),
    "capability added": (
        "container_is_not_privileged",
        lambda t: container(t)["LinuxParameters"]["Capabilities"].update(Add=["SYS_PTRACE"]),
    ),
    "no limit of files": ("container_limits_open_files", lambda t: container(t).pop("Ulimits")),
    "no health check": ("container_has_a_health_check", lambda t: container(t).pop("HealthCheck")),
    "no log": ("container_logs_to_the_log_group", lambda t: container(t).pop("LogConfiguration")),
    "variable that nobody reads": (
        "environment_is_settings",
        lambda t: container(t)["Environment"].append({"Name": "JOB_TABLE", "Value": ""}),
    ),
    "everybody's word for a client's address": (
        "forwarded_addresses_are_believed_of_the_balancer_only",
        lambda t: set_variable(t, "TRUSTED_PROXIES", "0.0.0.0/0"),
    ),
    "neighbours believed without a load balancer": (
        "forwarded_addresses_are_believed_of_the_balancer_only",
        lambda t: set_variable(t, "TRUSTED_PROXIES", {"Ref": "VpcCidr"}),
    ),
    "image by tag": (
        "image_is_named_by_digest",
        lambda t: t["Parameters"]["ImageUri"].update(AllowedPattern=".*"),
    ),
    "killed early": ("a_stop_leaves_time_to_finish", lambda t: container(t).update(StopTimeout=30)),
    "health checked too seldom": (
        "a_stop_leaves_time_to_finish",
        lambda t: properties(t, "TargetGroup").update(HealthCheckIntervalSeconds=30),
    ),
    "idle as long as the server": (
        "balancer_closes_idle_connections_first",
        lambda t: set_attribute(
            t, "ApplicationLoadBalancer", "LoadBalancerAttributes", "idle_timeout.timeout_seconds", "75"
        ),
    ),
    "slow deregistration": (
        "balancer_waits_for_requests_in_flight",
        lambda t: set_attribute(
            t, "TargetGroup", "TargetGroupAttributes", "deregistration_delay.timeout_seconds", "300"
        ),
    ),
    "ambiguous requests": (
        "balancer_takes_only_well_formed_requests",
        lambda t: set_attribute(
            t, "ApplicationLoadBalancer", "LoadBalancerAttributes", "routing.http.desync_mitigation_mode", "monitor"
        ),
    ),
    "invalid headers": (
        "balancer_takes_only_well_formed_requests",
        lambda t: set_attribute(
            t,
            "ApplicationLoadBalancer",
            "LoadBalancerAttributes",
            "routing.http.drop_invalid_header_fields.enabled",
            "false",
        ),
    ),
    "liveness for readiness": (
        "balancer_asks_for_readiness",
        lambda t: properties(t, "TargetGroup").update(HealthCheckPath="/health"),
    ),
    "plain HTTP beside HTTPS": ("certificate_means_https_only", serve_plainly),
    "old TLS": (
        "certificate_means_https_only",
        lambda t: properties(t, "HttpsListener").update(SslPolicy="ELBSecurityPolicy-2016-08"),
    ),
    "task open to all": ("tasks_are_called_by_the_balancer_only", open_task),
    "security group open to the world": (
        "security_groups_open_what_is_needed",
        lambda t: properties(t, "LoadBalancerSecurityGroup")["SecurityGroupIngress"].append(ANYWHERE),
    ),
    "everything out": (
        "security_groups_open_what_is_needed",
        lambda t: properties(t, "TaskSecurityGroup").pop("SecurityGroupEgress"),
    ),
    "no rollback": (
        "service_rolls_back",
        lambda t: properties(t, "Service")["DeploymentConfiguration"].pop("DeploymentCircuitBreaker"),
    ),
    "count that undoes scaling": ("service_rolls_back", lambda t: properties(t, "Service").update(DesiredCount=2)),
    "shell into tasks": ("service_rolls_back", lambda t: properties(t, "Service").update(EnableExecuteCommand=True)),
    "no scaling by requests": ("service_scales", lambda t: t["Resources"].pop("ScaleOnRequests")),
    "movable tags": (
        "repository_keeps_what_was_pushed",
        lambda t: properties(t, "Repository").update(ImageTagMutability="MUTABLE"),
    ),
    "unscanned images": (
        "repository_keeps_what_was_pushed",
        lambda t: properties(t, "Repository").pop("ImageScanningConfiguration"),
    ),
    "every action": ("roles_may_what_they_need", lambda t: add_statement(t, "ExecutionRole", "*", "arn:aws:s3:::b")),
    "every resource": (
        "roles_may_what_they_need",
        lambda t: add_statement(t, "ExecutionRole", "secretsmanager:GetSecretValue", "*"),
    ),
    "pass any role": (
        "roles_may_what_they_need",
        lambda t: add_statement(t, "ExecutionRole", "iam:PassRole", "arn:aws:iam::*:role/*"),
    ),
    "one role for both": ("roles_are_two_and_for_tasks_of_this_account", share_the_role),
    "role for any account": ("roles_are_two_and_for_tasks_of_this_account", anyone_in_ecs),
    "any endpoint": (
        "service_itself_may_invoke_one_endpoint",
        lambda t: add_statement(t, "TaskRole", "sagemaker:InvokeEndpoint", "arn:aws:sagemaker:*:*:endpoint/*"),
    ),
    "half of the jobs' names": ("jobs_are_named_wholly_or_not_at_all", lambda t: t.pop("Rules")),
    "jobs by a table alone": (
        "jobs_are_named_wholly_or_not_at_all",
        lambda t: t["Conditions"].update(HasJobs={"Fn::Not": [{"Fn::Equals": [{"Ref": "JobsTable"}, ""]}]}),
    ),
    "jobs by default": (
        "jobs_are_named_wholly_or_not_at_all",
        lambda t: t["Parameters"]["JobsBucket"].update(Default="fraud-jobs"),
    ),
    "jobs on the task's own disk": (
        "jobs_are_run_by_the_machine_that_is_named",
        lambda t: set_variable(t, "JOBS_ENGINE", "local"),
    ),
    "table of others": (
        "jobs_are_run_by_the_machine_that_is_named",
        lambda t: set_variable(t, "JOBS_TABLE", "jobs"),
    ),
    "uploads anywhere in the bucket": (
        "service_itself_may_what_its_jobs_need",
        lambda t: jobs_statement(t, "SignUploads").update(
            Resource={"Fn::Sub": "arn:${AWS::Partition}:s3:::${JobsBucket}/*"}
        ),
    ),
    "executions of any machine": (
        "service_itself_may_what_its_jobs_need",
        lambda t: jobs_statement(t, "CancelJobs").update(
            Resource={"Fn::Sub": "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:*"}
        ),
    ),
    "records that can be deleted": (
        "service_itself_may_what_its_jobs_need",
        lambda t: jobs_statement(t, "KeepRecords")["Action"].append("dynamodb:DeleteItem"),
    ),
    "jobs that cannot be listed": (
        "service_itself_may_what_its_jobs_need",
        lambda t: jobs_statement(t, "KeepRecords")["Resource"].pop(),
    ),
    "uploads that cannot be encrypted": (
        "service_itself_may_what_its_jobs_need",
        lambda t: jobs_statement(t, "UseTheKey").update(Action="kms:Decrypt"),
    ),
    "jobs' rights without jobs": (
        "rights_are_added_to_the_task_role_for_jobs_only",
        lambda t: t["Resources"]["TaskJobsPolicy"].pop("Condition"),
    ),
    "jobs' rights for what starts the tasks": (
        "rights_are_added_to_the_task_role_for_jobs_only",
        lambda t: properties(t, "TaskJobsPolicy").update(RoleName={"Ref": "ExecutionRole"}),
    ),
    "no retention": ("logs_are_kept_and_encrypted", lambda t: properties(t, "LogGroup").pop("RetentionInDays")),
    "alarms in the clear": ("alarms_reach_somebody", lambda t: properties(t, "AlarmTopic").pop("KmsMasterKeyId")),
    "key that CloudWatch may not use": (
        "alarms_reach_somebody",
        lambda t: properties(t, "AlarmTopic").update(KmsMasterKeyId="alias/aws/sns"),
    ),
    "alarm that tells nobody": (
        "alarms_reach_somebody",
        lambda t: properties(t, "LatencyAlarm").pop("AlarmActions"),
    ),
    "no alarm of the scorer": ("alarms_watch_what_matters", lambda t: t["Resources"].pop("ScorerErrorAlarm")),
    "no alarm of missing tasks": (
        "alarms_watch_what_matters",
        lambda t: t["Resources"].pop("MissingTasksAlarm"),
    ),
}


@pytest.mark.parametrize(("rule", "spoil"), SEEDED.values(), ids=SEEDED)
def test_seeded_fault_is_caught(template: Template, rule: str, spoil: Callable[[Template], Any]) -> None:
    spoiled = copy.deepcopy(template)
    spoil(spoiled)
    assert spoiled != template
    assert rule in broken_rules(spoiled)


def test_every_rule_has_a_fault_that_it_catches() -> None:
    assert {rule for rule, _ in SEEDED.values()} == set(RULES)


def test_task_definition_for_registering_by_hand_has_the_same_container(template: Template) -> None:
    by_hand = json.loads((ROOT / "ecs" / "task-def.json").read_text())
    task = properties(template, "TaskDefinition")
    fixed = ("RequiresCompatibilities", "NetworkMode")
    assert {name: by_hand[camel(name)] for name in fixed} == {name: task[name] for name in fixed}
    assert by_hand.keys() == {camel(name) for name in task}
    [expected] = camel_keys(resolve(task["ContainerDefinitions"], template))
    assert by_hand["containerDefinitions"] == [expected]
    assert (by_hand["cpu"], by_hand["memory"]) == tuple(
        template["Parameters"][name]["Default"] for name in ("TaskCpu", "TaskMemory")
    )


PLACEHOLDERS = {
    "ImageUri": "<IMAGE_BY_DIGEST>",
    "ApiKeysSecretArn": "<API_KEYS_SECRET_ARN>",
    "VpcCidr": "<VPC_CIDR>",
    "LogGroup": "<LOG_GROUP>",
    "AWS::Region": "<REGION>",
    "AWS::StackName": "fraud-scoring",
}
CONDITIONS = {"MakesSecret": False, "HasLoadBalancer": True, "HasJobs": False}


def resolve(value: Any, template: Template) -> Any:
    """Return the value with the defaults of the parameters, and placeholders for what a stack would know."""
    if isinstance(value, list):
        return [resolve(item, template) for item in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        name = value["Ref"]
        return PLACEHOLDERS[name] if name in PLACEHOLDERS else template["Parameters"][name]["Default"]
    if "Fn::If" in value:
        condition, yes, no = value["Fn::If"]
        return resolve(yes if CONDITIONS[condition] else no, template)
    return {key: resolve(item, template) for key, item in value.items()}


def camel(name: str) -> str:
    return name[0].lower() + name[1:]


def camel_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [camel_keys(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key if key.startswith("awslogs") else camel(key): camel_keys(item) for key, item in value.items()}


def test_task_definition_by_hand_has_known_placeholders_only() -> None:
    text = (ROOT / "ecs" / "task-def.json").read_text()
    found = {word for word in text.replace('"', " ").split() if word.startswith("<")}
    placeholders = {word for word in PLACEHOLDERS.values() if word.startswith("<")}
    assert found == {*placeholders, "<EXECUTION_ROLE_ARN>", "<TASK_ROLE_ARN>"}


def test_image_has_what_the_template_calls() -> None:
    """The health check's file is named in three places."""
    dockerfile = (ROOT / "ecs" / "Dockerfile").read_text()
    assert 'CMD ["python", "-IS", "/app/ecs/healthcheck.py"]' in dockerfile
    assert Path(ROOT / "ecs" / "healthcheck.py").is_file()


MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:fraud-scoring-score-job"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/jobs"
GIVEN = {
    "JobsTable": "jobs",
    "JobsBucket": "fraud-jobs",
    "JobsStateMachineArn": MACHINE,
    "JobsKmsKeyArn": KEY,
    "JobsInputBucket": "transactions",
    "JobsInputKmsKeyArn": f"{KEY}-of-inputs",
}


def jobs_resources(template: Template, given: dict[str, str]) -> dict[str, list[str]]:
    """Return what CloudFormation makes of the task's rights for jobs: what a statement is for -> its resources."""
    roles = {name: template["Resources"][name] for name in ("TaskRole", "TaskJobsPolicy")}
    # What moto knows of the two types of inline policies.
    roles["TaskJobsPolicy"] = {
        **roles["TaskJobsPolicy"],
        "Type": "AWS::IAM::Policy",
        "Properties": {**roles["TaskJobsPolicy"]["Properties"], "Roles": [{"Ref": "TaskRole"}]},
    }
    body = {"Parameters": template["Parameters"], "Conditions": template["Conditions"], "Resources": roles}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]
    login = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with mock_aws():
        stacks, iam = boto3.client("cloudformation", **login), boto3.client("iam", **login)
        stacks.create_stack(StackName="ecs", TemplateBody=json.dumps(body), Parameters=parameters)
        role = stacks.describe_stack_resource(StackName="ecs", LogicalResourceId="TaskRole")["StackResourceDetail"]
        names = iam.list_role_policies(RoleName=role["PhysicalResourceId"])["PolicyNames"]
        policies = [iam.get_role_policy(RoleName=role["PhysicalResourceId"], PolicyName=name) for name in names]
    statements = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    return {each["Sid"]: items_of(each["Resource"]) for each in statements}


def test_rights_name_the_jobs_of_one_stack(template: Template) -> None:
    table = "arn:aws:dynamodb:eu-west-1:123456789012:table/jobs"
    assert jobs_resources(template, GIVEN) == {
        "KeepRecords": [table, f"{table}/index/by_creation"],
        "SignUploads": ["arn:aws:s3:::fraud-jobs/uploads/*"],
        "StartJobs": [MACHINE],
        # As the engine names the execution of a job.
        "CancelJobs": [MACHINE.replace(":stateMachine:", ":execution:") + ":*"],
        "UseTheKey": [KEY],
        "FindInputs": ["arn:aws:s3:::transactions/*"],
        "DecryptInputs": [f"{KEY}-of-inputs"],
    }


def test_there_are_no_rights_without_being_asked_for(template: Template) -> None:
    assert jobs_resources(template, {}) == {}
