"""What the steps of a job's state machine tell each other, in the table of the job records: the plan, and each batch.

A batch that is done is noted once its part of the result is written; one that failed, with the code of the reason. Who
writes again writes the same, so that it does not matter how often a step runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel

from core.jobs.aws.clients import aws_border
from core.jobs.aws.store import KEPT_S
from core.jobs.records import JobCounts, JobProblem
from core.jobs.results import Part, total

_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")
_DONE, _FAULT = "done#", "fault#"

_Parts = RootModel[tuple[Part, ...]]


class Plan(BaseModel):
    """How the input is cut; everything a worker must know besides its own batch."""

    model_config = _STRICT

    n_batches: int
    columns: tuple[str, ...]
    """Of the input, in order; empty where each row names its own."""
    carry: tuple[str, ...]


class Done(BaseModel):
    """What is known of a job's batches."""

    model_config = _STRICT

    plan: Plan | None
    parts: dict[int, tuple[Part, ...]]
    """By batch."""
    faults: dict[int, JobProblem]
    """Of batches that are not done yet; a later success removes it."""

    @property
    def all_parts(self) -> tuple[Part, ...]:
        """Return the parts in the order of their rows."""
        return tuple(part for index in sorted(self.parts) for part in self.parts[index])

    @property
    def counts(self) -> JobCounts:
        return total(self.all_parts)

    @property
    def missing(self) -> list[int]:
        """Return the batches that have no part, in order."""
        return [index for index in range(self.plan.n_batches if self.plan else 0) if index not in self.parts]


class Ledger:
    """Notes and reads what was done of any job."""

    def __init__(self, client: Any, table: str) -> None:  # noqa: ANN401 - boto3 makes its classes at run time
        self._client = client
        self._table = table

    @aws_border
    def plan(self, job_id: str) -> Plan | None:
        """Return the plan of a job, if there is one yet."""
        key = {"pk": {"S": f"job#{job_id}"}, "sk": {"S": "plan"}}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return None if item is None else Plan.model_validate_json(item["document"]["S"])

    def note_plan(self, job_id: str, plan: Plan) -> None:
        self._put(job_id, "plan", plan)

    def note_parts(self, job_id: str, index: int, parts: tuple[Part, ...]) -> None:
        """Note that a batch is done, in these parts."""
        self._put(job_id, f"{_DONE}{index:06d}", _Parts(parts))

    def note_fault(self, job_id: str, index: int, problem: JobProblem) -> None:
        """Note why a batch could not be done; whether it is done since, its part says."""
        self._put(job_id, f"{_FAULT}{index:06d}", problem)

    @aws_border
    def _put(self, job_id: str, sort: str, document: BaseModel) -> None:
        item = {
            "pk": {"S": f"job#{job_id}"},
            "sk": {"S": sort},
            "document": {"S": document.model_dump_json()},
            "expires": {"N": str(int(time.time()) + KEPT_S)},
        }
        self._client.put_item(TableName=self._table, Item=item)

    @aws_border
    def done(self, job_id: str) -> Done:
        """Return all that is known of the batches of a job."""
        plan, parts, faults = None, {}, {}
        for sort, document in self._documents(job_id):
            if sort == "plan":
                plan = Plan.model_validate_json(document)
            elif sort.startswith(_DONE):
                parts[int(sort.removeprefix(_DONE))] = _Parts.model_validate_json(document).root
            elif sort.startswith(_FAULT):
                faults[int(sort.removeprefix(_FAULT))] = JobProblem.model_validate_json(document)
        still = {index: problem for index, problem in faults.items() if index not in parts}
        return Done(plan=plan, parts=parts, faults=still)

    def _documents(self, job_id: str) -> Iterator[tuple[str, str]]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :job",
            ExpressionAttributeValues={":job": {"S": f"job#{job_id}"}},
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                if "document" in item:
                    yield item["sk"]["S"], item["document"]["S"]
