"""Whom a request counts for, behind a proxy: `X-Forwarded-For` is believed from trusted hops only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app_under_test import KEY
from tests.contract.exchange import Request
from tests.contract.transports import Socket
from tests.processes import serving


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        ({}, ["192.0.2.1", "192.0.2.2"], [401, 429]),
        ({"TRUSTED_PROXIES": "198.51.100.0/24"}, ["192.0.2.1", "192.0.2.2"], [401, 429]),
        ({"TRUSTED_PROXIES": "127.0.0.1"}, ["192.0.2.1", "192.0.2.2"], [401, 401]),
        ({"TRUSTED_PROXIES": "127.0.0.0/8, 10.0.0.0/8"}, ["192.0.2.1, 10.0.0.7", "192.0.2.2, 10.0.0.8"], [401, 401]),
        # What a client wrote itself stands before what the proxy added, and counts for nothing.
        ({"TRUSTED_PROXIES": "127.0.0.1"}, ["10.0.0.1, 192.0.2.1", "10.0.0.2, 192.0.2.1"], [401, 429]),
    ],
    ids=["nobody", "another", "this", "two-hops", "forged"],
)
def test_address_behind_a_proxy(
    tmp_path: Path, trusted: dict[str, str], forwarded: list[str], expected: list[int]
) -> None:
    with serving(tmp_path, API_KEY=KEY, AUTH_FAILURES_PER_MINUTE="1", **trusted) as server:
        ask = Socket(server.port).send
        assert [ask(Request("GET", "/model", ((b"x-forwarded-for", each.encode()),))).status for each in forwarded] == (
            expected
        )
