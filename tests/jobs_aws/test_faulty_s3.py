"""S3 that asks to slow down, stalls or breaks off is asked again, up to three times; then the batch says so."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import JobsUnavailableError
from core.jobs.aws import clients
from core.jobs.aws.clients import make_client
from core.jobs.aws.objects import Objects, Pinned
from tests.jobs_aws.deployment import Deployment
from tests.jobs_aws.faulty_s3 import Fault, FaultyS3, break_off, faulty_s3, slow_down, stall
from tests.jobs_aws.test_state_machine import csv_table, parts_of

DATA = bytes(range(256)) * 8
PATIENCE_S = 1.0
REQUESTS = [(slow_down, 4), (break_off, 3), (stall, 3)]
"""How often a read is asked for in all: the SDK repeats a refused one, and we one that broke off."""


@pytest.fixture
def proxy(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """What all clients of S3 that are made from now on lead to."""
    with faulty_s3(aws) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


@pytest.fixture
def source(stack: Deployment, proxy: FaultyS3) -> Pinned:
    return stack.objects.find(stack.put(DATA))


@pytest.fixture
def impatient(source: Pinned, proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """Objects behind the proxy, through a client that does not wait long for those that stall."""
    monkeypatch.setattr(clients, "_READ_TIMEOUT_S", PATIENCE_S)
    client = make_client("s3")
    yield Objects(client)
    client.close()


@pytest.mark.parametrize(("fault", "requests"), REQUESTS)
def test_read_outlasts_as_many_faults_as_there_are_repetitions(
    impatient: Objects, source: Pinned, proxy: FaultyS3, fault: Fault, requests: int
) -> None:
    proxy.fault, proxy.n_faults, proxy.reads = fault, requests - 1, 0

    assert impatient.read(source, 100, 1900) == DATA[100:1900]
    assert proxy.reads == requests


@pytest.mark.parametrize(("fault", "requests"), REQUESTS)
def test_read_gives_up_after_three_repetitions_at_most(
    impatient: Objects, source: Pinned, proxy: FaultyS3, fault: Fault, requests: int
) -> None:
    proxy.fault, proxy.n_faults, proxy.reads = fault, math.inf, 0

    with pytest.raises(JobsUnavailableError):
        impatient.read(source, 100, 1900)

    assert proxy.reads == requests


def test_job_whose_file_breaks_off_again_and_again_fails_with_its_code_and_a_redrive_completes_it(
    proxy: FaultyS3, stack: Deployment
) -> None:
    location = stack.put(csv_table(30))
    undisturbed = parts_of(stack, stack.run(location))

    def begin(_: Any) -> None:
        proxy.fault, proxy.n_faults = break_off, math.inf

    mend = stack.spoil("worker", begin)
    failed = stack.run(location)
    mend()
    proxy.n_faults = 0

    assert (failed.state, failed.error and failed.error.code) == ("failed", "jobs_unavailable")
    assert stack.result(failed) == {}
    mended = stack.redrive(failed)
    assert (mended.state, mended.error) == ("completed", None)
    assert parts_of(stack, mended) == undisturbed
