"""Structured logs: one JSON line an event on stdout, with nothing in it but fields of an allow-list."""

from __future__ import annotations

import logging
import time
import traceback
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import TypedDict

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
_PER_LINE_KEYS = frozenset({"level", "location", "message", "timestamp"})


_LEVELS = {
    level: logging.getLevelName(level) for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
}
_NO_PLACE = vars(logging.LogRecord(SERVICE, 0, "", 0, "", None, None))


class EventRecord(logging.LogRecord):
    """An event with its fields; a record of `logging` itself looks up thread, process and place, each time."""

    def __init__(self, level: int, event: str, fields: LogFields) -> None:
        self.__dict__.update(_NO_PLACE)
        self.levelno = level
        self.levelname = _LEVELS[level]
        self.created = time.time()
        self.msg = event
        self.event_fields = fields


class EventFormatter(LambdaPowertoolsFormatter):
    """Powertools' line for events of ours, put together in a tenth of the time: there is one for each request."""

    def format(self, record: logging.LogRecord) -> str:
        if not isinstance(record, EventRecord):
            return super().format(record)
        line = {
            "level": record.levelname,
            "message": record.msg,
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            **{key: value for key, value in self.log_format.items() if key not in _PER_LINE_KEYS and value is not None},
            **record.event_fields,
        }
        return to_json(line).decode()


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
        Logger(service=SERVICE, level=level, logger_formatter=formatter)
        self._logger = logging.getLogger(SERVICE)
        # Our own, since all apps of a process share the one logger, and its level is that of the first.
        self._level: int = getattr(logging, level)

    def debug(self, event: str, **fields: Unpack[LogFields]) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Unpack[LogFields]) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Unpack[LogFields]) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Unpack[LogFields]) -> None:
        self._write(logging.ERROR, event, fields)

    def unexpected(self, event: str, error: BaseException, **fields: Unpack[LogFields]) -> None:
        """Log a bug by the type of the error and where it rose.

        Its text stays out, because the text of a foreign error may quote what a caller sent.
        """
        frames = traceback.extract_tb(error.__traceback__)
        fields["error_type"] = type(error).__qualname__
        fields["error_location"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-10:]]
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: LogFields) -> None:
        if not _ALLOWED.issuperset(fields):
            raise TypeError(f"not loggable: {', '.join(sorted(fields.keys() - _ALLOWED))}")
        if level >= self._level:
            # Not by `log`, which first walks the stack for the place of the call.
            self._logger.handle(EventRecord(level, event, fields))
