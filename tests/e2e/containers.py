"""Docker as an operator uses it; what is started here is also stopped here."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.contract.exchange import Request
from tests.contract.transports import Socket
from tests.repository import ROOT

IMAGE = "fraud-scoring:e2e"
BASE = "public.ecr.aws/docker/library/python:3.12-slim-bookworm"
HARDENED = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--user", "10001", "--memory", "512m", "--pids-limit", "128"),
)
COMMAND_S = 60
BUILD_S = 900
READY_S = 30


def docker(*arguments: str, timeout_s: float = COMMAND_S, **environment: str) -> str:
    """Run a docker command that must succeed; return what it prints."""
    done = _run("docker", *arguments, timeout_s=timeout_s, **environment)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout.strip()


def _run(*command: str, timeout_s: float = COMMAND_S, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own arguments
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def engine_answers() -> bool:
    try:
        return _run("docker", "version").returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass(frozen=True)
class Container:
    """A container that runs, or ran."""

    id: str

    def inspect(self) -> Any:
        return json.loads(docker("inspect", self.id))[0]

    @property
    def port(self) -> int:
        """The port of this machine that leads to port 8000."""
        return self.published(8000)

    def published(self, inner: int) -> int:
        [binding] = self.inspect()["NetworkSettings"]["Ports"][f"{inner}/tcp"]
        return int(binding["HostPort"])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return _run("docker", "exec", self.id, *command)

    def output(self) -> tuple[str, str]:
        """Return what the container has written to stdout and to stderr."""
        done = _run("docker", "logs", self.id)
        return done.stdout, done.stderr

    def stop(self) -> tuple[int, float]:
        """Ask it to stop, with Docker's own patience of 10 s; return the exit code and the seconds it took."""
        begun = time.monotonic()
        docker("stop", self.id)
        took = time.monotonic() - begun
        return self.wait(), took

    def wait(self) -> int:
        """Return the exit code, once there is one."""
        return int(docker("wait", self.id))

    def wait_until_ready(self, port: int | None = None) -> None:
        """`port` of this machine, where the container has none of its own."""
        ask = Socket(port or self.port).send
        deadline = time.monotonic() + READY_S
        while True:
            try:
                if ask(Request("GET", "/health/ready")).status == 200:
                    return
            except OSError:
                pass
            assert self.inspect()["State"]["Running"], self.output()
            assert time.monotonic() < deadline, "the container is not ready"
            time.sleep(0.05)


@contextmanager
def started(*options: str, command: tuple[str, ...] = (), image: str = IMAGE) -> Iterator[Container]:
    """Start a container, and remove it in the end."""
    container = Container(docker("run", "--detach", *options, image, *command))
    try:
        yield container
    finally:
        docker("rm", "--force", container.id)


@contextmanager
def serving(*options: str, port: int | None = None, **settings: str) -> Iterator[Container]:
    """Serve from a container on `port` of this machine, or a free one, with the settings as its environment."""
    environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    with started("--publish", f"127.0.0.1:{port or ''}:8000", *environment, *options) as container:
        container.wait_until_ready()
        yield container


def run_in(image: str, *command: str) -> str:
    """Run a command in a new container; return what it prints."""
    entry, *rest = command
    return docker("run", "--rm", "--network", "none", "--entrypoint", entry, image, *rest)


def build_image() -> None:
    docker("build", "--file", "ecs/Dockerfile", "--tag", IMAGE, ".", timeout_s=BUILD_S)
