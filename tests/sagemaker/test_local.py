"""`make run-sagemaker` from outside: it answers through the stand-in, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core.bundle import Bundle
from tests.processes import environment_of
from tests.repository import ROOT

NEEDED = (".env.example", "ecs", "events", "models", "sagemaker", "src", "tests")
PATIENCE_S = 60


@contextmanager
def running(folder: Path) -> Iterator[list[str]]:
    """Run the command in `folder`, where it may make its .env, and give the lines that it prints at the start."""
    for name in NEEDED:
        (folder / name).symlink_to(ROOT / name)
    environment = environment_of({"PYTHONPATH": "src", "PORT": "0"})
    command = [sys.executable, "-m", "sagemaker.local"]
    with subprocess.Popen(  # noqa: S603
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [""]
        try:
            while "Ctrl-C" not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], lines
            yield lines
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            assert process.wait(PATIENCE_S) == 0


def url_in(lines: list[str], words: str) -> str:
    [line] = [line for line in lines if words in line]
    found = re.search(r"http://[\w.]+:\d+", line)
    assert found is not None
    return found[0]


def is_listening(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def ask(url: str, key: str, body: bytes | None = None) -> Any:
    headers = {"x-api-key": key, "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE_S) as reply:  # noqa: S310
        return json.load(reply)


def test_transaction_is_scored_on_the_stand_in_which_ends_with_the_api(tmp_path: Path, creditcard: Bundle) -> None:
    transaction = json.dumps(creditcard.golden.transactions[5]).encode()

    with running(tmp_path) as lines:
        api, runtime = url_in(lines, "is up"), url_in(lines, "stand-in")
        [key] = [line.split()[-1] for line in lines if "API key" in line and "created" not in line]
        answer, model = ask(f"{api}/predict", key, transaction), ask(f"{api}/model", key)
        assert is_listening(runtime)

    assert answer["fraud_score"] == pytest.approx(creditcard.golden.fraud_scores[5], abs=1e-6)
    assert model["scorer"] == "sagemaker"
    end = time.monotonic() + PATIENCE_S
    while is_listening(runtime):
        assert time.monotonic() < end
        time.sleep(0.05)
