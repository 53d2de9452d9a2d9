"""Closed-loop load by `wrk`: each connection sends its next request when the last one is answered."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_REPORT = """
wrk.method = "POST"
wrk.path = {path}
wrk.body = io.open({body}, "rb"):read("*a")
{headers}
done = function(summary, latency, requests)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{{"requests": %d, "seconds": %f, "failed": %d, "p50_ms": %f, "p99_ms": %f}}',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Load:
    """What one run of `wrk` saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def check_installed() -> None:
    """Say what is missing before anything is measured.

    Raises
    ------
    SystemExit
    """
    for command, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(command) is None:
            raise SystemExit(f"error: there is no command {command}: apt-get install {package}")


def run(
    url: str, path: str, headers: Mapping[str, str], body: bytes, *, connections: int, seconds: float, core: int
) -> Load:
    """Load `url` from one thread on one core; a request that fails, or is not answered with 200, ends the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        body_file, script = Path(folder, "body"), Path(folder, "post.lua")
        body_file.write_bytes(body)
        lines = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
        script.write_text(_REPORT.format(path=json.dumps(path), body=json.dumps(str(body_file)), headers=lines))
        options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(script)]
        done = subprocess.run(  # noqa: S603 - our own arguments
            ["taskset", "-c", str(core), "wrk", *options, url],  # noqa: S607 - found on the PATH
            capture_output=True,
            text=True,
            check=True,
        )
    seen = json.loads(done.stderr)
    assert seen["failed"] == 0, f"{url}{path}: {seen['failed']} of {seen['requests']} requests failed"
    assert seen["requests"] > 0, f"{url}{path}: no request was answered"
    return Load(seen["requests"], seen["seconds"], seen["p50_ms"], seen["p99_ms"])
