"""The state machine as it is deployed, interpreted: it runs the real functions over S3 and DynamoDB."""

from __future__ import annotations

import asyncio
import csv
import gzip
import hashlib
import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic_core import to_json

from core.bundle import Bundle
from core.jobs.aws import batches, plan
from core.jobs.aws.objects import Objects
from core.jobs.formats.base import ChunkLimits
from core.jobs.records import Job
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from core.transactions import TransactionSchema
from tests.alarms.cloudwatch import ringing, sample
from tests.alarms.definitions import alarms_of
from tests.jobs_aws.deployment import Deployment

N_ROWS, ROWS_PER_BATCH = 1000, 60
BAD = {7: ("x,3,1", "float_type:json"), 500: ("1.5,3", "row_width"), 999: ("1.5,3,-1", "greater_than_equal:log.amount")}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ROWS_PER_BATCH", ROWS_PER_BATCH)
    monkeypatch.setattr(plan, "PIECE_LIMITS", ChunkLimits(rows=ROWS_PER_BATCH))


def values_of(n: int) -> dict[str, Any]:
    return {"json": n % 60 / 7, "class": n % 5, "log.amount": n + 0.25}


def csv_table(n_rows: int = N_ROWS) -> bytes:
    rows = [",".join(map(str, values_of(n).values())) for n in range(n_rows)]
    for n, (row, _) in BAD.items():
        rows[n : n + 1] = [row] if n < n_rows else []
    return "\n".join(["note,json,class,log.amount", *(f"n-{n},{row}" for n, row in enumerate(rows)), ""]).encode()


def json_lines() -> bytes:
    documents = [{"note": f"n-{n}", **values_of(n)} for n in range(N_ROWS)]
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def parts_of(stack: Deployment, job: Job) -> list[bytes]:
    """Return the parts that the manifest lists, each compared with what it says of them."""
    files = stack.result(job)
    manifest = json.loads(files.pop("manifest.json"))
    assert [part["name"] for part in manifest["parts"]] == sorted(files)
    for part in manifest["parts"]:
        assert part["sha256"] == hashlib.sha256(files[part["name"]]).hexdigest()
        assert part["n_bytes"] == len(files[part["name"]])
    return [files[part["name"]] for part in manifest["parts"]]


def csv_rows(parts: list[bytes]) -> list[dict[str, str]]:
    return [row for part in parts for row in csv.DictReader(part.decode().splitlines())]


def expected(bundle: Bundle) -> list[tuple[str, str]]:
    """Return score and decision of each row as `/predict/batch` gives them."""
    transactions = TransactionSchema(bundle.manifest.fields).collect((values_of(n), ("body", n)) for n in range(N_ROWS))
    predictions = asyncio.run(ScoringService(bundle, EmbeddedScorer(bundle)).score_many(transactions))
    return [(repr(each.fraud_score), each.decision) for each in predictions]


def workers_events(stack: Deployment) -> list[Any]:
    return stack.functions.of(f"{stack.table}-worker")


# --- Results


def test_every_row_is_in_its_place_with_its_score_or_its_fault(stack: Deployment, tiny: Bundle) -> None:
    job = stack.run(stack.put(csv_table()), carry=["note"])

    assert job.state == "completed", job.error
    assert job.counts.model_dump() == {"read": N_ROWS, "scored": N_ROWS - len(BAD), "rejected": len(BAD)}
    assert job.result == f"s3://{stack.bucket}/results/{job.id}/manifest.json"
    parts = parts_of(stack, job)
    assert len(parts) == len(workers_events(stack)) >= N_ROWS // ROWS_PER_BATCH
    for n, (row, (score, decision)) in enumerate(zip(csv_rows(parts), expected(tiny), strict=True)):
        # Of a row with too few cells, nobody can tell which is which.
        assert row["note"] == ("" if n == 500 else f"n-{n}")
        if n in BAD:
            assert (row["fraud_score"], row["decision"], row["status"]) == ("", "", BAD[n][1])
        else:
            assert (row["fraud_score"], row["decision"], row["status"]) == (score, decision, "scored")


def test_gzipped_table_is_unpacked_and_scored_to_the_same_rows(stack: Deployment) -> None:
    plain = stack.run(stack.put(csv_table()), carry=["note"])
    packed = stack.run(stack.put(gzip.compress(csv_table()), "table.csv.gz"), "csv.gz", carry=["note"])

    assert packed.state == "completed", packed.error
    rows = csv_rows([gzip.decompress(part) for part in parts_of(stack, packed)])
    assert rows == csv_rows(parts_of(stack, plain))


def test_json_lines_are_scored(stack: Deployment, tiny: Bundle) -> None:
    job = stack.run(stack.put(json_lines(), "table.jsonl"), "jsonl", carry=["note"])

    assert job.state == "completed", job.error
    rows = [json.loads(line) for part in parts_of(stack, job) for line in part.splitlines()]
    assert [row["note"] for row in rows] == [f"n-{n}" for n in range(N_ROWS)]
    assert [(repr(row["fraud_score"]), row["decision"]) for row in rows] == expected(tiny)


@pytest.mark.parametrize(
    ("data", "format_name", "code"),
    [
        (b"", "csv", "empty_input"),
        (b"json,class,log.amount\n", "csv", "no_rows"),
        (gzip.compress(b"json,class,log.amount\n"), "csv.gz", "no_rows"),
        (b"json,class\n1,2\n", "csv", "missing_columns"),
        (b"json;class;log.amount\n", "csv", "wrong_delimiter"),
        (b"\xef\xbb\xbfjson,class,log.amount\n", "csv", "byte_order_mark"),
        (gzip.compress(b"json,class,log.amount\n"), "csv", "wrong_format"),
        (b"json,class,log.amount\n", "csv.gz", "invalid_gzip"),
        (gzip.compress(csv_table())[:-9], "csv.gz", "input_truncated"),
        (b"json,class,log.amount\n", "jsonl", "wrong_format"),
    ],
)
def test_file_that_is_no_such_table_fails_before_any_row_is_scored(
    stack: Deployment, data: bytes, format_name: str, code: str
) -> None:
    job = stack.run(stack.put(data), format_name)

    assert (job.state, job.error and job.error.code) == ("failed", code)
    assert stack.execution(job)["status"] == "FAILED"
    assert workers_events(stack) == []
    assert stack.result(job) == {}


def test_reasons_are_those_of_the_service_in_short_batches(
    stack: Deployment, tiny: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "ROWS_PER_EXPLAINED_CHUNK", ROWS_PER_BATCH // 3)
    job = stack.run(stack.put(csv_table()), carry=["note"], reasons=True)

    assert job.state == "completed", job.error
    assert len(workers_events(stack)) >= N_ROWS * 3 // ROWS_PER_BATCH
    service = ScoringService(tiny, EmbeddedScorer(tiny))
    assert service.explainer is not None
    transactions = TransactionSchema(tiny.manifest.fields).collect((values_of(n), ("body", n)) for n in range(N_ROWS))
    explained = asyncio.run(service.explain_many(transactions, service.explainer))
    for n, (row, why) in enumerate(zip(csv_rows(parts_of(stack, job)), explained, strict=True)):
        wanted = "" if n in BAD else to_json([reason.as_dict() for reason in why.reasons or ()]).decode()
        assert row["reasons"] == wanted
    assert json.loads(stack.result(job)["manifest.json"])["columns"][-2:] == ["status", "reasons"]


# --- Failures


def test_failing_batch_leaves_its_neighbours_alone_and_a_redrive_scores_it_alone(stack: Deployment) -> None:
    def fail_third(event: Any) -> None:
        if event["index"] == 2:
            raise MemoryError

    mend = stack.spoil("worker", fail_third)
    failed = stack.run(stack.put(csv_table()))

    tries = Counter(event["index"] for event in workers_events(stack))
    assert tries.pop(2) == 4  # as often as the definition says
    assert set(tries.values()) == {1}
    assert (failed.state, failed.error and failed.error.code) == ("failed", "internal_error")
    assert {name for name in stack.result(failed) if "000002" in name} == set()
    assert len(stack.result(failed)) == len(tries)  # and no manifest

    mend()
    stack.functions.invocations.clear()
    mended = stack.redrive(failed)

    assert [event["index"] for event in workers_events(stack)] == [2]
    assert (mended.state, mended.error, mended.counts.read) == ("completed", None, N_ROWS)
    whole = stack.run(stack.put(csv_table(), "again.csv"))
    assert parts_of(stack, mended) == parts_of(stack, whole)


def test_failed_job_and_its_failing_batches_ring(stack: Deployment) -> None:
    def fail_three(event: Any) -> None:
        if event["index"] < 3:
            raise MemoryError

    stack.spoil("worker", fail_three)
    stack.run(stack.put(csv_table()))

    failed = stack.client("stepfunctions").list_executions(stateMachineArn=stack.machine_arn, statusFilter="FAILED")
    tried = [event for event in workers_events(stack) if event["index"] < 3]
    ended = sample("AWS/States", "ExecutionsFailed", 1, StateMachineArn="JobsStateMachine")
    error = sample("AWS/Lambda", "Errors", 1, FunctionName="JobsWorkerFunction")
    seen = [ended] * len(failed["executions"]) + [error] * len(tried)
    assert ringing(alarms_of("lambda"), [seen]) == {"JobFailedAlarm", "JobsWorkerAlarm"}


def test_redrive_that_does_not_help_fails_again_and_another_one_is_possible(stack: Deployment) -> None:
    def fail(event: Any) -> None:
        raise MemoryError

    mend = stack.spoil("worker", fail)
    job = stack.run(stack.put(csv_table(30)))
    assert stack.redrive(job).state == "failed"
    mend()

    assert stack.redrive(job).state == "completed"


def test_plan_that_failed_is_redriven_from_the_start(stack: Deployment) -> None:
    def fail(event: Any) -> None:
        raise MemoryError

    mend = stack.spoil("plan", fail)
    job = stack.run(stack.put(csv_table(30)))
    stack.functions.invoke(f"{stack.table}-fail", stack.failures_of(job))
    failed = stack.store.get(job.owner, job.id)
    assert (failed.state, failed.error and failed.error.code) == ("failed", "internal_error")
    mend()

    assert stack.redrive(job).state == "completed"


@pytest.mark.parametrize("by", [b"another,table\n", None], ids=["replaced", "deleted"])
def test_input_that_changes_meanwhile_fails_the_job(stack: Deployment, by: bytes | None) -> None:
    location = stack.put(csv_table())

    def change(event: Any) -> None:
        if event["index"] == 3 and by is not None:
            stack.put(by)
        elif event["index"] == 3:
            stack.client("s3").delete_object(Bucket=stack.inputs, Key="table.csv")

    stack.spoil("worker", change)
    job = stack.run(location)

    assert (job.state, job.error and job.error.code) == ("failed", "input_changed" if by else "input_missing")
    assert "manifest.json" not in stack.result(job)
    assert max(Counter(event["index"] for event in workers_events(stack)).values()) == 1  # nothing is tried again


def test_input_that_changed_before_the_start_fails_the_job(stack: Deployment) -> None:
    job = stack.create(stack.put(csv_table()))
    stack.put(csv_table(20))
    stack.engine.start(job)

    ended = stack.ended(job)

    assert (ended.state, ended.error and ended.error.code) == ("failed", "input_changed")


def test_other_model_than_at_creation_fails_the_job(stack: Deployment) -> None:
    job = stack.create(stack.put(csv_table(20)))
    stack.store.update(job, {"queued"}, bundle_sha256="0" * 64)
    stack.engine.start(job)

    ended = stack.ended(job)

    assert (ended.state, ended.error and ended.error.code) == ("failed", "model_changed")


def test_cancelled_job_stays_cancelled_and_has_no_result(stack: Deployment) -> None:
    def cancel(event: Any) -> None:
        job = stack.store.find(event["job_id"])
        if job.state == "running":
            stack.engine.cancel(stack.store.update(job, {"running"}, state="cancelled"))

    stack.spoil("worker", cancel)
    job = stack.run(stack.put(csv_table(200)))

    assert job.state == "cancelled"
    assert "manifest.json" not in stack.result(job)
    stack.functions.invoke(f"{stack.table}-fail", stack.failures_of(job))
    assert stack.store.get(job.owner, job.id) == job


def test_cancelled_between_the_manifest_and_the_record_has_no_manifest(
    stack: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Objects.write

    def cancel_behind(self: Objects, bucket: str, key: str, data: bytes) -> str:
        etag = write(self, bucket, key, data)
        if key.endswith("manifest.json"):
            job = stack.store.find(key.split("/")[1])
            stack.store.update(job, {"running"}, state="cancelled")
        return etag

    monkeypatch.setattr(Objects, "write", cancel_behind)
    job = stack.run(stack.put(csv_table(20)))

    assert job.state == "cancelled"
    assert "manifest.json" not in stack.result(job)


@pytest.mark.parametrize(("status", "code"), [("TIMED_OUT", "timed_out"), ("ABORTED", "aborted")])
def test_end_that_no_step_saw_is_noted_once(
    stack: Deployment, status: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = stack.create(stack.put(csv_table(20)))
    event = {"detail": {"name": job.id, "status": status}}

    for _ in range(3):
        assert stack.functions.invoke(f"{stack.table}-fail", event) == ("null", False)

    noted = stack.store.get(job.owner, job.id)
    assert (noted.state, noted.error and noted.error.code) == ("failed", code)
    assert capsys.readouterr().out.count('"FailedJobs":[1]') == 1


# --- Again and again


def test_batches_that_come_again_in_any_order_change_nothing(
    stack: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [stack.run(stack.put(csv_table(), f"{n}.csv")) for n in range(3)]
    before = [stack.result(job) for job in jobs]
    shuffle = random.Random(8)
    again = [event for event in workers_events(stack) for _ in range(shuffle.randint(1, 5))]
    shuffle.shuffle(again)
    for job in jobs:  # or they would refuse
        stack.store.update(job, {"completed"}, state="running")

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda event: stack.functions.invoke(f"{stack.table}-worker", event)[1], again))

    assert not any(outcomes)
    for job, files in zip(jobs, before, strict=True):
        event = {"job_id": job.id, "round": 0, "execution": {}}
        for _ in range(3):
            assert not stack.functions.invoke(f"{stack.table}-settle", event)[1]
        assert stack.result(job) == files
        assert stack.store.get(job.owner, job.id).counts.read == N_ROWS
    scored = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "ScoredJobRows" in line]
    # Each job once when it ran, once for being put back here, and not for the repetitions.
    assert sum(line["ScoredJobRows"][0] for line in scored) == 2 * 3 * (N_ROWS - len(BAD))


def test_job_is_started_once_however_often_it_is_asked_for(stack: Deployment) -> None:
    job = stack.create(stack.put(csv_table(20)))
    for _ in range(3):
        stack.engine.start(job)
    assert stack.ended(job).state == "completed"

    stack.engine.start(job)

    assert len(stack.functions.of(f"{stack.table}-plan")) == 1


def test_refresh_tells_of_a_running_job_what_is_done(stack: Deployment) -> None:
    seen: list[Job] = []

    def look(event: Any) -> None:
        seen.append(stack.engine.refresh(stack.store.find(event["job_id"])))

    stack.spoil("worker", look)
    job = stack.run(stack.put(csv_table()))

    assert seen[0].progress == 0
    assert 0 < seen[-1].progress < 1
    assert 0 < seen[-1].counts.read < N_ROWS
    assert stack.engine.refresh(job) == job


def test_plan_that_runs_again_leaves_the_pieces_of_the_first_run_alone(stack: Deployment) -> None:
    job = stack.create(stack.put(gzip.compress(csv_table()), "table.csv.gz"), "csv.gz")

    def pieces() -> set[str]:
        assert not stack.functions.invoke(f"{stack.table}-plan", {"job_id": job.id})[1]
        listed = stack.client("s3").get_object(Bucket=stack.bucket, Key=plan.batches_key(job.id, 0))["Body"].read()
        return {batch["piece"].split()[0] for batch in json.loads(listed)}

    first, second = pieces(), pieces()

    assert len(first) == len(second) >= N_ROWS // ROWS_PER_BATCH
    assert first.isdisjoint(second)
