"""What must hold of the jobs part of template.yaml, as AWS expands it: each rule yields what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from core.jobs.aws.store import INDEX
from core.settings import Settings
from tests.repository import ROOT
from tests.templates.cloudformation import Template, items_of, resources_of, watched_metrics
from tests.templates.lambda_rules import statements_of

Rule = Callable[[Template], Iterator[str]]

KEY = {"Fn::GetAtt": ["Key", "Arn"]}
WRITTEN = {
    "uploads": {"ApiJobsPolicy"},
    "plans": {"JobsPlanFunctionRole", "JobsSettleFunctionRole"},
    "pieces": {"JobsPlanFunctionRole"},
    "results": {"JobsWorkerFunctionRole", "JobsSettleFunctionRole"},
    "runs": {"JobsStateMachineRole"},
}
"""Who writes below which prefix of the bucket; everything there comes to an end."""
MACHINE = "stateMachine:${AWS::StackName}-score-job"
STEPS = {"Plan": "JobsPlanFunction", "ScoreBatch": "JobsWorkerFunction", "Settle": "JobsSettleFunction"}
ENDS = ["FAILED", "TIMED_OUT", "ABORTED"]
DEFINITION = ROOT / "statemachines" / "score_job.asl.json"


def _of(template: Template, name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"].get(name, {}).get("Properties", {})
    return found


def _functions(template: Template) -> dict[str, dict[str, Any]]:
    functions = resources_of(template, "AWS::Lambda::Function")
    return {name: each["Properties"] for name, each in functions.items() if name.startswith("Jobs")}


def there_only_on_demand(template: Template) -> Iterator[str]:
    if template["Parameters"]["Jobs"]["Default"] != "false":
        yield "jobs come without being asked for"
    for name, resource in template["Resources"].items():
        if name.startswith(("Jobs", "Job", "ApiJobs")) and resource.get("Condition") != "HasJobs":
            yield f"{name} is there without jobs"


def bucket_is_private(template: Template) -> Iterator[str]:
    bucket = _of(template, "JobsBucket")
    block = bucket.get("PublicAccessBlockConfiguration", {})
    if len(block) != 4 or not all(value is True for value in block.values()):
        yield "the bucket can be made public"
    [rule] = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [{}])
    if rule.get("ServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") != KEY:
        yield "objects are not encrypted with the stack's key"
    denied = [each for each in _statements(template, "JobsBucketPolicy") if each["Effect"] == "Deny"]
    if not any(each["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} for each in denied):
        yield "objects can be read without TLS"


def _statements(template: Template, policy: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _of(template, policy).get("PolicyDocument", {}).get("Statement", [])
    return found


def bucket_forgets(template: Template) -> Iterator[str]:
    rules = _of(template, "JobsBucket").get("LifecycleConfiguration", {}).get("Rules", [])
    ended = {rule["Prefix"].rstrip("/") for rule in rules if "ExpirationInDays" in rule}
    for prefix in sorted(WRITTEN.keys() - ended):
        yield f"what is below {prefix}/ is kept for ever"
    if not any("AbortIncompleteMultipartUpload" in rule for rule in rules):
        yield "uploads that were broken off are kept for ever"


def objects_are_written_by_those_who_should(template: Template) -> Iterator[str]:
    for role, statement in statements_of(template):
        if "s3:PutObject" not in items_of(statement.get("Action", [])):
            continue
        for resource in items_of(statement["Resource"]):
            found = re.fullmatch(r"\$\{JobsBucket\.Arn\}/([a-z]+)/\*", str(resource.get("Fn::Sub")))
            if found is None or role not in WRITTEN.get(found[1], ()):
                yield f"{role} may write to {resource}"


def table_is_encrypted_and_recoverable(template: Template) -> Iterator[str]:
    table = _of(template, "JobsTable")
    if table.get("SSESpecification", {}).get("KMSMasterKeyId") != {"Ref": "Key"}:
        yield "records are not encrypted with the stack's key"
    if table.get("PointInTimeRecoverySpecification") != {"PointInTimeRecoveryEnabled": True}:
        yield "records cannot be recovered"
    if table.get("TimeToLiveSpecification") != {"AttributeName": "expires", "Enabled": True}:
        yield "records are kept for ever"
    if [index["IndexName"] for index in table.get("LocalSecondaryIndexes", [])] != [INDEX]:
        yield "jobs cannot be listed"
    for name in ("JobsTable", "JobsBucket"):
        if template["Resources"][name].get("DeletionPolicy") != "Retain":
            yield f"{name} goes with the stack"


def queue_gives_a_function_time_and_messages_a_last_place(template: Template) -> Iterator[str]:
    queue, function = _of(template, "JobsUploads"), _of(template, "JobsStartFunction")
    if queue.get("VisibilityTimeout", 30) < 6 * function.get("Timeout", 3):
        yield "a message can come again while it is worked on"
    redrive = queue.get("RedrivePolicy", {})
    if redrive != {"deadLetterTargetArn": {"Fn::GetAtt": ["JobsDeadLetters", "Arn"]}, "maxReceiveCount": 5}:
        yield "a message that cannot be used comes for ever"
    for name in ("JobsUploads", "JobsDeadLetters"):
        if _of(template, name).get("KmsMasterKeyId") != {"Ref": "Key"}:
            yield f"{name} is not encrypted with the stack's key"
    for mapping in resources_of(template, "AWS::Lambda::EventSourceMapping").values():
        if mapping["Properties"].get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield "one message that fails brings its neighbours back"


def queue_takes_messages_of_the_bucket_only(template: Template) -> Iterator[str]:
    for statement in _statements(template, "JobsQueuePolicy"):
        source = statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn")
        if statement["Effect"] == "Allow" and source != {"Fn::GetAtt": ["JobsUploadArrived", "Arn"]}:
            yield f"{statement['Principal']} may send messages"
    pattern = _of(template, "JobsUploadArrived").get("EventPattern", {})
    if pattern.get("detail", {}).get("bucket") != {"name": [{"Ref": "JobsBucket"}]}:
        yield "uploads to any bucket start jobs"


def this_machine_alone_is_started(template: Template) -> Iterator[str]:
    for role, statement in statements_of(template):
        if "states:StartExecution" not in items_of(statement.get("Action", [])):
            continue
        for resource in items_of(statement["Resource"]):
            if resource != {"Ref": "JobsStateMachine"} and not str(resource.get("Fn::Sub")).endswith(f":{MACHINE}"):
                yield f"{role} may start {resource}"


def machine_invokes_its_steps_only(template: Template) -> Iterator[str]:
    wanted = [{"Fn::GetAtt": [name, "Arn"]} for name in STEPS.values()]
    for role, statement in statements_of(template):
        if "lambda:InvokeFunction" in items_of(statement.get("Action", [])) and statement["Resource"] != wanted:
            yield f"{role} may invoke {statement['Resource']}"


def machine_is_logged_without_data_and_traced(template: Template) -> Iterator[str]:
    machine = _of(template, "JobsStateMachine")
    logging = machine.get("LoggingConfiguration", {})
    if logging.get("Level") not in ("ERROR", "ALL") or logging.get("IncludeExecutionData") is not False:
        yield "the machine is not logged, or with its data"
    if machine.get("TracingConfiguration") != {"Enabled": True}:
        yield "the machine is not traced"


def definition_has_all_that_it_asks_for(template: Template) -> Iterator[str]:
    given = set(_of(template, "JobsStateMachine").get("DefinitionSubstitutions", {}))
    asked = set(re.findall(r"\$\{(\w+)\}", DEFINITION.read_text()))
    if given != asked:
        yield f"the definition asks for {sorted(asked)} and gets {sorted(given)}"


def steps_outlast_their_functions(template: Template) -> Iterator[str]:
    document = json.loads(DEFINITION.read_text())["States"]
    states = {**document, **document["ScoreBatches"]["ItemProcessor"]["States"]}
    for state, function in STEPS.items():
        if states[state]["TimeoutSeconds"] < _of(template, function).get("Timeout", 3):
            yield f"{state} is given up while {function} is still at work"


def ends_are_noted_and_told(template: Template) -> Iterator[str]:
    failed, ended = _of(template, "JobsExecutionFailed"), _of(template, "JobsExecutionEnded")
    for rule, statuses in ((failed, ENDS), (ended, ["SUCCEEDED", *ENDS])):
        detail = rule.get("EventPattern", {}).get("detail", {})
        if detail != {"status": statuses, "stateMachineArn": [{"Ref": "JobsStateMachine"}]}:
            yield "an end of a job is not noticed, or that of other machines is"
    permission = _of(template, "JobsFailPermission")
    if permission.get("SourceArn") != {"Fn::GetAtt": ["JobsExecutionFailed", "Arn"]}:
        yield "anybody may note that a job failed"
    if _of(template, "JobsTopic").get("KmsMasterKeyId") != {"Ref": "Key"}:
        yield "ends of jobs are told in the clear"
    for statement in _statements(template, "JobsTopicPolicy"):
        source = statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn")
        if statement["Effect"] == "Allow" and source != {"Fn::GetAtt": ["JobsExecutionEnded", "Arn"]}:
            yield f"{statement['Principal']} may tell of ends of jobs"
    failures = [each["Properties"] for each in resources_of(template, "AWS::Lambda::EventInvokeConfig").values()]
    if not any(each.get("DestinationConfig", {}).get("OnFailure") for each in failures):
        yield "an end that could not be noted is forgotten"


def alarms_watch_jobs(template: Template) -> Iterator[str]:
    wanted = {"ExecutionsFailed", "ExecutionsTimedOut", "ApproximateNumberOfMessagesVisible", "Errors", "Throttles"}
    jobs = {name: each for name, each in template["Resources"].items() if name.startswith("Job")}
    for name in sorted(wanted - watched_metrics({"Resources": jobs})):
        yield f"no alarm of jobs watches {name}"


def functions_are_as_the_api_function(template: Template) -> Iterator[str]:
    known = {name.upper() for name in Settings.model_fields}
    for name, function in _functions(template).items():
        if function.get("KmsKeyArn") != KEY or function.get("TracingConfig") != {"Mode": "Active"}:
            yield f"{name} has its environment in the clear, or is not traced"
        if function.get("LoggingConfig", {}).get("LogGroup") != {"Ref": f"{name}Logs"}:
            yield f"{name} logs to a group without retention"
        for variable in function["Environment"]["Variables"].keys() - known:
            yield f"{name}: {variable} is no setting"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        there_only_on_demand,
        bucket_is_private,
        bucket_forgets,
        objects_are_written_by_those_who_should,
        table_is_encrypted_and_recoverable,
        queue_gives_a_function_time_and_messages_a_last_place,
        queue_takes_messages_of_the_bucket_only,
        this_machine_alone_is_started,
        machine_invokes_its_steps_only,
        machine_is_logged_without_data_and_traced,
        definition_has_all_that_it_asks_for,
        steps_outlast_their_functions,
        ends_are_noted_and_told,
        alarms_watch_jobs,
        functions_are_as_the_api_function,
    )
}


def broken_rules(template: Template) -> dict[str, list[str]]:
    """Return what is wrong, by rule."""
    found = {name: list(rule(template)) for name, rule in RULES.items()}
    return {name: faults for name, faults in found.items() if faults}
