"""AWS on this machine: moto's server, and clients and an environment that lead to it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from tests.processes import free_port
from tests.repository import ROOT
from tests.tools import tool

REGION = "eu-west-1"
START_S = 60


@dataclass(frozen=True)
class Aws:
    """A simulated AWS account."""

    endpoint: str

    def environment(self) -> dict[str, str]:
        """Return an environment in which the AWS CLI works, on this account and with nothing of the developer's."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return inherited | {
            "PATH": f"{tool('aws')}/bin{os.pathsep}{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def run(self, *arguments: str) -> str:
        """Run the AWS CLI; return what it prints."""
        done = subprocess.run(  # noqa: S603 - our own arguments
            [f"{tool('aws')}/bin/aws", "--region", REGION, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@contextmanager
def simulated_aws(folder: Path) -> Iterator[Aws]:
    """Run the simulation in a process of its own; `folder` gets its log."""
    port = free_port()
    environment = {**os.environ, "MOTO_ECS_SERVICE_RUNNING": "1"}
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            [sys.executable, str(ROOT / "tests" / "e2e" / "moto_aws.py"), str(port)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            # Not 127.0.0.1: moto takes the service from the host name of what it is asked.
            endpoint = f"http://localhost:{port}"
            _wait_until_answers(endpoint, process, folder / "moto.log")
            yield Aws(endpoint)
        finally:
            process.kill()
            process.wait()


def _wait_until_answers(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5).close()  # noqa: S310 - our own address
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.2)
        else:
            return
