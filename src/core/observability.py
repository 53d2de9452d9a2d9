"""Structured logs: one JSON line an event on stdout, with nothing in it but fields of an allow-list."""

from __future__ import annotations

import logging
import traceback
from typing import TypedDict

from aws_lambda_powertools import Logger
from typing_extensions import Unpack

SERVICE = "fraud-scoring"


class LogFields(TypedDict, total=False):
    """All that a log line may say: never a feature value, an identifier that a caller chose, or a key."""

    request_id: str
    trace_id: str
    route: str
    method: str
    status: int
    latency_ms: float
    score_ms: float
    error_code: str
    error_type: str
    error_location: list[str]
    n_transactions: int
    approve: int
    review: int
    decline: int
    model_version: str
    scorer: str


class EventLog:
    """Writes events; a field that is not in `LogFields` is a type error and raises at run time."""

    def __init__(self, level: str) -> None:
        self._logger = Logger(service=SERVICE, level=level, location=None, use_rfc3339=True)

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
        if unknown := fields.keys() - LogFields.__annotations__.keys():
            raise TypeError(f"not loggable: {', '.join(sorted(unknown))}")
        if level >= self._logger.log_level:
            self._logger.log(level, event, extra=dict(fields))  # type: ignore[attr-defined]
