"""The real server with the local engine: a job outlasts the server that took it on."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.app_under_test import KEY
from tests.jobs.calls import call
from tests.jobs.tables import encode, result_of, table
from tests.processes import ServerProcess, serving

N_ROWS = 45_000


def wait_for_rows(server: ServerProcess, path: str, n_rows: int) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while True:
        job = call(server, "GET", path)
        if job["rows"]["read"] >= n_rows:
            return job
        assert job["state"] in ("queued", "running"), job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_job_goes_on_in_the_next_server(by: signal.Signals, tiny_path: Path, tmp_path: Path) -> None:
    settings = {
        "API_KEY": KEY, "LOG_LEVEL": "ERROR", "MODEL_BUNDLE": str(tiny_path), "JOBS_ENGINE": "local",
        "JOBS_DIR": str(tmp_path / "jobs"), "JOBS_WORKERS": "1",
    }  # fmt: skip
    (tmp_path / "jobs" / "inputs").mkdir(parents=True)
    (tmp_path / "jobs" / "inputs" / "rows.csv").write_bytes(encode(table(N_ROWS), "csv"))
    request = {"input": "rows.csv", "format": "csv"}
    with serving(tmp_path, **settings) as server:
        job = call(server, "POST", "/jobs", request)
        wait_for_rows(server, job["status_url"], 1)
        code = server.stop(by)
        assert code == (0 if by is signal.SIGTERM else -by)
    with serving(tmp_path, **settings) as server:
        assert call(server, "POST", "/jobs", request) == job
        wait_for_rows(server, job["status_url"], N_ROWS)
        deadline = time.monotonic() + 20
        while (done := call(server, "GET", job["status_url"]))["state"] == "running":
            assert time.monotonic() < deadline, done
            time.sleep(0.05)

    assert (done["state"], done["rows"]) == ("completed", {"read": N_ROWS, "scored": N_ROWS, "rejected": 0})
    _, rows = result_of((tmp_path / "jobs" / done["result"]).parent)
    assert [row["transaction_id"] for row in rows] == [f"t-{index}" for index in range(N_ROWS)]
