"""What waits for the end of a turn, and in how many pieces a reply leaves."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import cast

from loop_turn import EndOfTurn, Outgoing

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"{}"


def in_a_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Let `test` run in an event loop of its own."""

    @functools.wraps(test)
    def run() -> None:
        async def whole() -> None:
            await test()

        asyncio.run(whole())

    return run


class Recorder:
    """What a transport is asked to do."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def outgoing(at_work: int) -> tuple[Outgoing, Recorder]:
    """Return what writes to the recorder, in the running loop."""
    recorder = Recorder()
    turn = EndOfTurn(asyncio.get_running_loop(), range(at_work))
    return Outgoing(cast("asyncio.Transport", recorder), turn), recorder


async def turns(n: int = 2) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


@in_a_loop
async def test_head_and_body_leave_in_one_piece_at_once_when_nobody_else_is_at_work() -> None:
    out, recorder = outgoing(at_work=1)

    out.write(HEAD)
    assert recorder.sent == []
    out.write(BODY)

    assert recorder.sent == [HEAD + BODY]


@in_a_loop
async def test_replies_of_one_turn_leave_at_its_end() -> None:
    out, recorder = outgoing(at_work=2)

    for _ in range(2):
        out.write(HEAD)
        out.write(BODY)
    assert recorder.sent == []
    await turns()

    assert recorder.sent == [HEAD + BODY + HEAD + BODY]


@in_a_loop
async def test_each_piece_of_a_long_body_leaves_in_its_turn() -> None:
    out, recorder = outgoing(at_work=2)

    out.write(HEAD)
    for _ in range(3):
        out.write(BODY)
        await turns()

    assert recorder.sent == [HEAD + BODY, BODY, BODY]


@in_a_loop
async def test_call_to_go_on_leaves_without_a_reply() -> None:
    out, recorder = outgoing(at_work=1)

    out.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    assert recorder.sent == [b"HTTP/1.1 100 Continue\r\n\r\n"]


@in_a_loop
async def test_head_without_a_body_leaves_when_the_reply_ends() -> None:
    out, recorder = outgoing(at_work=1)

    out.write(HEAD)
    out.end_reply()

    assert recorder.sent == [HEAD]


@in_a_loop
async def test_what_is_held_leaves_before_the_connection_closes() -> None:
    out, recorder = outgoing(at_work=2)

    out.write(HEAD)
    out.write(BODY)
    out.close()
    await turns()

    assert recorder.sent == [HEAD + BODY]
    assert recorder.closed


@in_a_loop
async def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    out, recorder = outgoing(at_work=2)

    out.write(HEAD)
    out.write(BODY)
    recorder.closed = True
    await turns()

    assert recorder.sent == []


@in_a_loop
async def test_callback_runs_once_a_turn_however_often_it_is_asked_for() -> None:
    turn, ran = EndOfTurn(asyncio.get_running_loop(), range(2)), []

    def note() -> None:
        ran.append(1)

    for _ in range(3):
        turn.call(note)
    assert ran == []
    await turns()
    turn.call(note)
    await turns()

    assert len(ran) == 2


@in_a_loop
async def test_other_thread_waits_for_no_turn() -> None:
    turn, ran = EndOfTurn(asyncio.get_running_loop(), range(2)), []

    await asyncio.to_thread(turn.call, lambda: ran.append(1))

    assert ran == [1]
