"""What a request costs in instructions, counted by valgrind: a figure that no neighbour on the machine changes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.sections import Section, ratio
from tests.repository import ROOT

CASES = (("echo", 1), ("/predict", 1), ("echo", 12), ("/predict", 12))
_TURNS = (10, 60)
"""What both runs need for their start drops out of the difference."""


def sections(folder: Path, on_step: Callable[[str], None]) -> tuple[list[Section], list[str]]:
    """Return the table, or why there is none."""
    if shutil.which("valgrind") is None:
        return [], ["Instructions were not counted: valgrind is not installed."]
    section = Section(
        "POST /predict: instructions in the process, from the bytes of a request to those of its reply",
        ("requests in one turn of the loop", "instructions each", "times the echo"),
        "By callgrind, without sockets and the kernel; the echo is served by uvicorn as it is.",
    )
    echo: dict[int, float] = {}
    for name, n_connections in CASES:
        on_step(f"counting instructions: {name}, {n_connections} at once")
        first, second = (_instructions(folder, name, n_connections, n_turns) for n_turns in _TURNS)
        each = (second - first) / (_TURNS[1] - _TURNS[0]) / n_connections
        echo.setdefault(n_connections, each)
        section.rows.append((f"{n_connections}, {name}", f"{each:,.0f}", ratio(each / echo[n_connections])))
    return [section], []


def _instructions(folder: Path, name: str, n_connections: int, n_turns: int) -> int:
    log = folder / "valgrind.log"
    counted = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}"]
    subject = [sys.executable, "-m", "benchmarks.turns", name, str(n_connections), str(n_turns)]
    # Threads of NumPy that wait for work would be counted, and the order of sets would vary.
    environment = {**os.environ, "PYTHONPATH": "src:ecs:.", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    subprocess.run([*counted, *subject], cwd=ROOT, env=environment, check=True)  # noqa: S603 - our own arguments
    found = re.search(r"Collected : (\d+)", log.read_text(encoding="utf-8"))
    assert found is not None, "callgrind says how much it collected"
    return int(found[1])
