"""`ecs/compose.yaml` in a checkout with a `.env`, by the commands of the README."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.app_under_test import KEY
from tests.contract.case import JSON_TYPE, KEY_HEADER
from tests.contract.exchange import Request
from tests.contract.transports import Socket
from tests.e2e.containers import BUILD_S, READY_S, docker
from tests.e2e.needs import need
from tests.processes import free_port
from tests.repository import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("image")]

PROJECT = "fraud-scoring-e2e"
COPIED = ("ecs", "models", "requirements", "src")
Compose = Callable[..., str]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".env"))
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    example = (ROOT / ".env.example").read_text()
    text = example.replace("\nAPI_KEY=\n", f"\nAPI_KEY={KEY}\n") + "HOST=127.0.0.1\nPORT=9\n"
    for folder in (tmp_path, tmp_path / "ecs", tmp_path / "src"):
        (folder / ".env").write_text(text)
    return tmp_path


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def compose(checkout: Path, port: int) -> Iterator[Compose]:
    environment = {**os.environ, "COMPOSE_PORT": str(port), "COMPOSE_PROJECT_NAME": PROJECT}
    command = compose_command()
    if command == ["docker-compose"]:
        # Version 1 would have the engine build with BuildKit, which only newer ones can.
        environment |= {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}

    def run(*arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*command, "-f", "ecs/compose.yaml", *arguments],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    run("down", "--timeout", "10")
    assert docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}") == ""


def compose_command() -> list[str]:
    """Return the Compose that there is: Docker's plug-in, or the program of before."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)  # noqa: S607 - as the README says
    if plugin.returncode == 0:
        return ["docker", "compose"]
    need(shutil.which("docker-compose") is not None, "Docker Compose")
    return ["docker-compose"]


def test_up_builds_and_serves_and_down_removes(compose: Compose, port: int) -> None:
    compose("up", "--build", "--detach")
    ask = Socket(port).send
    wait_until_answered(port)

    body = (ROOT / "events" / "predict_fraud.json").read_bytes()
    assert ask(Request("POST", "/predict", (KEY_HEADER, JSON_TYPE), body)).json()["decision"] == "decline"

    assert compose("exec", "-T", "api", "find", "/app", "-name", ".env*") == ""  # secrets stay out of the image
    compose("stop")
    [container] = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"


def wait_until_answered(port: int) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            assert Socket(port).send(Request("GET", "/health/ready")).status == 200
        except OSError:
            assert time.monotonic() < deadline, "the service cannot be reached"
            time.sleep(0.1)
        else:
            return
