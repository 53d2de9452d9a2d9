"""Job records in DynamoDB: one table, all calls conditional, so that it does not matter who else calls meanwhile.

    pk            sk               what
    owner#OWNER   job#JOB          the job; `listed` orders an owner's jobs in the local index `by_creation`
    owner#OWNER   key#SHA256       the Idempotency-Key for which the job was created, for 24 h
    job#JOB       owner            whose job it is, for those who know its id alone
    job#JOB       plan, part#N, …  what the steps of the state machine tell each other (`core.jobs.aws.ledger`)

A job is found under its owner only: that of another is not there, and nothing has to be compared.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import time
from collections.abc import Collection, Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from core.errors import (
    FieldIssue,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    InvalidTransactionError,
    JobNotFoundError,
    JobStateError,
)
from core.jobs.aws.clients import aws_border
from core.jobs.records import Job, JobState
from core.jobs.stores import IDEMPOTENCY_WINDOW_S, MAX_PAGE, JobPage

INDEX = "by_creation"
KEPT_S = 90 * 24 * 3600
"""How long a record is kept after the job's creation; its result is not there for longer."""
_ATTEMPTS = 4
_LISTED = re.compile(r"[0-9]{17}#[A-Za-z0-9_-]{1,64}")

Item = dict[str, dict[str, str]]


class DynamoStore:
    """The `JobStore` of the engine in AWS."""

    def __init__(self, client: Any, table: str) -> None:  # noqa: ANN401 - boto3 makes its classes at run time
        self._client = client
        self._table = table

    @aws_border
    def created(self, owner: str, idempotency_key: str, request_digest: str) -> Job | None:
        return self._created(owner, _claim_of(owner, idempotency_key), request_digest)

    @aws_border
    def create(self, job: Job, idempotency_key: str, request_digest: str) -> Job:
        key = _claim_of(job.owner, idempotency_key)
        for attempt in range(_ATTEMPTS):
            try:
                self._client.transact_write_items(TransactItems=self._writes(job, key, request_digest))
            except self._client.exceptions.TransactionCanceledException as error:
                reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
                if "ConditionalCheckFailed" in reasons:
                    known = self._created(job.owner, key, request_digest)
                    if known is not None:
                        return known
                    break
                # Another transaction with the same key is under way.
                time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - spreads retries, hides nothing
            else:
                return job
        raise IdempotencyInProgressError("A request with this Idempotency-Key is under way.")

    def _writes(self, job: Job, key: Item, request_digest: str) -> list[dict[str, Any]]:
        now = time.time()
        kept = {"N": str(int(job.created + KEPT_S))}
        claim = {
            **key,
            "job_id": {"S": job.id},
            "request_digest": {"S": request_digest},
            "claimed": {"N": repr(now)},
            "expires": {"N": str(int(now + IDEMPOTENCY_WINDOW_S) + 1)},
        }
        record = {
            **_key_of(job.owner, f"job#{job.id}"),
            **_to_item(job),
            "listed": {"S": _listed(job)},
            "expires": kept,
        }
        pointer = {"pk": {"S": f"job#{job.id}"}, "sk": {"S": "owner"}, "owner": {"S": job.owner}, "expires": kept}
        return [
            # DynamoDB may keep what has expired for days: what counts is when it was claimed.
            self._put(
                claim,
                "attribute_not_exists(pk) OR claimed <= :limit",
                {":limit": {"N": repr(now - IDEMPOTENCY_WINDOW_S)}},
            ),
            self._put(record, "attribute_not_exists(pk)"),
            self._put(pointer, "attribute_not_exists(pk)"),
        ]

    def _put(self, item: Item, condition: str, values: Item | None = None) -> dict[str, Any]:
        put: dict[str, Any] = {"TableName": self._table, "Item": item, "ConditionExpression": condition}
        return {"Put": put if values is None else {**put, "ExpressionAttributeValues": values}}

    def _created(self, owner: str, key: Item, request_digest: str) -> Job | None:
        claim = self._item(key)
        # What has expired may be there for days.
        if claim is None or float(claim["claimed"]["N"]) <= time.time() - IDEMPOTENCY_WINDOW_S:
            return None
        if claim["request_digest"]["S"] != request_digest:
            raise IdempotencyKeyReusedError("The Idempotency-Key came before, with another request.")
        return self.get(owner, claim["job_id"]["S"])

    @aws_border
    def get(self, owner: str, job_id: str) -> Job:
        item = self._item(_key_of(owner, f"job#{job_id}"))
        if item is None:
            raise JobNotFoundError("There is no such job.")
        return _to_job(item)

    @aws_border
    def find(self, job_id: str) -> Job:
        """Return the job with this id, whoever owns it: for the steps of the engine, which no caller asks.

        Raises
        ------
        JobNotFoundError
        """
        pointer = self._item({"pk": {"S": f"job#{job_id}"}, "sk": {"S": "owner"}})
        if pointer is None:
            raise JobNotFoundError("There is no such job.")
        return self.get(pointer["owner"]["S"], job_id)

    def _item(self, key: Item) -> Item | None:
        found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item: Item | None = found.get("Item")
        return item

    @aws_border
    def list(self, owner: str, cursor: str | None, limit: int) -> JobPage:
        start = {} if cursor is None else {"ExclusiveStartKey": _position(owner, cursor)}
        found = self._client.query(
            TableName=self._table,
            IndexName=INDEX,
            KeyConditionExpression="pk = :owner",
            ExpressionAttributeValues={":owner": {"S": f"owner#{owner}"}},
            ConsistentRead=True,
            ScanIndexForward=False,
            Limit=min(limit, MAX_PAGE),
            **start,
        )
        last = found.get("LastEvaluatedKey")
        return JobPage(
            [_to_job(item) for item in found["Items"]], None if last is None else _cursor(last["listed"]["S"])
        )

    @aws_border
    def update(self, job: Job, expected: Collection[JobState], **changes: Any) -> Job:  # noqa: ANN401 - fields of Job
        states = {f":is{index}": {"S": json.dumps(state)} for index, state in enumerate(sorted(expected))}
        changed = _to_item(job.model_copy(update=changes), *changes)
        try:
            done = self._client.update_item(
                TableName=self._table,
                Key=_key_of(job.owner, f"job#{job.id}"),
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in changed),
                ConditionExpression=f"#current IN ({', '.join(states)})",
                ExpressionAttributeNames={"#current": "state", **{f"#{name}": name for name in changed}},
                ExpressionAttributeValues={**states, **{f":{name}": value for name, value in changed.items()}},
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise JobStateError("The job is not in a state in which this can be done.") from None
        return _to_job(done["Attributes"])


def _key_of(owner: str, sort: str) -> Item:
    return {"pk": {"S": f"owner#{owner}"}, "sk": {"S": sort}}


def _claim_of(owner: str, idempotency_key: str) -> Item:
    return _key_of(owner, f"key#{hashlib.sha256(idempotency_key.encode()).hexdigest()}")


def _to_item(job: Job, *names: str) -> Item:
    """Return the job's fields, or those named, each as JSON: numbers stay the floats that they are."""
    return {name: {"S": json.dumps(to_jsonable_python(getattr(job, name)))} for name in names or Job.model_fields}


def _to_job(item: Mapping[str, Mapping[str, str]]) -> Job:
    # As JSON, in which a list is what a strict model takes for a tuple.
    fields = ", ".join(f'"{name}": {item[name]["S"]}' for name in Job.model_fields if name in item)
    return Job.model_validate_json("{" + fields + "}")


def _listed(job: Job) -> str:
    return f"{int(job.created * 1e6):017d}#{job.id}"


def _cursor(listed: str) -> str:
    return base64.urlsafe_b64encode(listed.encode()).decode()


def _position(owner: str, cursor: str) -> Item:
    """Return where a page begins; a made-up cursor leads to a place in the same owner's list, or nowhere."""
    try:
        listed = base64.b64decode(cursor.encode("ascii"), b"-_", validate=True).decode("ascii")
    except ValueError:
        listed = ""
    if not _LISTED.fullmatch(listed):
        issue = FieldIssue(("query", "cursor"), "invalid_cursor", "Take it from the page before.")
        raise InvalidTransactionError([issue])
    return {**_key_of(owner, f"job#{listed.partition('#')[2]}"), "listed": {"S": listed}}
