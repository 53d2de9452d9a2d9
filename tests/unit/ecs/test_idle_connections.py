"""A connection is closed once nothing has come in for the keep-alive time, by one timer for all its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI

from core.bundle import Bundle
from core.scoring.static import StaticScorer
from tests.app_under_test import app_with
from tests.one_turn import Connections, request_for

KEEP_ALIVE_S = 5
"""Uvicorn's own default."""
HEALTH = request_for("/health", method="GET")


class SkippingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward, and that counts its timers."""

    skipped_s = 0.0
    n_timers = 0

    def time(self) -> float:
        return super().time() + self.skipped_s

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.n_timers += 1
        return super().call_at(*args, **kwargs)

    async def skip(self, seconds: float) -> None:
        """Let `seconds` pass, and what is due then run."""
        self.skipped_s += seconds
        for _ in range(3):
            await asyncio.sleep(0)


Scenario = Callable[[SkippingLoop, Connections], Awaitable[None]]


@pytest.fixture
def run(tiny: Bundle) -> Callable[[Scenario], None]:
    """Run a scenario with one connection."""
    app: FastAPI = app_with(tiny, StaticScorer(0.5), head_timeout_s=60.0)
    loop = SkippingLoop()

    async def connect(scenario: Scenario) -> None:
        connections = Connections(app, 1)
        await scenario(loop, connections)
        connections.close()

    def run_scenario(scenario: Scenario) -> None:
        try:
            loop.run_until_complete(connect(scenario))
        finally:
            loop.close()

    return run_scenario


async def is_answered(connections: Connections, request: bytes = HEALTH) -> bool:
    [pieces] = await connections.ask(request)
    return b"".join(pieces).startswith(b"HTTP/1.1 200 ")


async def check_closed_when_idle(loop: SkippingLoop, connections: Connections) -> None:
    """Check that the connection, idle from now on, is closed after the keep-alive time and not before."""
    await loop.skip(KEEP_ALIVE_S - 1)
    assert connections.wires[0].is_open
    await loop.skip(1.1)
    assert not connections.wires[0].is_open


def test_connection_on_which_nothing_comes_is_closed(run: Callable[[Scenario], None]) -> None:
    async def scenario(loop: SkippingLoop, connections: Connections) -> None:
        await check_closed_when_idle(loop, connections)

    run(scenario)


def test_time_counts_from_the_last_reply(run: Callable[[Scenario], None]) -> None:
    async def scenario(loop: SkippingLoop, connections: Connections) -> None:
        for _ in range(4):
            await loop.skip(KEEP_ALIVE_S - 1)
            assert await is_answered(connections)
        await check_closed_when_idle(loop, connections)

    run(scenario)


def test_request_that_comes_in_slowly_keeps_its_connection(run: Callable[[Scenario], None]) -> None:
    async def scenario(loop: SkippingLoop, connections: Connections) -> None:
        assert await is_answered(connections)
        await loop.skip(KEEP_ALIVE_S - 1)
        await connections.ask(HEALTH[:10])
        await loop.skip(KEEP_ALIVE_S - 1)
        assert connections.wires[0].is_open
        assert await is_answered(connections, HEALTH[10:])
        await check_closed_when_idle(loop, connections)

    run(scenario)


def test_body_that_comes_after_its_refusal_leaves_the_connection_idle(run: Callable[[Scenario], None]) -> None:
    """And not with a new request begun, which would be answered with a 408 that nobody has asked for."""
    request = request_for("/predict", "content-type: application/json", body=b"{}")

    async def scenario(loop: SkippingLoop, connections: Connections) -> None:
        [refusal] = await connections.ask(request[:-2])
        assert b"".join(refusal).startswith(b"HTTP/1.1 401 ")
        await loop.skip(1)
        await connections.ask(request[-2:])
        await check_closed_when_idle(loop, connections)
        assert not connections.wires[0].sent

    run(scenario)


def test_requests_start_no_timers(run: Callable[[Scenario], None]) -> None:
    async def scenario(loop: SkippingLoop, connections: Connections) -> None:
        before = loop.n_timers
        for _ in range(20):
            assert await is_answered(connections)
        assert loop.n_timers == before

    run(scenario)
