"""Starts a contender on a core of its own, checks its answers, and reads what it uses."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks import wrk
from benchmarks.contenders import Contender, Form, Row
from benchmarks.transactions import features_of
from core.bundle import ONNX_MODEL, Bundle
from core.scoring.onnx_session import open_session
from tests.processes import free_port

SERVER_CORE, LOAD_CORE = 0, 1
START_S = 60
TOLERANCE = 1e-5
"""Between a peer's float32 score, written as text, and the recorded one."""


OnStep = Callable[[str], None]
"""Told what is measured next."""


@dataclass(frozen=True)
class Pace:
    """How long to measure."""

    rounds: int
    seconds: float
    """Of each run in each round."""


@dataclass
class Running:
    """A contender that answers."""

    contender: Contender
    port: int
    process: psutil.Process
    start_to_answer_s: float
    """From the start of the process to the first answer to a transaction."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server and its children have taken so far."""
        times = [each.cpu_times() for each in self._tree()]
        return sum(each.user + each.system for each in times)

    def resident_mb(self) -> float:
        """Return the resident memory of the server and its children."""
        return sum(each.memory_info().rss for each in self._tree()) / 1e6

    def post(self, form: Form, rows: Sequence[Row]) -> bytes:
        """Return the body of the reply, which must be a 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        try:
            connection.request("POST", form.path, form.write(rows), dict(form.headers))
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        assert reply.status == 200, f"{self.contender.name}: {reply.status} {body[:200]!r}"
        return body

    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def rows_for(contender: Contender, bundle: Bundle, posted: Sequence[Row] | None = None) -> list[Row]:
    """Return `posted`, or the golden cases, as this contender is given them: as posted, or as the model sees them."""
    posted = bundle.golden.transactions if posted is None else posted
    if contender.is_whole:
        return list(posted)
    names = [feature.name for feature in bundle.manifest.features]
    features = features_of(bundle, posted)
    return [dict(zip(names, row, strict=True)) for row in features.tolist()]


@contextmanager
def running(contender: Contender, bundle: Bundle, logs: Path, core: int = SERVER_CORE) -> Iterator[Running]:
    """Run the contender on `core` until the end of the block; it has answered the golden cases as recorded by then."""
    port = free_port()
    command, environment = contender.start(port)
    rows = rows_for(contender, bundle)
    started = time.perf_counter()
    with (logs / f"{contender.name}.log").open("wb") as log:
        process = psutil.Popen(  # noqa: S603 - our own commands
            ["taskset", "-c", str(core), *command],  # noqa: S607 - found on the PATH
            cwd=contender.folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            server = Running(contender, port, process, 0.0)
            _wait_for_first_answer(server, rows[:1], logs)
            server.start_to_answer_s = time.perf_counter() - started
            _check_answers(server, bundle, rows)
            yield server
        finally:
            for each in [*process.children(recursive=True), process]:
                each.kill()
            process.wait()


def _wait_for_first_answer(server: Running, rows: Sequence[Row], logs: Path) -> None:
    while True:
        try:
            server.post(server.contender.single, rows)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            name = server.contender.name
            assert server.process.is_running(), f"{name} ended: see {logs}"
            if time.time() - server.process.create_time() > START_S:
                raise SystemExit(f"error: {name} does not answer ({error}); its log is in {logs}") from error
            time.sleep(0.01)
        else:
            return


def _check_answers(server: Running, bundle: Bundle, rows: Sequence[Row]) -> None:
    contender = server.contender
    expected = bundle.golden.fraud_scores if contender.is_whole else bundle.golden.raw_scores
    if contender.single.read is not None:
        single = [contender.single.read(server.post(contender.single, [row]))[0] for row in rows]
        np.testing.assert_allclose(single, expected, atol=TOLERANCE, rtol=0, err_msg=contender.name)
    for form in contender.batches:
        body = server.post(form, rows)
        if form.read is not None:
            np.testing.assert_allclose(form.read(body), expected, atol=TOLERANCE, rtol=0, err_msg=contender.name)


def bare_rate(bundle: Bundle, rows: Sequence[Row], seconds: float) -> float:
    """Return how many rows a second the model alone scores for so long, on the servers' core; it waits for nothing."""
    session, cores = open_session(bundle.files[ONNX_MODEL]), os.sched_getaffinity(0)
    feed = {session.get_inputs()[0].name: features_of(bundle, rows)}
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        n_calls, started = 0, time.perf_counter()
        while (took := time.perf_counter() - started) < seconds:
            session.run(None, feed)
            n_calls += 1
    finally:
        os.sched_setaffinity(0, cores)
    return n_calls * len(rows) / took


def load_of(
    server: Running, form: Form, rows: Sequence[Row], connections: int, seconds: float, core: int = LOAD_CORE
) -> tuple[wrk.Load, float]:
    """Return what a closed loop of `connections` saw, and the CPU seconds that the server took for it."""
    before, body = server.cpu_seconds(), form.write(rows)
    load = wrk.run(server.url, form.path, form.headers, body, connections=connections, seconds=seconds, core=core)
    return load, server.cpu_seconds() - before
