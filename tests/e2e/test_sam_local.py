"""Lambda on this machine, as the README says: embedded scoring, API Gateway and all, without an AWS account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.bootstrap import build_app
from scripts.lambda_events import EVENTS, KEY, lambda_events
from tests.app_under_test import KEY as TEST_KEY
from tests.app_under_test import (
    MAX_BATCH_BODY_BYTES,
    MAX_BATCH_ITEMS,
    MAX_BODY_BYTES,
    MAX_EXPLAINED_ITEMS,
    MORE_KEYS,
    settings_of_tests,
)
from tests.contract.exchange import Reply, Request
from tests.contract.table import TABLE
from tests.contract.transports import InProcess, Transport
from tests.e2e import sam

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("built")]

SAME_HEADERS = ("content-type", "x-model-version", "allow", "www-authenticate", "retry-after")


@pytest.fixture(scope="session")
def built(engine: None) -> Iterator[str]:
    """The built function and layers; the text is what `make build` printed."""
    with sam.sole_user():
        yield sam.build()


@pytest.fixture(scope="module")
def started(built: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Transport]:
    folder = tmp_path_factory.mktemp("sam")
    settings = {
        "API_KEY": f"{TEST_KEY},{MORE_KEYS}",
        "API_KEYS_SECRET_ARN": "",
        "LOG_LEVEL": "ERROR",
        "AUTH_FAILURES_PER_MINUTE": "0",
        "MAX_EXPLAINED_ITEMS": str(MAX_EXPLAINED_ITEMS),
        "MAX_BATCH_ITEMS": str(MAX_BATCH_ITEMS),
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "MAX_BATCH_BODY_BYTES": str(MAX_BATCH_BODY_BYTES),
    }
    (folder / "env.json").write_text(json.dumps({"ApiFunction": settings}))
    with sam.api(folder / "log", "--env-vars", str(folder / "env.json")) as transport:
        yield transport


@pytest.fixture(scope="module")
def here() -> Iterator[Transport]:
    with InProcess.open(build_app(settings_of_tests())) as transport:
        yield transport


def test_sizes_are_printed_and_within_the_limits(built: str) -> None:
    assert "embedded scoring" in built
    assert "too large" not in built


@pytest.mark.parametrize(
    "name",
    [
        "api_rest_predict_fraud.json",
        "api_rest_predict_explained.json",
        "api_http_batch_csv.json",
        "api_alb_predict_fraud.json",
    ],
)
def test_event_file_is_scored_by_sam_local_invoke(name: str) -> None:
    answer = sam.invoke(EVENTS / name)

    assert answer["statusCode"] == 200
    document = json.loads(answer["body"])
    assert document["model_version"]
    assert document.get("decision", "decline") == "decline"
    assert ("reasons" in document) == ("explained" in name)


def test_warm_up_is_answered_by_sam_local_invoke() -> None:
    assert sam.invoke(EVENTS / "api_warmup.json")["status"] == "warm"


def test_sagemaker_variant_starts_without_the_embedded_layer() -> None:
    variant = ("--parameter-overrides", "SageMakerEndpoint=nowhere")

    assert sam.invoke(EVENTS / "api_rest_health.json", *variant)["statusCode"] == 200
    problem = json.loads(sam.invoke(EVENTS / "api_rest_predict_fraud.json", *variant)["body"])
    assert problem["status"] == 503  # there is no such endpoint; what matters is that nothing else was missed


def test_readme_key_opens_sam_local_start_api(tmp_path: Path) -> None:
    """With nothing but samconfig.toml: its key is that of the sample events."""
    body = (EVENTS / "predict_fraud.json").read_bytes()
    headers = ((b"x-api-key", KEY.encode()), (b"content-type", b"application/json"))

    with sam.api(tmp_path / "log") as transport:
        reply = transport.send(Request("POST", "/predict", headers, body))
        refused = transport.send(Request("POST", "/predict", headers[1:], body))

    assert (reply.status, reply.json()["decision"]) == (200, "decline")
    assert refused.status == 401
    assert sam.lambda_containers() == []


@pytest.mark.parametrize("name", [name for name, case in TABLE.items() if "sam-local" not in case.not_on])
def test_sam_local_replies_as_the_app_does(here: Transport, started: Transport, name: str) -> None:
    request = TABLE[name].named_request()
    expected, reply = here.send(request), started.send(request)
    assert reply.status == expected.status == TABLE[name].status
    assert [listed(reply, h) for h in SAME_HEADERS] == [listed(expected, h) for h in SAME_HEADERS]
    assert without_request_id(reply) == without_request_id(expected)


def listed(reply: Reply, name: str) -> list[str]:
    """Return the parts of a header; the app gives those of Allow in no particular order."""
    return sorted((reply.header(name) or "").split(", "))


def without_request_id(reply: Reply) -> bytes:
    return reply.body.replace((reply.header("x-request-id") or "<none>").encode(), b"")


def test_event_files_are_all_told_of(built: str) -> None:
    invoked: Any = {path.name for path in EVENTS.glob("api_*.json")}
    assert invoked == set(lambda_events())
