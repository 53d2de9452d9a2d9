"""The SAM CLI as a developer uses it; what is started here is also stopped here."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.contract.exchange import Request
from tests.contract.transports import Socket
from tests.e2e.containers import docker
from tests.processes import free_port
from tests.repository import ROOT
from tests.tools import tool

IMAGE = "public.ecr.aws/lambda/python:3.12-x86_64"
BUILD_S, INVOKE_S, READY_S, STOP_S = 900, 180, 120, 30
NO_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")


def environment() -> dict[str, str]:
    """Return an environment with the SAM CLI and without any AWS account."""
    inherited = {name: value for name, value in os.environ.items() if name not in NO_CREDENTIALS}
    path = f"{tool('sam') / 'bin'}:{inherited.get('PATH', '')}"
    return {**inherited, "PATH": path, "SAM_CLI_TELEMETRY": "0", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def sole_user() -> Iterator[None]:
    """Wait for other test runs on this checkout: what one builds is what the other's containers run on."""
    with (ROOT / ".tools" / "e2e.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build() -> str:
    """Make the function and its layers; return what `make build` prints."""
    done = subprocess.run(
        ["make", "build"],  # noqa: S607 - the one on PATH
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=BUILD_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def pull_options() -> list[str]:
    """Return what keeps the SAM CLI from asking a registry for an image that is here already."""
    return ["--skip-pull-image"] if docker("images", "--quiet", IMAGE) else []


def invoke(event: Path, *options: str) -> Any:
    """Return what the function answers to the event of a file."""
    done = subprocess.run(  # noqa: S603 - our own arguments
        ["sam", "local", "invoke", "ApiFunction", "-e", str(event), *pull_options(), *options],  # noqa: S607
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=INVOKE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@contextmanager
def api(log: Path, *options: str) -> Iterator[Socket]:
    """Run `sam local start-api` until it answers, and stop it and its containers in the end."""
    port = free_port()
    command = ["sam", "local", "start-api", "--port", str(port), *pull_options(), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            transport = Socket(port)
            _wait_until_ready(process, transport, log)
            yield transport
        finally:
            process.terminate()
            process.wait(STOP_S)


def _wait_until_ready(process: subprocess.Popen[bytes], transport: Socket, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            if transport.send(Request("GET", "/health")).status == 200:
                return
        except OSError:
            pass
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


def lambda_containers() -> Sequence[str]:
    """Return the containers of the SAM CLI that are still there."""
    return docker("ps", "--all", "--quiet", "--filter", "label=sam.cli.container.type=lambda").split()
