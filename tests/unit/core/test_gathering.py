"""One call for those who ask in turns of the loop in a row: who shares it, and what faults and absence do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from core.errors import ScorerModelError
from core.gathering import MAX_WAIT_S, Gatherer

Ask = Callable[[list[int]], Awaitable[list[int]]]


class Doubling:
    """Answers twice the item; has no answer where `refused` is among them, and a bug where `bug` is."""

    def __init__(self, refused: int | None = None, bug: int | None = None, takes_turns: int = 0) -> None:
        self.calls: list[list[int]] = []
        self._refused = refused
        self._bug = bug
        self._takes_turns = takes_turns

    async def __call__(self, items: list[int]) -> list[int]:
        self.calls.append(list(items))
        for _ in range(self._takes_turns):
            await asyncio.sleep(0)
        if self._refused in items:
            raise ScorerModelError("no score")
        if self._bug in items:
            raise ZeroDivisionError
        return [2 * item for item in items]


async def ask_at_once(gatherer: Gatherer[int, int], items: range) -> list[int | BaseException]:
    return await asyncio.gather(*(gatherer.answer(item) for item in items), return_exceptions=True)


def test_those_of_one_turn_share_a_call_and_get_their_own_answers() -> None:
    ask = Doubling()

    answers = asyncio.run(ask_at_once(Gatherer(ask, most=64), range(5)))

    assert answers == [0, 2, 4, 6, 8]
    assert ask.calls == [[0, 1, 2, 3, 4]]


def test_those_of_the_turns_right_after_share_it_too_until_one_brings_nobody() -> None:
    ask = Doubling()
    gatherer = Gatherer(ask, most=64)

    async def run() -> list[int]:
        asked = [asyncio.ensure_future(gatherer.answer(item)) for item in (0, 1)]
        for item in (2, 3):
            await asyncio.sleep(0)
            asked.append(asyncio.ensure_future(gatherer.answer(item)))
        for _ in range(3):
            await asyncio.sleep(0)
        asked.append(asyncio.ensure_future(gatherer.answer(4)))
        return await asyncio.gather(*asked)

    assert asyncio.run(run()) == [0, 2, 4, 6, 8]
    assert ask.calls == [[0, 1, 2, 3], [4]]


def test_who_came_first_does_not_wait_for_all_that_long_turns_bring() -> None:
    ask = Doubling()
    gatherer = Gatherer(ask, most=64)

    async def run() -> list[int]:
        asked = [asyncio.ensure_future(gatherer.answer(item)) for item in (0, 1)]
        for item in range(2, 10):
            await asyncio.sleep(0)
            time.sleep(MAX_WAIT_S)  # noqa: ASYNC251 - as a batch that is read in the same turn would
            asked.append(asyncio.ensure_future(gatherer.answer(item)))
        return await asyncio.gather(*asked)

    assert asyncio.run(run()) == [2 * item for item in range(10)]
    assert max(map(len, ask.calls)) <= 3


def test_full_call_is_made_without_another_turn() -> None:
    ask = Doubling()
    gatherer = Gatherer(ask, most=3)

    async def run() -> None:
        asked = [asyncio.ensure_future(gatherer.answer(item)) for item in range(3)]
        await asyncio.sleep(0)
        assert ask.calls == []
        await asyncio.sleep(0)
        assert ask.calls == [[0, 1, 2]]
        await asyncio.gather(*asked)

    asyncio.run(run())


def test_who_asks_alone_is_asked_for_alone() -> None:
    ask = Doubling()
    gatherer = Gatherer(ask, most=64)

    async def one_after_the_other() -> list[int]:
        return [await gatherer.answer(item) for item in range(3)]

    assert asyncio.run(one_after_the_other()) == [0, 2, 4]
    assert ask.calls == [[0], [1], [2]]


def test_call_takes_no_more_than_it_may() -> None:
    ask = Doubling()

    answers = asyncio.run(ask_at_once(Gatherer(ask, most=3), range(8)))

    assert answers == [2 * item for item in range(8)]
    assert ask.calls == [[0, 1, 2], [3, 4, 5], [6, 7]]


@pytest.mark.parametrize("culprit", [0, 2, 4])
def test_item_without_an_answer_costs_no_other_its_own(culprit: int) -> None:
    answers = asyncio.run(ask_at_once(Gatherer(Doubling(refused=culprit), most=64), range(5)))

    assert isinstance(answers.pop(culprit), ScorerModelError)
    assert answers == [2 * item for item in range(5) if item != culprit]


@pytest.mark.parametrize("culprit", [1, 4])
def test_bug_is_raised_where_it_is_met_and_leaves_nobody_waiting(culprit: int) -> None:
    answers = asyncio.run(ask_at_once(Gatherer(Doubling(bug=culprit), most=64), range(5)))

    assert isinstance(answers[culprit], ZeroDivisionError)
    # Who made the call met the bug as well: it is not his to try again.
    assert isinstance(answers[0], ZeroDivisionError)
    assert [answers[item] for item in range(1, 5) if item != culprit] == [
        2 * item for item in range(1, 5) if item != culprit
    ]


@pytest.mark.parametrize("gone", [0, 3])
@pytest.mark.parametrize("after_turns", [1, 2, 3])
def test_caller_who_goes_away_leaves_the_others_their_answers(gone: int, after_turns: int) -> None:
    gatherer = Gatherer(Doubling(takes_turns=2), most=64)

    async def run() -> list[int | BaseException]:
        tasks = [asyncio.ensure_future(gatherer.answer(item)) for item in range(5)]
        for _ in range(after_turns):
            await asyncio.sleep(0)
        tasks[gone].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(run())

    assert isinstance(answers.pop(gone), asyncio.CancelledError)
    assert answers == [2 * item for item in range(5) if item != gone]


def test_who_comes_while_a_call_is_under_way_is_in_the_next() -> None:
    ask = Doubling(takes_turns=3)
    gatherer = Gatherer(ask, most=64)

    async def run() -> list[int]:
        first = [asyncio.ensure_future(gatherer.answer(item)) for item in (0, 1)]
        for _ in range(3):
            await asyncio.sleep(0)
        assert ask.calls == [[0, 1]]
        second = [asyncio.ensure_future(gatherer.answer(item)) for item in (2, 3)]
        return await asyncio.gather(*first, *second)

    assert asyncio.run(run()) == [0, 2, 4, 6]
    assert ask.calls == [[0, 1], [2, 3]]


def test_another_loop_does_not_wait_for_a_group_of_this_one() -> None:
    gatherer = Gatherer(Doubling(), most=64)
    left = asyncio.new_event_loop()
    task = left.create_task(gatherer.answer(1))
    left.call_soon(left.stop)
    left.run_forever()  # one turn: the group is open, and its loop goes no further

    assert asyncio.run(asyncio.wait_for(gatherer.answer(2), 5)) == 4

    assert left.run_until_complete(task) == 2
    left.close()
