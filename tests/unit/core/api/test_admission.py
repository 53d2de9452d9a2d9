"""`Admission`: places, a queue as long, and a short patience."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from core.api import admission
from core.api.admission import ARRIVED, MAX_WAIT_S, Admission
from core.errors import OverloadedError


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 20))


def test_enter_waits_for_a_place_in_the_order_of_arrival() -> None:
    async def scenario() -> None:
        places, order = Admission(2), []

        async def work(name: int) -> None:
            await places.enter()
            order.append(name)

        await work(0)
        await work(1)
        waiting = [asyncio.create_task(work(name)) for name in (2, 3)]
        await asyncio.sleep(0)
        assert order == [0, 1]
        places.leave()
        places.leave()
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3]

    run(scenario())


def test_enter_turns_away_who_waited_too_long_and_whom_the_queue_has_no_room_for() -> None:
    async def scenario() -> None:
        places = Admission(1)
        await places.enter()
        assert not places.refuses({})
        waiting = asyncio.create_task(places.enter())
        await asyncio.sleep(0)
        assert places.refuses({})
        with pytest.raises(OverloadedError):
            await places.enter()
        with pytest.raises(OverloadedError):
            await waiting
        assert not places.refuses({})
        places.leave()
        await places.enter()  # who gave up took no place along

    run(scenario())


def test_enter_cancelled_leaves_its_place_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the place is given in the very moment in which the wait ends."""
    monkeypatch.setattr(admission, "MAX_WAIT_S", 10)

    async def scenario(given_meanwhile: bool) -> None:
        places = Admission(1)
        await places.enter()
        waiting = asyncio.create_task(places.enter())
        await asyncio.sleep(0)
        if given_meanwhile:
            places.leave()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not given_meanwhile:
            places.leave()
        await asyncio.wait_for(places.enter(), 1)

    for given_meanwhile in (False, True):
        run(scenario(given_meanwhile))


def test_refuses_what_waited_too_long_once_that_has_become_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause of the process makes all wait once; a queue that stands makes them wait again and again."""
    now = [1000.0]
    monkeypatch.setattr(admission.time, "perf_counter", lambda: now[0])
    places = Admission(1)

    def refused(waited_s: float, later_s: float) -> bool:
        now[0] += later_s
        return places.refuses({ARRIVED: now[0] - waited_s})

    assert not any(refused(0.3, 0.01) for _ in range(20))
    assert not refused(MAX_WAIT_S / 2, 0.01)
    assert [refused(0.3, 0.2) for _ in range(5)] == [False, False, False, True, True]
    assert not refused(MAX_WAIT_S / 2, 0.01)
    assert not refused(0.3, 0.2)
    assert not refused(0.3, 3600)
