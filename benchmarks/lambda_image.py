"""The Lambda function in the image of Lambda's runtime, under its interface emulator: first and warm invocations."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contenders import KEY
from benchmarks.running import OnStep
from benchmarks.sections import Section, spread
from layers.sizes import BUILT, PARTS, VARIANTS, size_of
from tests.e2e.containers import Container, engine_answers, started
from tests.e2e.emulator import EMULATOR, INVOKE, emulator, http_event
from tests.e2e.sam import IMAGE, build
from tests.repository import ROOT

STARTS = 5
WARM = 300
MEMORY = "1769m"
"""Where Lambda gives a whole core."""
READY_S = 60


def sections(on_step: OnStep) -> tuple[list[Section], list[str]]:
    """Return the table, or a line that says why there is none."""
    if not engine_answers():
        return [], ["Lambda: not measured, since no Docker engine answers"]
    on_step("building the Lambda function and its layers")
    build()
    folder = ROOT / BUILT
    section = Section(
        "AWS Lambda: in its runtime image, one core",
        ("what", "ms"),
        "Through the runtime interface emulator, whose own time is part of it. The first invocation starts Python, "
        "imports, loads and proves the model. Unzipped: "
        + ", ".join(f"{name} {_megabytes(folder, parts):.0f} MB" for name, (parts, _) in VARIANTS.items())
        + " (Lambda takes 250).",
    )
    body = json.dumps(json.loads((ROOT / "models/creditcard/golden.json").read_text())["transactions"][0])
    event = http_event("POST", "/predict", body, **{"x-api-key": KEY, "content-type": "application/json"})
    first, warm = [], []
    with tempfile.TemporaryDirectory() as layers:
        _merge(folder, Path(layers))
        for turn in range(STARTS):
            on_step(f"Lambda: start {turn + 1} of {STARTS}")
            with _function(folder, Path(layers)) as container:
                first.append(_invocation(container, event))
                times = sorted(_invocation(container, event) for _ in range(WARM))
                warm.append(times[len(times) // 2])
    section.rows += [("first invocation, with init", spread(first)), ("warm invocation, median", spread(warm, 2))]
    return [section], []


def _megabytes(folder: Path, parts: tuple[str, ...]) -> float:
    return sum(size_of(folder / PARTS[part]) for part in parts) / 1e6


def _merge(built: Path, target: Path) -> None:
    """Lay the layers over each other, as Lambda does below /opt."""
    for layer in ("CoreLayer", "DependenciesLayer", "EmbeddedLayer"):
        shutil.copytree(built / layer, target, dirs_exist_ok=True)
    target.chmod(0o755)


@contextmanager
def _function(built: Path, layers: Path) -> Iterator[Container]:
    settings = {"API_KEY": KEY, "MODEL_BUNDLE": "/opt/models/creditcard", "PYTHONPATH": "/opt/python"}
    environment = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
    options = (
        *("--volume", f"{built / 'ApiFunction'}:/var/task:ro", "--volume", f"{layers}:/opt:ro"),
        *("--volume", f"{emulator()}:{EMULATOR}:ro", "--publish", "127.0.0.1::8080"),
        *("--cpus", "1", "--memory", MEMORY, "--network", "bridge"),
    )
    with started(*options, *environment, image=IMAGE, command=("handlers.api.handler",)) as container:
        _wait_until_listening(container)
        yield container


def _wait_until_listening(container: Container) -> None:
    """The emulator listens at once, and starts the function at the first invocation."""
    deadline = time.monotonic() + READY_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", container.published(8080), timeout=READY_S)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline, container.output()
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()


def _invocation(container: Container, event: Any) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", container.published(8080), timeout=READY_S)
    try:
        begun = time.perf_counter()
        connection.request("POST", INVOKE, json.dumps(event))
        reply = json.loads(connection.getresponse().read())
        took = (time.perf_counter() - begun) * 1000
    finally:
        connection.close()
    assert reply.get("statusCode") == 200, reply
    return took
