"""The jobs part of template.yaml, put up in moto's account: table, bucket, machine as they are written there."""

from __future__ import annotations

import json
import queue
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.bundle import Bundle
from core.jobs.aws.clients import make_client
from core.jobs.aws.engine import StepFunctionsEngine
from core.jobs.aws.ledger import Ledger
from core.jobs.aws.objects import Objects
from core.jobs.aws.store import DynamoStore
from core.jobs.records import Job, JobRequest, new_job, new_job_id
from handlers import jobs_fail, jobs_plan, jobs_settle, jobs_start, jobs_worker
from tests.jobs_aws.states import Functions, Handler
from tests.repository import ROOT
from tests.templates.cloudformation import load_template

REGION = "eu-west-1"
OWNER = "0123456789abcdef0123456789abcdef"
END_S = 60
STEPS = {"plan": jobs_plan, "worker": jobs_worker, "settle": jobs_settle}
RESOURCES = load_template(ROOT / "template.yaml")["Resources"]
DEFINITION = ROOT / RESOURCES["JobsStateMachine"]["Properties"]["DefinitionUri"]


class Environments:
    """A function as Lambda runs it: an environment answers one invocation at a time, and is used again."""

    def __init__(self, build: Callable[[], Handler]) -> None:
        self._build = build
        self._idle: queue.SimpleQueue[Handler] = queue.SimpleQueue()

    def __call__(self, event: Any, context: Any) -> Any:
        try:
            handler = self._idle.get_nowait()
        except queue.Empty:
            handler = self._build()
        try:
            return handler(event, context)
        finally:
            self._idle.put(handler)

    def close(self) -> None:
        while not self._idle.empty():
            close = getattr(self._idle.get(), "close", None)
            if close:
                close()


@dataclass
class Deployment:
    """One stack with jobs."""

    bundle: Bundle
    functions: Functions
    table: str
    bucket: str
    inputs: str
    """A bucket of the customer's."""
    machine_arn: str = ""
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return self.clients.setdefault(service, make_client(service))

    @property
    def store(self) -> DynamoStore:
        return DynamoStore(self.client("dynamodb"), self.table)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.client("dynamodb"), self.table)

    @property
    def objects(self) -> Objects:
        return Objects(self.client("s3"))

    @property
    def engine(self) -> StepFunctionsEngine:
        return StepFunctionsEngine(
            self.client("stepfunctions"), self.machine_arn, self.objects, self.ledger, self.bucket
        )

    def put(self, data: bytes, key: str = "table.csv") -> str:
        """Keep a file in the customer's bucket; return its location."""
        self.client("s3").put_object(Bucket=self.inputs, Key=key, Body=data)
        return f"s3://{self.inputs}/{key}"

    def create(self, location: str, format_name: str = "csv", key: str | None = None, **options: Any) -> Job:
        """Create a job as the API does."""
        request = JobRequest.model_validate({"input": location, "format": format_name, **options})
        job_id = new_job_id()
        job = new_job(
            request,
            self.engine.locate(request, job_id),
            job_id=job_id,
            owner=OWNER,
            bundle_sha256=self.bundle.digest,
            model_version=self.bundle.version,
        )
        return self.store.create(job, key or job_id, "digest")

    def run(self, location: str, format_name: str = "csv", **options: Any) -> Job:
        """Create a job, start it and wait for its end."""
        job = self.create(location, format_name, **options)
        self.engine.start(job)
        return self.ended(job)

    def ended(self, job: Job, longest_s: float = END_S) -> Job:
        """Wait until the execution of the job has ended, and return the record as it is then."""
        deadline = time.monotonic() + longest_s
        while self.execution(job)["status"] == "RUNNING":
            assert time.monotonic() < deadline, "the execution does not end"
            time.sleep(0.02)
        return self.store.get(job.owner, job.id)

    def execution(self, job: Job) -> Any:
        return self.client("stepfunctions").describe_execution(executionArn=self.execution_arn(job))

    def execution_arn(self, job: Job) -> str:
        return f"{self.machine_arn.replace(':stateMachine:', ':execution:')}:{job.id}"

    def spoil(self, step: str, before: Callable[[Any], None]) -> Callable[[], None]:
        """Have `before` run ahead of each invocation of a function, until the returned function is called."""
        name = f"{self.table}-{step}"
        handler = self.functions.handlers[name]

        def spoiled(event: Any, context: Any) -> Any:
            before(event)
            return handler(event, context)

        self.functions.handlers[name] = spoiled
        return lambda: self.functions.handlers.update({name: handler})

    def redrive(self, job: Job) -> Job:
        self.client("stepfunctions").redrive_execution(executionArn=self.execution_arn(job))
        return self.ended(job)

    def failures_of(self, job: Job) -> dict[str, Any]:
        """Return the event by which EventBridge tells of the end of an execution."""
        execution = self.execution(job)
        detail = {"name": job.id, "status": execution["status"], "stateMachineArn": self.machine_arn}
        return {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail}

    def result(self, job: Job) -> dict[str, bytes]:
        """Return the files of the result, by name."""
        prefix = f"results/{job.id}/"
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        get = self.client("s3").get_object
        return {key.removeprefix(prefix): get(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}


@contextmanager
def deployed(bundle: Bundle, path: Path, functions: Functions, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """Put up one stack, and give its functions their environment."""
    name = f"jobs-{uuid.uuid4().hex[:12]}"
    stack = Deployment(bundle, functions, name, name, f"{name}-inputs")
    _make_table(stack)
    for bucket in (stack.bucket, stack.inputs):
        stack.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    stack.machine_arn = _make_machine(stack, name)
    settings = {
        "AUTH_DISABLED": "true",
        "MODEL_BUNDLE": str(path),
        "JOBS_ENGINE": "aws",
        "JOBS_TABLE": stack.table,
        "JOBS_BUCKET": stack.bucket,
        "JOBS_STATE_MACHINE_ARN": stack.machine_arn,
        "JOBS_CONCURRENCY": "4",
    }
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    modules = {**STEPS, "start": jobs_start, "fail": jobs_fail}
    environments = {f"{name}-{step}": Environments(module.build_handler) for step, module in modules.items()}
    functions.handlers.update(environments)
    try:
        yield stack
    finally:
        for each in environments.values():
            each.close()
        for client in stack.clients.values():
            client.close()


def _make_table(stack: Deployment) -> None:
    table = RESOURCES["JobsTable"]["Properties"]
    shape = {
        part: table[part] for part in ("BillingMode", "AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes")
    }
    stack.client("dynamodb").create_table(TableName=stack.table, **shape)


def _make_machine(stack: Deployment, name: str) -> str:
    arns = {f"{step.capitalize()}FunctionArn": _make_function(stack, f"{name}-{step}") for step in STEPS}
    definition = DEFINITION.read_text()
    for placeholder, value in {"Partition": "aws", "Bucket": stack.bucket, **arns}.items():
        definition = definition.replace(f"${{{placeholder}}}", value)
    made = stack.client("stepfunctions").create_state_machine(
        name=name, definition=_hurried(definition), roleArn="arn:aws:iam::123456789012:role/machine"
    )
    return str(made["stateMachineArn"])


def _hurried(definition: str) -> str:
    """Return the definition with waits of a second at most between two tries: what is tried again stays the same."""
    document = json.loads(definition)
    batches = document["States"]["ScoreBatches"]["ItemProcessor"]["States"].values()
    for state in (*document["States"].values(), *batches):
        for retry in state.get("Retry", []):
            if retry["MaxAttempts"]:
                retry.update(IntervalSeconds=1, MaxDelaySeconds=1 + 1, BackoffRate=1.0)
    return json.dumps(document)


def _make_function(stack: Deployment, name: str) -> str:
    role = {"RoleName": "functions", "AssumeRolePolicyDocument": "{}"}
    iam = stack.client("iam")
    if not any(each["RoleName"] == "functions" for each in iam.list_roles()["Roles"]):
        iam.create_role(**role)
    made = stack.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=iam.get_role(RoleName="functions")["Role"]["Arn"],
        Handler="handlers.handler",
        Code={"ZipFile": _EMPTY_ZIP},
    )
    return str(made["FunctionArn"])


_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
