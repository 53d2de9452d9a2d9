"""`EventLog`: one JSON line an event, of allowed fields only."""

from __future__ import annotations

import io
import json
import logging
import os
from typing import Any

import pytest

from core.observability import EventFormatter, EventLog, LineHandler, LogFields


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_write_is_one_json_line_with_the_fields(event_lines: io.StringIO) -> None:
    EventLog("INFO").info("request", request_id="r-1", status=200, latency_ms=1.5)

    [line] = lines(event_lines)
    assert line.pop("timestamp").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "message": "request",
        "service": "fraud-scoring",
        "request_id": "r-1",
        "status": 200,
        "latency_ms": 1.5,
    }


@pytest.mark.parametrize(
    ("level", "written"),
    [("DEBUG", ["d", "i", "w", "e"]), ("INFO", ["i", "w", "e"]), ("WARNING", ["w", "e"]), ("ERROR", ["e"])],
)
def test_write_below_the_level_is_left_out(event_lines: io.StringIO, level: str, written: list[str]) -> None:
    log = EventLog(level)

    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")

    assert [line["message"] for line in lines(event_lines)] == written


@pytest.mark.parametrize("level", ["DEBUG", "ERROR"])
def test_write_field_that_is_not_allowed_raises_even_where_nothing_is_written(
    event_lines: io.StringIO, level: str
) -> None:
    with pytest.raises(TypeError, match=r"^not loggable: Amount, transaction_id$"):
        EventLog(level).debug("request", Amount=7391.482913, transaction_id="t-1")  # type: ignore[call-arg]
    assert event_lines.getvalue() == ""


def test_write_line_breaks_and_quotes_stay_inside_their_line(event_lines: io.StringIO) -> None:
    EventLog("INFO").info('a\r\n{"level":"x"}', request_id='"\x1b[31m\n')

    [line] = lines(event_lines)
    assert line["message"] == 'a\r\n{"level":"x"}'
    assert line["request_id"] == '"\x1b[31m\n'


def test_unexpected_tells_the_kind_and_the_place_of_a_bug_and_never_its_text(event_lines: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("card 4111111111111111")

    try:
        fail()
    except ValueError as error:
        EventLog("INFO").unexpected("internal error", error, request_id="r-1")

    [line] = lines(event_lines)
    assert line["level"] == "ERROR"
    assert line["error_type"] == "ValueError"
    assert line["error_location"][-1].endswith(" fail")
    assert "4111" not in event_lines.getvalue()


def test_unexpected_cause_and_context_stay_out_too(event_lines: io.StringIO) -> None:
    try:
        try:
            int("4111111111111111x")
        except ValueError as inner:
            raise RuntimeError("4111111111111111") from inner
    except RuntimeError as error:
        EventLog("DEBUG").unexpected("internal error", error)

    assert "4111" not in event_lines.getvalue()


def test_log_fields_hold_nothing_that_a_caller_chose() -> None:
    assert LogFields.__annotations__.keys().isdisjoint({"transaction_id", "body", "path", "query", "headers", "key"})


def handler_of(stream: io.StringIO) -> LineHandler:
    handler = LineHandler(stream)
    handler.setFormatter(EventFormatter())
    return handler


class CountingStream(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.n_flushes = 0

    def flush(self) -> None:
        self.n_flushes += 1


class FullStream(io.StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_line_leaves_at_once_unless_told_otherwise() -> None:
    handler = handler_of(CountingStream())

    for event in ("one", "two"):
        handler.write_event(logging.INFO, event, {})

    assert [line["message"] for line in lines(handler.stream)] == ["one", "two"]
    assert handler.stream.n_flushes == 2


def test_lines_leave_together_when_they_are_told_to() -> None:
    handler, due = handler_of(CountingStream()), set()
    handler.later = due.add

    for event in ("one", "two"):
        handler.write_event(logging.INFO, event, {})
    assert handler.stream.n_flushes == 0
    for flush in due:
        flush()

    assert len(due) == 1
    assert handler.stream.n_flushes == 1


@pytest.mark.parametrize("is_later", [False, True])
def test_line_that_cannot_leave_raises_nothing_and_is_reported(
    capsys: pytest.CaptureFixture[str], is_later: bool
) -> None:
    handler = handler_of(FullStream())
    if is_later:
        handler.later = lambda flush: flush()

    handler.write_event(logging.INFO, "one", {})

    assert "No space left on device" in capsys.readouterr().err


def test_line_with_a_path_that_is_no_text_raises_nothing_and_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()

    handler_of(stream).write_event(logging.ERROR, "model refused", {"error_reason": os.fsdecode(b"/srv/\xff: missing")})

    assert stream.getvalue() == ""
    assert "surrogates not allowed" in capsys.readouterr().err
