"""One simulated account for all tests here, and a stack of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from core.bundle import Bundle
from tests.jobs_aws.deployment import REGION, Deployment, deployed
from tests.jobs_aws.states import Functions, interpreting, isolated_writes
from tests.processes import free_port


@pytest.fixture(scope="session")
def account() -> Iterator[str]:
    """The address of the simulated account; requests go over real sockets, as the faults in some tests do."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch, isolated_writes():
        patch.setenv("MOTO_PORT", str(port))  # where the interpreter finds the other services
        server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
        server.start()
        yield f"http://localhost:{port}"
        server.stop()


@pytest.fixture
def aws(account: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment in which every client leads to the simulated account."""
    for name, value in {
        "AWS_ENDPOINT_URL": account,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "POWERTOOLS_TRACE_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return account


@pytest.fixture
def functions() -> Iterator[Functions]:
    known = Functions()
    with interpreting(known):
        yield known


@pytest.fixture
def stack(
    aws: str, functions: Functions, tiny: Bundle, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    """Jobs as template.yaml has them, with the small bundle."""
    with deployed(tiny, tiny_path, functions, monkeypatch) as stack:
        yield stack
