"""The contract table on the container: the replies of the app in this process, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.bootstrap import build_app
from tests.app_under_test import (
    KEY,
    MAX_BATCH_BODY_BYTES,
    MAX_BATCH_ITEMS,
    MAX_BODY_BYTES,
    MAX_EXPLAINED_ITEMS,
    MORE_KEYS,
    settings_of_tests,
)
from tests.contract.exchange import Reply
from tests.contract.table import TABLE
from tests.contract.transports import Socket, Transport
from tests.e2e.containers import HARDENED, serving

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("image")]

SAME_HEADERS = ("content-type", "x-model-version", "allow", "www-authenticate", "retry-after", "connection")


@pytest.fixture(scope="module")
def here() -> Iterator[Transport]:
    with Socket.open_uvicorn(build_app(settings_of_tests())) as transport:
        yield transport


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[Transport]:
    limits = {
        "AUTH_FAILURES_PER_MINUTE": "0",
        "MAX_EXPLAINED_ITEMS": str(MAX_EXPLAINED_ITEMS),
        "MAX_BATCH_ITEMS": str(MAX_BATCH_ITEMS),
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "MAX_BATCH_BODY_BYTES": str(MAX_BATCH_BODY_BYTES),
    }
    with serving(*HARDENED, API_KEY=f"{KEY},{MORE_KEYS}", LOG_LEVEL="ERROR", **limits) as serving_container:
        yield Socket(serving_container.port)


@pytest.mark.parametrize("name", [name for name, case in TABLE.items() if "uvicorn" not in case.not_on])
def test_container_replies_as_the_app_does(here: Transport, container: Transport, name: str) -> None:
    request = TABLE[name].named_request()
    expected, reply = here.send(request), container.send(request)
    assert reply.status == expected.status == TABLE[name].status
    assert headers_of(reply) == headers_of(expected)
    assert without_request_id(reply) == without_request_id(expected)


def headers_of(reply: Reply) -> dict[str, list[str]]:
    """Return the headers that must be the same, as lists: the order of `Allow` is nobody's promise."""
    return {name: sorted((reply.header(name) or "").split(", ")) for name in SAME_HEADERS}


def without_request_id(reply: Reply) -> bytes:
    return reply.body.replace((reply.header("x-request-id") or "<none>").encode(), b"")
