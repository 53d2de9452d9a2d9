"""Jobs on an endpoint that disappears in the middle (T26): they wait and complete, or end without a result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.bundle import Bundle
from sagemaker.package_model import package_model
from tests.app_under_test import KEY
from tests.jobs.calls import call
from tests.jobs.command import files_of
from tests.processes import ServerProcess
from tests.processes import serving as server_of
from tests.repository import ROOT
from tests.sagemaker.conftest import environment_for
from tests.sagemaker_runtime.container import Container
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime, serving

CHUNK = 20_000
N_ROWS = 3 * CHUNK
LONGEST_S = 120
DEFAULT_PATIENCE_S = 600


@dataclass
class Watched:
    """A job, and what a reader sees of it meanwhile."""

    server: ServerProcess
    status_url: str
    folder: Path

    def look(self) -> dict[str, Any]:
        """Return the record; nothing of a result is there before every row is scored."""
        there = {path.name for path in self.folder.glob("result/*")} - {".partial"}
        job = call(self.server, "GET", self.status_url)
        assert job["rows"]["read"] == N_ROWS or not there, there
        return job

    def until(self, reached: Callable[[dict[str, Any]], bool], longest_s: float = LONGEST_S) -> dict[str, Any]:
        deadline = time.monotonic() + longest_s
        while not reached(job := self.look()):
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
        return job

    def rows_when_it_stands_still(self) -> int:
        """Return the rows that are done, once what was under way has been noted or lost."""
        time.sleep(1)
        return int(self.look()["rows"]["read"])


@contextmanager
def jobs_on(runtime: Runtime, folder: Path, **settings: str) -> Iterator[Callable[[str], Watched]]:
    """Run the server on the endpoint; give a function that starts a job under an idempotency key."""
    lines = (ROOT / "events" / "batch.csv").read_bytes().splitlines()
    rows = (lines[1:] * (N_ROWS // len(lines[1:]) + 1))[:N_ROWS]
    (folder / "jobs" / "inputs").mkdir(parents=True)
    (folder / "jobs" / "inputs" / "rows.csv").write_bytes(b"\n".join([lines[0], *rows, b""]))
    environment = {
        **environment_for(runtime), "API_KEY": KEY, "LOG_LEVEL": "ERROR", "JOBS_ENGINE": "local",
        "JOBS_DIR": str(folder / "jobs"), "JOBS_WORKERS": "1", "SCORER": "sagemaker",
        "SAGEMAKER_ENDPOINT": ENDPOINT, "AWS_REGION": REGION, **settings,
    }  # fmt: skip
    with server_of(folder, **environment) as server:

        def start(key: str) -> Watched:
            job = call(server, "POST", "/jobs", {"input": "rows.csv", "format": "csv"}, key)
            return Watched(server, job["status_url"], folder / "jobs" / "jobs" / job["job_id"])

        yield start


def lost_in_the_middle(runtime: Runtime, start: Callable[[str], Watched]) -> tuple[Watched, int]:
    """Start a job, take the endpoint away behind its first chunk; return the job and the rows that are done."""
    with serving(runtime, runtime.port):
        job = start("lost")
        job.until(lambda seen: seen["rows"]["read"] >= CHUNK)
    done = job.rows_when_it_stands_still()
    assert done in (CHUNK, 2 * CHUNK)
    return job, done


@pytest.fixture
def placed(creditcard: Bundle) -> Runtime:
    """An endpoint with an address, at which nobody answers yet."""
    runtime = Runtime({(REGION, ENDPOINT): Container(package_model(creditcard))})
    with serving(runtime):
        return runtime


@pytest.mark.parametrize("away_s", [2, pytest.param(60, marks=pytest.mark.soak)])
def test_job_waits_for_an_endpoint_that_comes_back(placed: Runtime, tmp_path: Path, away_s: float) -> None:
    with jobs_on(placed, tmp_path) as start:
        job, done = lost_in_the_middle(placed, start)
        back_at = time.monotonic() + away_s
        while time.monotonic() < back_at:
            seen = job.look()
            assert (seen["state"], seen["rows"]["read"]) == ("running", done)
            time.sleep(0.2)
        with serving(placed, placed.port):
            begun = time.monotonic()
            ended = job.until(lambda seen: seen["state"] != "running")
            print(f"\naway for {away_s} s after {done} rows; done {time.monotonic() - begun:.1f} s after its return")
            undisturbed = start("undisturbed")
            undisturbed.until(lambda seen: seen["state"] not in ("queued", "running"))

    assert (ended["state"], ended["rows"]) == ("completed", {"read": N_ROWS, "scored": N_ROWS, "rejected": 0})
    assert files_of(job.folder / "result") == files_of(undisturbed.folder / "result")


@pytest.mark.parametrize("patience_s", [2, pytest.param(DEFAULT_PATIENCE_S, marks=pytest.mark.soak)])
def test_job_on_an_endpoint_that_stays_away_fails_with_exact_counts(
    placed: Runtime, tmp_path: Path, patience_s: float
) -> None:
    settings = {} if patience_s == DEFAULT_PATIENCE_S else {"JOBS_PATIENCE_S": str(patience_s)}
    with jobs_on(placed, tmp_path, **settings) as start:
        job, done = lost_in_the_middle(placed, start)
        begun = time.monotonic()
        ended = job.until(lambda seen: seen["state"] != "running", patience_s + LONGEST_S)
        print(f"\nfailed {time.monotonic() - begun:.0f} s after the loss, with {done} rows done")

    assert (ended["state"], ended["error"]["code"]) == ("failed", "upstream_unavailable")
    assert ended["rows"] == {"read": done, "scored": done, "rejected": 0}
    assert ended["result"] is None
    assert files_of(job.folder) == {}
