"""What the queue of uploads tells the function that starts jobs."""

from __future__ import annotations

import json
from typing import Any

from core.jobs.records import Job
from tests.jobs_aws.deployment import Deployment


def message(body: str, message_id: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": message_id,
        "body": body,
        "eventSource": "aws:sqs",
        "attributes": {},
    }


def told_of(job: Job, stack: Deployment) -> str:
    """Return the event by which EventBridge tells of the upload."""
    key = job.input.location.removeprefix(f"s3://{stack.bucket}/")
    return json.dumps(
        {"detail-type": "Object Created", "detail": {"bucket": {"name": stack.bucket}, "object": {"key": key}}}
    )


def deliver(stack: Deployment, *records: Any) -> set[str]:
    """Invoke the function with these messages; return the ids that it gives back."""
    answer, is_error = stack.functions.invoke(f"{stack.table}-start", {"Records": list(records)})
    assert not is_error, answer
    return {each["itemIdentifier"] for each in json.loads(answer)["batchItemFailures"]}
