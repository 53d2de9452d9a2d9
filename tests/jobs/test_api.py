"""The API of jobs, with the engine of one machine behind it."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from core.jobs.local.store import SqliteJobStore
from core.jobs.records import new_job_id
from tests.app_under_test import KEY, OTHER_KEY
from tests.jobs.conftest import Place
from tests.jobs.tables import encode, result_of, table

UPLOAD = {"input": "upload", "format": "csv", "carry": ["transaction_id", "shop"]}
FILE = {"input": "march/rows.csv", "format": "csv"}
OCTETS = {"content-type": "application/octet-stream"}


def client_of(place: Place, key: str = KEY, **how: Any) -> TestClient:
    return TestClient(place.app(**how), headers={"x-api-key": key})


def as_other(client: TestClient) -> TestClient:
    return TestClient(client.app, headers={"x-api-key": OTHER_KEY})


def post(client: TestClient, body: object = UPLOAD, key: str | None = None) -> Any:
    return client.post("/jobs", json=body, headers={"idempotency-key": key or secrets.token_hex(8)})


def put_input(place: Place, n_rows: int = 250) -> None:
    path = place.folder / "inputs" / "march" / "rows.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(table(n_rows), "csv"))


def wait_for(client: TestClient, url: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        job: dict[str, Any] = client.get(url).json()
        if job["state"] in states:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def test_job_over_an_uploaded_file_runs_to_its_result(place: Place) -> None:
    client = client_of(place)
    accepted = post(client)

    assert accepted.status_code == 202
    job = accepted.json()
    assert accepted.headers["location"] == job["status_url"] == f"/jobs/{job['job_id']}"
    assert job["state"] == client.get(job["status_url"]).json()["state"] == "awaiting_upload"
    upload = job["upload"]
    sent = client.request(
        upload["method"], upload["url"], content=encode(table(250), "csv"), headers=upload["headers"]
    )  # fmt: skip
    assert sent.status_code == 200, sent.text
    done = wait_for(client, job["status_url"], "completed", "failed")

    assert done["rows"] == {"read": 250, "scored": 250, "rejected": 0}
    assert (done["progress"], done["error"], done["model_version"]) == (1.0, None, "tiny-1.0")
    assert done["created"] <= done["started"] <= done["finished"]
    manifest, rows = result_of((place.folder / done["result"]).parent)
    assert [row["transaction_id"] for row in rows] == [f"t-{index}" for index in range(250)]
    assert len(manifest.parts) == 3
    assert not list((place.folder / "jobs" / job["job_id"]).glob("input*")), "what was sent is not kept"


def test_job_over_a_file_of_the_folder_runs_to_its_result(place: Place) -> None:
    put_input(place)
    client = client_of(place)
    job = post(client, FILE).json()

    assert "upload" not in job
    assert wait_for(client, job["status_url"], "completed", "failed")["rows"]["scored"] == 250
    assert client.delete(job["status_url"]).json()["state"] == "completed", "what is over stays"


def test_file_that_cannot_be_scored_ends_as_a_failed_job_with_its_code(place: Place) -> None:
    client = client_of(place)
    job = post(client).json()
    client.put(job["upload"]["url"], content=b"json;class;log.amount\n1;2;3\n", headers=OCTETS)

    done = wait_for(client, job["status_url"], "completed", "failed")

    assert done["state"] == "failed"
    assert done["error"] == {"code": "wrong_delimiter", "text": "The columns are not separated by commas."}
    assert done["result"] is None


def test_input_changed_before_its_turn_ends_as_a_failed_job(place: Place) -> None:
    put_input(place)
    job = post(client_of(place, runs=False), FILE).json()
    put_input(place, 251)

    done = wait_for(client_of(place), job["status_url"], "completed", "failed")

    assert done["error"]["code"] == "input_changed"


def test_jobs_left_by_one_process_are_run_by_the_next(place: Place) -> None:
    put_input(place)
    job = post(client_of(place, runs=False), FILE).json()

    assert wait_for(client_of(place), job["status_url"], "completed", "failed")["state"] == "completed"


def test_cancelled_job_never_runs(place: Place) -> None:
    put_input(place)
    before = client_of(place, runs=False)
    jobs = [post(before, FILE).json(), post(before, FILE).json()]

    assert before.delete(jobs[0]["status_url"]).json()["state"] == "cancelled"

    after = client_of(place)
    wait_for(after, jobs[1]["status_url"], "completed")
    assert after.get(jobs[0]["status_url"]).json()["state"] == "cancelled"
    assert not (place.folder / "jobs" / jobs[0]["job_id"] / "result").exists()


def test_cancelled_job_takes_no_file(place: Place) -> None:
    client = client_of(place, runs=False)
    job = post(client).json()
    client.delete(job["status_url"])

    refused = client.put(job["upload"]["url"], content=b"x", headers=OCTETS)

    assert (refused.status_code, refused.json()["code"]) == (409, "job_state_conflict")


def test_upload_over_the_limit_is_refused_and_leaves_nothing(place: Place) -> None:
    client = client_of(place, runs=False, max_upload_bytes=1024)
    job = post(client).json()

    def chunks() -> Any:
        yield from [b"x" * 500] * 3

    for content in (b"x" * 1025, chunks()):
        refused = client.put(job["upload"]["url"], content=content, headers=OCTETS)
        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
    assert not list((place.folder / "jobs").rglob("input*"))
    assert client.get(job["status_url"]).json()["state"] == "awaiting_upload"


@pytest.mark.parametrize(
    "path",
    [
        "missing.csv",
        "march",
        "../jobs.sqlite3",
        "/etc/passwd",
        "march/../../jobs.sqlite3",
        "link.csv",
        "linked/rows.csv",
        "s3://bucket/key",
        "a\0b",
        "..\\jobs.sqlite3",
    ],
)
def test_no_path_leads_out_of_the_folder_of_inputs(place: Place, path: str) -> None:
    put_input(place)
    outside = place.folder.parent / "outside"
    outside.mkdir()
    (outside / "rows.csv").write_text("json,class,log.amount\n1,2,3\n")
    (place.folder / "inputs" / "link.csv").symlink_to(outside / "rows.csv")
    (place.folder / "inputs" / "linked").symlink_to(outside)

    refused = post(client_of(place, runs=False), {**FILE, "input": path})

    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {
            "loc": ["body", "input"],
            "code": "input_missing",
            "message": "There is no such file below the folder of inputs.",
        }
    ]


def test_job_of_another_key_is_not_there_whatever_is_asked_of_it(place: Place) -> None:
    mine = client_of(place, runs=False)
    job = post(mine).json()
    theirs = as_other(mine)

    replies = [
        theirs.get(job["status_url"]),
        theirs.delete(job["status_url"]),
        theirs.put(job["upload"]["url"], content=b"x", headers=OCTETS),
        theirs.get("/jobs/" + new_job_id()),
    ]

    bodies = [{name: value for name, value in each.json().items() if name != "request_id"} for each in replies]
    assert {each.status_code for each in replies} == {404}
    assert bodies == [bodies[0]] * 4
    assert theirs.get("/jobs").json() == {"jobs": [], "cursor": None}
    assert theirs.get("/jobs", params={"cursor": job["job_id"]}).status_code == 422
    assert mine.get(job["status_url"]).json()["state"] == "awaiting_upload"


@pytest.mark.parametrize("n_guesses", [200, pytest.param(10_000, marks=pytest.mark.soak)])
def test_no_guessed_id_finds_a_job(place: Place, n_guesses: int) -> None:
    mine = client_of(place, runs=False)
    for _ in range(20):
        assert post(mine).status_code == 202
    theirs = as_other(mine)

    assert {theirs.get(f"/jobs/{new_job_id()}").status_code for _ in range(n_guesses)} == {404}


def test_same_key_50_times_at_once_is_one_job(place: Place) -> None:
    client = client_of(place, runs=False)
    with ThreadPoolExecutor(50) as threads:
        replies = list(threads.map(lambda _: post(client, key="night-1"), range(50)))

    assert {each.status_code for each in replies} == {202}
    assert len({each.content for each in replies}) == 1
    assert len(client.get("/jobs").json()["jobs"]) == 1


def test_repeated_request_gets_its_first_reply_until_a_day_is_over(place: Place) -> None:
    put_input(place)
    client = client_of(place)
    first = post(client, FILE, "night-1")
    wait_for(client, first.json()["status_url"], "completed")
    (place.folder / "inputs" / "march" / "rows.csv").unlink()

    again, other = post(client, FILE, "night-1"), post(client, {**FILE, "carry": []}, "night-1")
    gone = post(client, FILE, "night-2")
    put_input(place)
    anothers = post(as_other(client), FILE, "night-1")
    place.now = 24 * 3600 + 1
    next_day = post(client, FILE, "night-1")

    assert (again.status_code, again.content) == (202, first.content)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (gone.status_code, gone.json()["errors"][0]["code"]) == (422, "input_missing")
    assert anothers.json()["job_id"] != first.json()["job_id"]
    assert next_day.status_code == 202
    assert next_day.json()["job_id"] != first.json()["job_id"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "idempotency_key_missing"),
        ([("idempotency-key", "")], "idempotency_key_invalid"),
        ([("idempotency-key", "x" * 256)], "idempotency_key_invalid"),
        ([("idempotency-key", "a\tb")], "idempotency_key_invalid"),
        ([("idempotency-key", "a"), ("idempotency-key", "a")], "idempotency_key_invalid"),
    ],
)
def test_idempotency_key_is_required_and_checked(place: Place, headers: list[tuple[str, str]], code: str) -> None:
    refused = client_of(place, runs=False).post("/jobs", json=UPLOAD, headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (400, code)


def test_refused_request_does_not_use_up_its_key(place: Place) -> None:
    client = client_of(place, runs=False)

    assert post(client, FILE, "night-1").status_code == 422
    assert post(client, UPLOAD, "night-1").status_code == 202


def test_list_gives_every_job_once_newest_first(place: Place) -> None:
    client = client_of(place, runs=False)
    ids = [post(client).json()["job_id"] for _ in range(7)]
    found, cursor = [], None
    while True:
        page = client.get("/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        found += [job["job_id"] for job in page["jobs"]]
        cursor = page["cursor"]
        if cursor is None:
            break

    assert found == ids[::-1]


@pytest.mark.parametrize("limit", ["0", "101", "1000", "-1", "1.5", "x", ""])
def test_list_refuses_a_limit_that_is_none(place: Place, limit: str) -> None:
    refused = client_of(place, runs=False).get("/jobs", params={"limit": limit})

    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["query", "limit"])


@pytest.mark.parametrize(("method", "path", "allow"), [
    ("PUT", "/jobs", "GET, HEAD, POST"), ("POST", "/jobs/x", "DELETE, GET, HEAD"), ("GET", "/jobs/x/input", "PUT"),
])  # fmt: skip
def test_other_methods_are_refused_with_those_that_are_allowed(
    place: Place, method: str, path: str, allow: str
) -> None:
    refused = client_of(place, runs=False).request(method, path)

    assert (refused.status_code, refused.headers["allow"]) == (405, allow)


def test_head_of_a_job_that_is_not_there_is_answered_in_form(place: Place) -> None:
    assert client_of(place, runs=False).head("/jobs/x").status_code == 404


def test_document_describes_what_the_routes_answer(place: Place) -> None:
    put_input(place)
    client = client_of(place)
    document = client.get("/openapi.json").json()
    paths = document["paths"]

    def check(reply: Any, path: str, method: str) -> Any:
        response = paths[path][method]["responses"][str(reply.status_code)]
        schema = response["content"][reply.headers["content-type"]]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(reply.json())
        return reply.json()

    [example] = paths["/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"].values()
    job = check(post(client, example["value"]), "/jobs", "post")
    check(post(client, FILE), "/jobs", "post")
    check(post(client, {}), "/jobs", "post")
    check(client.get("/jobs"), "/jobs", "get")
    check(client.get("/jobs/x"), "/jobs/{job_id}", "get")
    check(client.put(job["upload"]["url"], content=b"", headers=OCTETS), "/jobs/{job_id}/input", "put")
    wait_for(client, job["status_url"], "failed")
    check(client.get(job["status_url"]), "/jobs/{job_id}", "get")
    check(client.delete(job["status_url"]), "/jobs/{job_id}", "delete")
    for path in ("/jobs", "/jobs/{job_id}", "/jobs/{job_id}/input"):
        for operation in paths[path].values():
            assert all(response["description"] for response in operation["responses"].values())
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_log_names_the_route_and_not_the_job(place: Place, event_lines: Any) -> None:
    client = client_of(place, runs=False)
    client.app.state.log._level = 20  # type: ignore[attr-defined]
    job = post(client).json()
    client.get(job["status_url"])

    lines = [json.loads(line) for line in event_lines.getvalue().splitlines()]
    assert [line["route"] for line in lines if line["message"] == "request"] == ["/jobs", "/jobs/{job_id}"]
    assert job["job_id"] not in event_lines.getvalue()


def test_records_that_cannot_be_read_for_a_moment_stop_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    put_input(place)
    oldest, failures = SqliteJobStore.oldest, [sqlite3.OperationalError("disk I/O error")] * 2

    def failing_at_first(store: SqliteJobStore, states: Any) -> Any:
        if failures:
            raise failures.pop()
        return oldest(store, states)

    monkeypatch.setattr(SqliteJobStore, "oldest", failing_at_first)
    client = client_of(place)
    job = post(client, FILE).json()

    assert wait_for(client, job["status_url"], "completed", "failed")["state"] == "completed"
