"""`python -m core.jobs score`, started as a person would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import environment_of, no_signal_ignored, run_python
from tests.repository import ROOT

ROWS_PER_PART = 250


def command(source: Path, out: Path, *more: str) -> list[str]:
    """Return the arguments for Python."""
    return [
        "-m", "core.jobs", "score", str(source), "--out", str(out), "--workers", "2",
        "--rows-per-part", str(ROWS_PER_PART), "--carry", "transaction_id,shop", *more,
    ]  # fmt: skip


def score(bundle: Path, source: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return run_python(*command(source, out, *more), MODEL_BUNDLE=str(bundle), LOG_LEVEL="ERROR")


def start(bundle: Path, source: Path, out: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start, and leave it running; `options` are those of `Popen`."""
    with no_signal_ignored():
        return subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            [sys.executable, *command(source, out)],
            cwd=ROOT,
            env=environment_of({"MODEL_BUNDLE": str(bundle)}),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options},
        )


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file below the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
