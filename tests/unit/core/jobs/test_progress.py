"""The progress line: a terminal sees it change, a log gets a line now and then."""

from __future__ import annotations

import io

import pytest

from core.jobs.progress import ProgressLine, describe, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_describe_tells_the_pace_of_this_attempt_and_the_time_left() -> None:
    line = describe(60_000, 0.6, first=(20_000, 0.2), elapsed_s=10.0)

    assert line == "[##############..........]  60%  60,000 rows  4,000 rows/s  10 s left"


def test_describe_says_nothing_of_a_pace_that_is_not_known_yet() -> None:
    assert (
        describe(20_000, 0.25, first=(20_000, 0.25), elapsed_s=10.0) == "[######..................]  25%  20,000 rows"
    )


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")])
def test_duration_is_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_terminal_keeps_one_line_and_a_log_is_spared() -> None:
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        line = ProgressLine(stream)
        line.show(10, 0.1)
        line.show(20, 0.2)
        line.close()

    assert terminal.getvalue().count("\r\x1b[K") == 3
    assert terminal.getvalue().endswith("\x1b[K")
    assert "\n" not in terminal.getvalue()
    assert log.getvalue() == ""
