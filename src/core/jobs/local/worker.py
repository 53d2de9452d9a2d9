"""One process that scores: a chunk in, a part on the disk, and word of it back. It ends when nobody listens."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from core.errors import BundleError, JobFailedError, ScorerError, StartupError
from core.jobs.chunks import ScoredChunk, score_chunk
from core.jobs.formats.base import Layout
from core.jobs.formats.choice import format_of
from core.jobs.local.folders import write_durably
from core.jobs.records import FormatName
from core.jobs.results import Part, part_name
from core.jobs.rows import Rows
from core.service import ScoringService
from core.settings import Settings
from core.transactions import TransactionSchema

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0

BuildService = Callable[[Settings], ScoringService]


@dataclass(frozen=True)
class WorkOrder:
    """What a worker must know of a run."""

    build_service: BuildService
    settings: Settings
    bundle_sha256: str
    format: FormatName
    layout: Layout
    reasons: bool
    folder: Path
    patience_s: float
    """How long a scorer that gives no scores is asked again before the job fails."""
    niceness: int


@dataclass(frozen=True)
class Assignment:
    """A chunk to score."""

    position: int
    payload: bytes


@dataclass(frozen=True)
class Done:
    """A part that is written."""

    position: int
    payload_sha256: str
    part: Part


@dataclass(frozen=True)
class Failed:
    """Why there will be no part."""

    code: str
    text: str


def work(connection: Connection, order: WorkOrder) -> None:
    """Score assignments until the other end closes, which it also does by dying."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives out the work
    if hasattr(os, "nice"):
        os.nice(order.niceness)
    try:
        worker = Worker(order)
    except StartupError as error:
        connection.send(Failed("model_unavailable", f"{error}"))
        return
    try:
        while True:
            connection.send(worker.answer(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


class Worker:
    """Scores chunks of one run with a service of its own."""

    def __init__(self, order: WorkOrder) -> None:
        self._order = order
        self._service = order.build_service(order.settings)
        if self._service.bundle.digest != order.bundle_sha256:
            raise BundleError("The model bundle is not the one that the job began with.")
        self._schema = TransactionSchema(self._service.bundle.manifest.fields)
        self._format = format_of(order.format)
        self._loop = asyncio.new_event_loop()

    def answer(self, assignment: Assignment) -> Done | Failed:
        """Write the part of the chunk, and return what it holds."""
        rows = self._format.rows(assignment.payload, self._order.layout, self._schema)
        try:
            scored = self._score(rows)
        except JobFailedError as error:
            return Failed(error.job_code, f"{error}")
        data = self._format.encode(scored)
        part = Part(
            name=part_name(assignment.position, self._order.format),
            sha256=hashlib.sha256(data).hexdigest(),
            n_bytes=len(data),
            rows=scored.n_rows,
            scored=scored.n_scored,
            rejected=scored.n_rejected,
        )
        try:
            write_durably(self._order.folder / part.name, data)
        except OSError as error:
            return Failed("storage_failed", f"A part of the result cannot be written: {error.strerror}.")
        return Done(assignment.position, hashlib.sha256(assignment.payload).hexdigest(), part)

    def _score(self, rows: Rows) -> ScoredChunk:
        """Score, and while the scorer fails, wait and ask again."""
        started, pause = time.monotonic(), _FIRST_PAUSE_S
        while True:
            try:
                return self._loop.run_until_complete(score_chunk(rows, self._service, reasons=self._order.reasons))
            except ScorerError as error:
                if time.monotonic() + pause - started > self._order.patience_s:
                    text = f"The scorer gave no scores for {self._order.patience_s:g} seconds."
                    raise JobFailedError(error.code, text) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
