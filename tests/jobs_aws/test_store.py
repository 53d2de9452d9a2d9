"""Both stores: one job for a key, whoever asks at the same time; nobody sees that of another; changes are atomic."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import (
    FraudScoringError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    InvalidTransactionError,
    JobNotFoundError,
    JobStateError,
    JobsUnavailableError,
)
from core.jobs.aws.clients import make_client
from core.jobs.aws.store import DynamoStore
from core.jobs.local.store import SqliteJobStore
from core.jobs.records import Job, JobCounts, JobInput, JobOptions, JobProblem, new_job_id
from core.jobs.stores import IDEMPOTENCY_WINDOW_S, JobStore
from tests.jobs_aws.deployment import Deployment

GUESSES = 10_000


@pytest.fixture(params=["dynamodb", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> JobStore:
    """Either store: what is asked of one holds for the other."""
    if request.param == "sqlite":
        return SqliteJobStore(tmp_path / "jobs.sqlite3", lambda: time.time())
    stack: Deployment = request.getfixturevalue("stack")
    return stack.store


def job_of(owner: str = "one", created: float | None = None) -> Job:
    return Job(
        id=new_job_id(),
        owner=owner,
        state="queued",
        input=JobInput(location="s3://bucket/a.csv", format="csv", version='"abc"', n_bytes=12),
        options=JobOptions(carry=("transaction_id", "Zürich")),
        bundle_sha256="0" * 64,
        model_version="v-1",
        created=time.time() if created is None else created,
    )


def test_job_comes_back_as_it_was_stored(store: JobStore) -> None:
    job = job_of()

    assert store.create(job, "key", "digest") == job
    assert store.get("one", job.id) == job


def test_steps_find_a_job_by_its_id_alone(stack: Deployment) -> None:
    job = stack.store.create(job_of(), "key", "digest")

    assert stack.store.find(job.id) == job
    with pytest.raises(JobNotFoundError):
        stack.store.find(new_job_id())


def test_update_changes_what_is_named_in_the_stored_job(store: JobStore) -> None:
    stale = store.create(job_of(), "key", "digest")
    store.update(stale, {"queued"}, state="running", started=1.5)

    done = store.update(
        stale,
        {"running"},
        state="failed",
        counts=JobCounts(read=3, scored=2, rejected=1),
        progress=0.25,
        error=JobProblem(code="input_changed", text="…"),
    )

    assert (done.state, done.started, done.counts.rejected, done.progress) == ("failed", 1.5, 1, 0.25)
    assert store.get("one", stale.id) == done


def test_update_of_a_job_in_another_state_is_refused_and_changes_nothing(store: JobStore) -> None:
    job = store.create(job_of(), "key", "digest")
    cancelled = store.update(job, {"queued", "running"}, state="cancelled")

    with pytest.raises(JobStateError):
        store.update(job, {"queued", "running"}, state="completed", progress=1.0)

    assert store.get("one", job.id) == cancelled


def test_of_concurrent_updates_one_is_first(store: JobStore) -> None:
    job = store.create(job_of(), "key", "digest")

    def end(state: str) -> str | None:
        try:
            return store.update(job, {"queued"}, state=state).state
        except JobStateError:
            return None

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(end, ["completed", "cancelled"] * 8))

    [first] = [state for state in ends if state]
    assert store.get("one", job.id).state == first


def created_by_50(store: JobStore, job_for: Callable[[], Job]) -> tuple[set[str], list[FraudScoringError]]:
    def create(_: int) -> str | FraudScoringError:
        try:
            return store.create(job_for(), "key", "digest").id
        except IdempotencyInProgressError as error:
            return error

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(create, range(50)))
    ids = {each for each in outcomes if isinstance(each, str)}
    return ids, [each for each in outcomes if isinstance(each, FraudScoringError)]


def test_one_key_makes_one_job_whoever_asks_at_the_same_time(store: JobStore) -> None:
    ids, _ = created_by_50(store, job_of)

    [job_id] = ids
    assert [job.id for job in store.list("one", None, 100).jobs] == [job_id]
    assert store.create(job_of(), "key", "digest").id == job_id


def test_repeated_key_returns_the_job_as_it_is_now(store: JobStore) -> None:
    job = store.create(job_of(), "key", "digest")
    running = store.update(job, {"queued"}, state="running")

    assert store.create(job_of(), "key", "digest") == running


def test_key_with_another_request_is_refused(store: JobStore) -> None:
    store.create(job_of(), "key", "digest")

    with pytest.raises(IdempotencyKeyReusedError):
        store.create(job_of(), "key", "other")
    with pytest.raises(IdempotencyKeyReusedError):
        store.created("one", "key", "other")


def test_key_is_each_owners_own(store: JobStore) -> None:
    mine, other = job_of("one"), job_of("two")

    assert store.create(mine, "key", "digest").id == mine.id
    assert store.created("two", "key", "digest") is None
    assert store.create(other, "key", "other digest").id == other.id


def test_key_is_new_again_after_a_day(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.create(job_of(), "key", "digest")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + IDEMPOTENCY_WINDOW_S - 1)
    assert store.create(job_of(), "key", "digest").id == first.id
    assert store.created("one", "key", "digest") == first
    monkeypatch.setattr(time, "time", lambda: now + IDEMPOTENCY_WINDOW_S + 1)

    assert store.created("one", "key", "digest") is None
    second = store.create(job_of(), "key", "other digest")

    assert second.id != first.id
    assert {job.id for job in store.list("one", None, 10).jobs} == {first.id, second.id}


def test_job_of_another_owner_is_not_there(store: JobStore) -> None:
    job = store.create(job_of("one"), "key", "digest")

    with pytest.raises(JobNotFoundError) as other:
        store.get("two", job.id)
    with pytest.raises(JobNotFoundError) as absent:
        store.get("two", new_job_id())
    assert str(other.value) == str(absent.value)
    assert store.list("two", None, 100).jobs == []


@pytest.mark.soak
def test_ten_thousand_guesses_find_nothing(store: JobStore) -> None:
    job = store.create(job_of(), "key", "digest")
    near = [job.id[:-1] + last for last in "ABCDEFGHIJ" if job.id[-1] != last]
    for guess in (*near, *(secrets.token_urlsafe(24) for _ in range(GUESSES))):
        with pytest.raises(JobNotFoundError):
            store.get("one", guess)


def test_pages_are_newest_first_and_hold_each_job_once(store: JobStore) -> None:
    jobs = [store.create(job_of(created=1000.0 + n // 2), f"key-{n}", "digest") for n in range(7)]
    store.create(job_of("two"), "key", "digest")

    seen, cursor = [], None
    while True:
        page = store.list("one", cursor, 3)
        seen += page.jobs
        assert len(page.jobs) <= 3
        cursor = page.cursor
        if cursor is None:
            break

    assert {job.id for job in seen} == {job.id for job in jobs}
    assert len(seen) == 7
    assert [job.created for job in seen] == sorted((job.created for job in jobs), reverse=True)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "é", "MDAwMDAwMDAwMDEwMDAwMDAjLi4v"])
def test_made_up_cursor_is_refused(store: JobStore, cursor: str) -> None:
    with pytest.raises(InvalidTransactionError):
        store.list("one", cursor, 10)


def test_cursor_of_another_owner_leads_to_nobody_elses_jobs(store: JobStore) -> None:
    for n in range(3):
        store.create(job_of("two"), f"key-{n}", "digest")
    mine = store.create(job_of("one", created=1.0), "key", "digest")

    try:
        page = store.list("one", store.list("two", None, 1).cursor, 10)
    except InvalidTransactionError:
        return

    assert {job.id for job in page.jobs} <= {mine.id}


def test_table_that_is_not_there_is_our_error(aws: str) -> None:
    with pytest.raises(JobsUnavailableError):
        DynamoStore(make_client("dynamodb"), "nowhere").get("one", new_job_id())
