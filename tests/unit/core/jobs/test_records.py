"""Jobs: who may see them is not to be guessed, what may be asked for is strict, how long they take is a proportion."""

from __future__ import annotations

import pytest

from core.errors import InvalidTransactionError
from core.jobs.records import Job, JobInput, new_job, new_job_id, parse_job_request

REQUEST = {"input": "march/transactions.csv", "format": "csv"}


def job(**changes: object) -> Job:
    made = new_job(
        parse_job_request(REQUEST),
        JobInput(location="march/transactions.csv", format="csv", version="5-1", n_bytes=5),
        job_id="id-1",
        owner="me",
        bundle_sha256="0" * 64,
        model_version="tiny-1.0",
    )
    return made.model_copy(update=changes)


def test_job_ids_have_192_random_bits_and_fit_a_url() -> None:
    ids = {new_job_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(len(each) == 32 and each.isascii() and each.replace("-", "").replace("_", "").isalnum() for each in ids)


def test_parse_job_request_reads_what_is_asked_for() -> None:
    request = parse_job_request({**REQUEST, "carry": ["transaction_id", "shop"]})

    assert (request.input, request.format, request.carry) == (
        "march/transactions.csv",
        "csv",
        ("transaction_id", "shop"),
    )
    assert parse_job_request(REQUEST).carry is None
    assert parse_job_request({**REQUEST, "carry": ["reasons"]}).options().reasons is False
    assert parse_job_request({**REQUEST, "reasons": True}).options().reasons is True


@pytest.mark.parametrize(
    ("document", "where", "code"),
    [
        ([], ("body",), "model_type"),
        ({"format": "csv"}, ("body", "input"), "missing"),
        ({"input": "a"}, ("body", "format"), "missing"),
        ({**REQUEST, "format": "xlsx"}, ("body", "format"), "literal_error"),
        ({**REQUEST, "input": 1}, ("body", "input"), "string_type"),
        ({**REQUEST, "input": "x" * 1025}, ("body", "input"), "string_too_long"),
        ({**REQUEST, "4111111111111111": 1}, ("body", "<unknown>"), "extra_forbidden"),
        ({**REQUEST, "carry": "shop"}, ("body", "carry"), "tuple_type"),
        ({**REQUEST, "carry": ["shop", ""]}, ("body", "carry", 1), "string_too_short"),
        ({**REQUEST, "carry": ["shop", "shop"]}, ("body", "carry"), "value_error"),
        ({**REQUEST, "carry": ["status"]}, ("body", "carry"), "value_error"),
        ({**REQUEST, "carry": ["reasons"], "reasons": True}, ("body", "carry"), "value_error"),
        ({**REQUEST, "reasons": "true"}, ("body", "reasons"), "bool_type"),
    ],
)
def test_parse_job_request_names_the_fault_and_not_the_value(document: object, where: tuple[str], code: str) -> None:
    with pytest.raises(InvalidTransactionError) as raised:
        parse_job_request(document)

    [issue] = raised.value.issues
    assert (issue.loc, issue.code) == (where, code)
    assert "4111" not in repr(issue)


def test_job_survives_its_json() -> None:
    stored = job(state="running", started=3.5)

    assert Job.model_validate_json(stored.model_dump_json()) == stored


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, None),
        ({"state": "running", "started": 100.0}, None),
        ({"state": "running", "started": 100.0, "progress": 0.25}, 30.0),
        ({"state": "completed", "started": 100.0, "progress": 1.0}, None),
    ],
)
def test_seconds_left_is_in_proportion(changes: dict[str, object], left: float | None) -> None:
    assert job(**changes).seconds_left(110.0) == left
