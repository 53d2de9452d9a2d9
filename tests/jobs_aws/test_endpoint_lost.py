"""Jobs in AWS on an endpoint that disappears in the middle: batches wait for it, and make do with nothing less."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from core import errors
from core.bundle import Bundle
from core.jobs.aws import batches
from sagemaker.package_model import package_model
from tests.jobs_aws.deployment import DEFINITION, Deployment, deployed
from tests.jobs_aws.states import Functions
from tests.repository import BUNDLE, ROOT
from tests.sagemaker.conftest import environment_for
from tests.sagemaker_runtime.container import Container
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime, serving

N_ROWS, ROWS_PER_BATCH = 400, 100
TRIES = 13
"""As many as the definition allows a batch whose scorer fails."""


@pytest.fixture
def endpoint(creditcard: Bundle) -> Runtime:
    """An endpoint with an address, at which nobody answers yet."""
    runtime = Runtime({(REGION, ENDPOINT): Container(package_model(creditcard))})
    with serving(runtime):
        return runtime


@pytest.fixture
def stack(
    aws: str, functions: Functions, creditcard: Bundle, endpoint: Runtime, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    """Jobs on the endpoint, in a deployment whose API has a fallback."""
    monkeypatch.setattr(batches, "ROWS_PER_BATCH", ROWS_PER_BATCH)
    address = {"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": environment_for(endpoint)["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"]}
    settings = {"SCORER": "sagemaker", "SAGEMAKER_ENDPOINT": ENDPOINT, "SCORER_FALLBACK": "embedded"}
    for name, value in {**address, **settings, "AWS_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    with deployed(creditcard, BUNDLE, functions, monkeypatch) as stack:
        yield stack


def table() -> bytes:
    lines = (ROOT / "events" / "batch.csv").read_bytes().splitlines()
    return b"\n".join([lines[0], *(lines[1 + n % (len(lines) - 1)] for n in range(N_ROWS)), b""])


@pytest.fixture
def lose(stack: Deployment, endpoint: Runtime) -> Iterator[Callable[[], None]]:
    """The endpoint is there, until a worker has its second batch."""
    with ExitStack() as up:
        up.enter_context(serving(endpoint, endpoint.port))
        lock = threading.Lock()

        def take_away(event: dict[str, int]) -> None:
            with lock:
                if event["index"] == 1:
                    up.close()

        stack.spoil("worker", take_away)
        yield


def tries(stack: Deployment) -> Counter[int]:
    return Counter(event["index"] for event in stack.functions.of(f"{stack.table}-worker"))


def test_definition_waits_for_whatever_a_scorer_fails_with() -> None:
    known = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ScorerError)]
    names = {each.__name__ for each in known if each is not errors.ScorerError}

    batch = json.loads(DEFINITION.read_text())["States"]["ScoreBatches"]["ItemProcessor"]["States"]["ScoreBatch"]
    [patient] = [retry for retry in batch["Retry"] if "ScorerUnavailableError" in retry["ErrorEquals"]]

    assert set(patient["ErrorEquals"]) == names
    assert patient["MaxAttempts"] == TRIES - 1


@pytest.mark.usefixtures("lose")
def test_batches_wait_for_an_endpoint_that_comes_back(stack: Deployment, endpoint: Runtime) -> None:
    job = stack.create(stack.put(table()), carry=["transaction_id"])
    stack.engine.start(job)
    deadline = time.monotonic() + 30
    while tries(stack)[1] < 5:  # more than a batch gets that fails by anything else
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with serving(endpoint, endpoint.port):
        ended = stack.ended(job)

        assert ended.state == "completed", ended.error
        assert ended.counts.model_dump() == {"read": N_ROWS, "scored": N_ROWS, "rejected": 0}
        again = stack.run(stack.put(table(), "again.csv"), carry=["transaction_id"])
    ours, theirs = (stack.result(each) for each in (ended, again))
    assert {name: ours[name] for name in ours if name != "manifest.json"} == {
        name: theirs[name] for name in theirs if name != "manifest.json"
    }


@pytest.mark.usefixtures("lose")
def test_job_on_an_endpoint_that_stays_away_fails_with_exact_counts(stack: Deployment, endpoint: Runtime) -> None:
    failed = stack.run(stack.put(table()))

    assert (failed.state, failed.error and failed.error.code) == ("failed", "upstream_unavailable")
    assert max(tries(stack).values()) == TRIES
    parts = stack.result(failed)
    told = stack.engine.refresh(failed)
    assert told.counts.read == told.counts.scored == ROWS_PER_BATCH * len(parts) < N_ROWS
    assert "manifest.json" not in parts

    with serving(endpoint, endpoint.port):
        assert stack.redrive(failed).counts.scored == N_ROWS
