"""How far a run is, on one line of a terminal; in a log, a line now and then."""

from __future__ import annotations

import time
from typing import TextIO

_BAR_CELLS = 24
_LINE_EVERY_S = 10.0
_CLEAR_LINE = "\r\x1b[K"


class ProgressLine:
    """Rows so far, rows per second of this attempt, and the time that is left at this pace."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._started = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._written = self._started if not self._is_terminal else 0.0

    def show(self, rows: int, share: float) -> None:
        """Say that `rows` are done, which are this `share` of the whole."""
        now = time.monotonic()
        self._first = self._first or (rows, share)
        if not self._is_terminal and now - self._written < _LINE_EVERY_S:
            return
        self._written = now
        line = describe(rows, share, self._first, now - self._started)
        self._stream.write(f"{_CLEAR_LINE}{line}" if self._is_terminal else f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the terminal's line to whoever writes next."""
        if self._is_terminal:
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()


def describe(rows: int, share: float, first: tuple[int, float], elapsed_s: float) -> str:
    """Return the line; `first` is what was done before the pace could be measured: rows, and their share."""
    full = round(share * _BAR_CELLS)
    line = f"[{'#' * full}{'.' * (_BAR_CELLS - full)}] {share:4.0%}  {rows:,} rows"
    if rows > first[0] and share > first[1] and elapsed_s > 0:
        line += f"  {(rows - first[0]) / elapsed_s:,.0f} rows/s"
        line += f"  {duration((1 - share) / (share - first[1]) * elapsed_s)} left"
    return line


def duration(seconds: float) -> str:
    """Return hours, minutes and seconds, less what is nought in front."""
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"
