"""Structured logs: one JSON line an event on stdout, with nothing in it but fields of an allow-list."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TextIO, TypedDict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from pydantic_core import to_json
from typing_extensions import Unpack

SERVICE = "fraud-scoring"


class LogFields(TypedDict, total=False):
    """All that a log line may say: never a feature value, an identifier that a caller chose, or a key."""

    request_id: str
    trace_id: str
    route: str
    method: str
    key_id: str
    status: int
    latency_ms: float
    score_ms: float
    explain_ms: float
    error_code: str
    error_type: str
    error_reason: str
    """Of what the operator gave, never of what a caller sent."""
    error_location: list[str]
    n_transactions: int
    explained: int
    approve: int
    review: int
    decline: int
    model_version: str
    scorer: str
    variant: str
    degraded: bool


_ALLOWED = frozenset(LogFields.__annotations__)

_LEVELS = {
    level: logging.getLevelName(level) for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
}
_NO_RECORD = logging.LogRecord(SERVICE, 0, "", 0, "", None, None)


class EventFormatter(LambdaPowertoolsFormatter):
    """Powertools' line, and that of our events, which is put together in a tenth of the time: each request has one."""

    _millisecond = -1
    _millisecond_text = ""

    def line_of(self, level: int, event: str, fields: LogFields) -> str:
        """Return what `format` would, without a record, which looks up thread, process and place each time."""
        line = {
            **self.log_format,
            "level": _LEVELS[level],
            "message": event,
            "timestamp": self._timestamp(time.time()),
            **fields,
        }
        if None in line.values():
            line = {key: value for key, value in line.items() if value is not None}
        return to_json(line).decode()

    def _timestamp(self, created: float) -> str:
        """Return RFC 3339 in UTC with milliseconds; it is the same for all lines of a millisecond."""
        millisecond = int(created * 1000)
        if millisecond != self._millisecond:
            moment = datetime.fromtimestamp(millisecond / 1000, timezone.utc)
            self._millisecond, self._millisecond_text = millisecond, moment.isoformat(timespec="milliseconds")
        return self._millisecond_text


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # no generic class before Python 3.11


class LineHandler(_StreamHandler):
    """Writes lines to stdout: each at once, or when `later` says so."""

    later: Callable[[Callable[[], None]], None] | None = None
    formatter: EventFormatter

    def write_event(self, level: int, event: str, fields: LogFields) -> None:
        """Write what `handle` would of a record of the event."""
        try:
            # By one write, so that nothing comes in between.
            self.stream.write(self.formatter.line_of(level, event, fields) + self.terminator)
        except (OSError, ValueError):  # there is no room, the stream is closed, or a path in it is no text
            self.handleError(_NO_RECORD)
        self.flush()

    def flush(self) -> None:
        if self.later is None:
            self._flush_now()
        else:
            self.later(self._flush_now)

    def _flush_now(self) -> None:
        with suppress(ValueError):  # the stream is closed, as it may be when the process ends
            try:
                super().flush()
            except OSError:
                self.handleError(_NO_RECORD)


def flush_lines_by(later: Callable[[Callable[[], None]], None] | None) -> None:
    """Let the lines of the log leave the process when `later` calls what it is given; None: each at once."""
    for handler in logging.getLogger(SERVICE).handlers:
        if isinstance(handler, LineHandler):
            handler.later = later


_request_fields: ContextVar[LogFields | None] = ContextVar("request_fields", default=None)


def collect_annotations(fields: LogFields) -> None:
    """Let `annotate` write to `fields`, from here on in this task."""
    _request_fields.set(fields)


def annotate(**fields: Unpack[LogFields]) -> None:
    """Add to the log line of the request that this task answers, if it answers one."""
    known = _request_fields.get()
    if known is not None:
        known.update(fields)


class EventLog:
    """Writes events; a field that is not in `LogFields` is a type error and raises at run time."""

    def __init__(self, level: str) -> None:
        formatter = EventFormatter(location=None, use_rfc3339=True, utc=True)
        Logger(service=SERVICE, level=level, logger_formatter=formatter, logger_handler=LineHandler(sys.stdout))
        # They have no value, and would have to be taken out of each line.
        formatter.remove_keys(["location", "sampling_rate"])
        self._logger = logging.getLogger(SERVICE)
        # Our own, since all apps of a process share the one logger, and its level is that of the first.
        self._level: int = getattr(logging, level)

    def debug(self, event: str, **fields: Unpack[LogFields]) -> None:
        self.write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Unpack[LogFields]) -> None:
        self.write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Unpack[LogFields]) -> None:
        self.write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Unpack[LogFields]) -> None:
        self.write(logging.ERROR, event, fields)

    def unexpected(self, event: str, error: BaseException, **fields: Unpack[LogFields]) -> None:
        """Log a bug by the type of the error and where it rose.

        Its text stays out, because the text of a foreign error may quote what a caller sent.
        """
        frames = traceback.extract_tb(error.__traceback__)
        fields["error_type"] = type(error).__qualname__
        fields["error_location"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-10:]]
        self.write(logging.ERROR, event, fields)

    def write(self, level: int, event: str, fields: LogFields) -> None:
        """Write `event` with `fields`, which stay the caller's."""
        if not fields.keys() <= _ALLOWED:
            raise TypeError(f"not loggable: {', '.join(sorted(fields.keys() - _ALLOWED))}")
        if level >= self._level:
            for handler in self._logger.handlers:
                if isinstance(handler, LineHandler):
                    handler.write_event(level, event, fields)
