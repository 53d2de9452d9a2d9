"""Every event may come more than once, in any order and at the same time: each row is scored, and counted, once."""

from __future__ import annotations

import csv
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.jobs.aws import batches
from core.jobs.records import Job
from tests.jobs_aws.deployment import Deployment
from tests.jobs_aws.messages import deliver, message, told_of

DELIVERIES = (1, 5)
"""Of each event, at least and at most."""
WORKERS, MESSAGES_PER_CALL = 4, 10
BATCHES_PER_JOB = 2
LONGEST_S = 1800
FULL = pytest.param(200, 1000, marks=pytest.mark.soak)


def row_id(n_job: int, n_row: int) -> str:
    return f"{n_job}-{n_row}"


def uploaded(stack: Deployment, n_job: int, n_rows: int) -> Job:
    """Create a job and put its file where the URL of the upload leads."""
    lines = [f"{row_id(n_job, n)},{n % 60 / 7},{n % 5},{n + 0.25}" for n in range(n_rows)]
    table = "\n".join(["transaction_id,json,class,log.amount", *lines, ""]).encode()
    job = stack.create("upload", key=f"upload-{n_job}")
    stack.client("s3").put_object(Bucket=stack.bucket, Key=job.input.location.split("/", 3)[3], Body=table)
    return job


def repeat(stack: Deployment, step: str, generator: random.Random) -> None:
    """Let each invocation of a function happen several times, side by side; who invoked it hears of the last."""
    name = f"{stack.table}-{step}"
    handler = stack.functions.handlers[name]
    room = threading.Semaphore(WORKERS)

    def run(event: Any, context: Any) -> Any:
        with room:
            return handler(event, context)

    def repeated(event: Any, context: Any) -> Any:
        with ThreadPoolExecutor(WORKERS) as pool:
            answers = [pool.submit(run, event, context) for _ in range(generator.randint(*DELIVERIES))]
        return answers[-1].result()

    stack.functions.handlers[name] = repeated


def consume(stack: Deployment, bodies: list[str]) -> None:
    """Deliver all messages to functions side by side, and those that are given back again."""
    with ThreadPoolExecutor(WORKERS) as pool:
        while bodies:
            groups = [bodies[at : at + MESSAGES_PER_CALL] for at in range(0, len(bodies), MESSAGES_PER_CALL)]
            bodies = [
                body for given_back in pool.map(lambda group: _given_back(stack, group), groups) for body in given_back
            ]


def _given_back(stack: Deployment, group: list[str]) -> list[str]:
    failed = deliver(stack, *(message(body, str(n)) for n, body in enumerate(group)))
    return [body for n, body in enumerate(group) if str(n) in failed]


def ids_in_result(stack: Deployment, job: Job) -> Iterator[str]:
    files = stack.result(job)
    parts = json.loads(files["manifest.json"])["parts"]
    assert {"manifest.json", *(part["name"] for part in parts)} == set(files)
    for part in parts:
        rows = csv.DictReader(files[part["name"]].decode().splitlines())
        yield from (row["transaction_id"] for row in rows if row["status"] == "scored")


@pytest.mark.parametrize(("n_jobs", "n_rows"), [(5, 40), FULL])
def test_each_row_is_scored_once_however_often_it_is_told_of(
    stack: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    n_jobs: int,
    n_rows: int,
) -> None:
    monkeypatch.setattr(batches, "ROWS_PER_BATCH", n_rows // BATCHES_PER_JOB)
    generator = random.Random(22)
    for step in ("plan", "worker", "settle"):
        repeat(stack, step, generator)
    jobs = [uploaded(stack, n, n_rows) for n in range(n_jobs)]
    told = [told_of(job, stack) for job in jobs for _ in range(generator.randint(*DELIVERIES))]
    generator.shuffle(told)

    consume(stack, told)

    ended = [stack.ended(job, LONGEST_S) for job in jobs]
    assert Counter(stack.execution(job)["status"] for job in jobs) == {"SUCCEEDED": n_jobs}
    assert Counter(job.state for job in ended) == {"completed": n_jobs}
    assert {(job.counts.read, job.counts.scored, job.counts.rejected) for job in ended} == {(n_rows, n_rows, 0)}
    for n_job, job in enumerate(ended):
        assert list(ids_in_result(stack, job)) == [row_id(n_job, n_row) for n_row in range(n_rows)]
    planned = Counter(event["job_id"] for event in stack.functions.of(f"{stack.table}-plan"))
    assert set(planned.values()) == {1}
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "ScoredJobRows" in line]
    assert sum(line["ScoredJobRows"][0] for line in counted) == n_jobs * n_rows
    assert sum(line["CompletedJobs"][0] for line in counted) == n_jobs
    with capsys.disabled():
        print(f"\n{n_jobs} jobs of {n_rows} rows, told of {len(told)} times: {n_jobs * n_rows} rows, each once")
