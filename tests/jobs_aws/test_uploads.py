"""From an upload to a result: the API hands out a URL, S3 tells of the file, a queue starts the job, once."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from core.bootstrap import build_app
from core.jobs.records import Job
from core.settings import load_settings
from tests.alarms.cloudwatch import ringing, sample
from tests.alarms.definitions import alarms_of
from tests.jobs_aws.deployment import RESOURCES, Deployment
from tests.jobs_aws.messages import deliver, message, told_of

TABLE = b"transaction_id,json,class,log.amount\nt-1,1.5,3,20.5\nt-2,1.5,x,20.5\n"
BAD_BODIES = ("{", "[]", "{}", json.dumps({"detail": {"object": {"key": "results/x"}}}))


@pytest.fixture
def client(stack: Deployment) -> Iterator[TestClient]:
    """The API as it is deployed, with the engine that the settings choose."""
    app: FastAPI = build_app(load_settings(env_file=None))
    with TestClient(app) as client:
        yield client


def ask_for_upload(client: TestClient, key: str = "k-1") -> Any:
    headers = {"idempotency-key": key}
    reply = client.post("/jobs", json={"input": "upload", "format": "csv"}, headers=headers)
    assert reply.status_code == 202, reply.text
    return reply.json()


def send(upload: Any, data: bytes = TABLE) -> int:
    # Named, or urllib would call it a form, which moto takes apart.
    headers = {**upload["headers"], "content-type": "text/csv"}
    request = urllib.request.Request(upload["url"], data, headers, method=upload["method"])  # noqa: S310 - moto's
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - moto's
            return int(reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def uploaded(stack: Deployment, n: int) -> Job:
    job = stack.create("upload", key=f"upload-{n}")
    stack.client("s3").put_object(Bucket=stack.bucket, Key=job.input.location.split("/", 3)[3], Body=TABLE)
    return job


def test_upload_becomes_a_result_that_the_api_tells_of(stack: Deployment, client: TestClient) -> None:
    asked = ask_for_upload(client)
    assert client.get(asked["status_url"]).json()["state"] == "awaiting_upload"
    assert send(asked["upload"]) == 200
    assert send(asked["upload"], b"something else") == 412  # what was sent once, stays
    job = stack.store.find(asked["job_id"])

    assert deliver(stack, message(told_of(job, stack), "m-1")) == set()

    stack.ended(job)
    told = client.get(asked["status_url"]).json()
    assert (told["state"], told["rows"]) == ("completed", {"read": 2, "scored": 1, "rejected": 1})
    assert told["result"] == f"s3://{stack.bucket}/results/{job.id}/manifest.json"
    assert ask_for_upload(client)["job_id"] == job.id


def test_messages_that_cannot_be_used_are_named_and_spoil_no_other(stack: Deployment) -> None:
    good, gone = uploaded(stack, 1), stack.create("upload", key="never sent")
    bodies = [*BAD_BODIES, told_of(gone, stack), told_of(good, stack)]

    failed = deliver(stack, *(message(body, f"m-{n}") for n, body in enumerate(bodies)))

    assert failed == {"m-0", "m-1", "m-2", "m-3", "m-4"}
    assert stack.ended(good).state == "completed"
    assert deliver(stack, message(BAD_BODIES[0], "m-9")) == {"m-9"}  # all bad: an answer all the same


def test_message_that_cannot_be_used_ends_among_the_dead_letters(stack: Deployment) -> None:
    sqs = stack.client("sqs")
    dead = sqs.create_queue(QueueName=f"{stack.table}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    receives = RESOURCES["JobsUploads"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
    attributes = {"VisibilityTimeout": "0", "RedrivePolicy": redrive}
    url = sqs.create_queue(QueueName=stack.table, Attributes=attributes)["QueueUrl"]
    good = uploaded(stack, 1)
    for body in (BAD_BODIES[0], told_of(good, stack)):
        sqs.send_message(QueueUrl=url, MessageBody=body)

    tries = 0
    while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        failed = deliver(stack, *(message(each["Body"], each["MessageId"]) for each in received))
        tries += bool(failed)
        for each in received:
            if each["MessageId"] not in failed:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])

    assert tries == receives
    attributes = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    n, name = int(attributes["ApproximateNumberOfMessages"]), "JobsDeadLetters.QueueName"
    letters = sample("AWS/SQS", "ApproximateNumberOfMessagesVisible", n, QueueName=name)
    assert ringing(alarms_of("lambda"), [[letters]]) == {"JobsDeadLetterAlarm"}
    assert [each["Body"] for each in sqs.receive_message(QueueUrl=dead)["Messages"]] == [BAD_BODIES[0]]
    assert stack.ended(good).state == "completed"


def test_upload_of_a_cancelled_job_starts_nothing(stack: Deployment, client: TestClient) -> None:
    asked = ask_for_upload(client)
    assert client.delete(asked["status_url"]).json()["state"] == "cancelled"
    send(asked["upload"])

    assert deliver(stack, message(told_of(stack.store.find(asked["job_id"]), stack), "m-1")) == set()

    assert stack.functions.of(f"{stack.table}-plan") == []


def test_files_of_the_service_itself_cannot_be_named_as_input(stack: Deployment, client: TestClient) -> None:
    secret = uploaded(stack, 1).input.location

    for location in (secret, f"s3://{stack.inputs}/absent.csv", "s3://nowhere-at-all/x", "file:///etc/passwd"):
        reply = client.post("/jobs", json={"input": location, "format": "csv"}, headers={"idempotency-key": "k"})
        assert reply.status_code == 422, location
        assert location not in reply.text


def test_parquet_is_refused_when_the_job_is_asked_for(stack: Deployment, client: TestClient) -> None:
    headers = {"idempotency-key": "k"}

    reply = client.post("/jobs", json={"input": "upload", "format": "parquet"}, headers=headers)

    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (422, "parquet_unavailable")
