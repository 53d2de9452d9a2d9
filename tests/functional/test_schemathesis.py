"""Schemathesis, with all its checks, against a real server and what it says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.app_under_test import KEY
from tests.processes import environment_of, serving

MAX_EXAMPLES = 25
"""For each operation and media type, besides some 250 cases that schemathesis takes from the document itself."""


def test_schemathesis_finds_nothing_with_all_checks(tmp_path: Path) -> None:
    """CSV bodies are generated from the pattern that the document gives for them."""
    with serving(tmp_path, API_KEY=KEY, LOG_LEVEL="ERROR", AUTH_FAILURES_PER_MINUTE="0") as server:
        done = subprocess.run(  # noqa: S603 - the tool of our own environment
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json"),
                *("--header", f"x-api-key: {KEY}", "--checks", "all", "--max-response-time", "5"),
                *("--max-examples", str(MAX_EXAMPLES), "--seed", "20261123", "--generation-database", "none"),
                "--no-color",
            ],
            cwd=tmp_path,
            env=environment_of({"HOME": str(tmp_path)}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    generated, passed = map(int, re.findall(r"(\d+) generated, (\d+) passed", done.stdout)[0])
    assert generated == passed >= 300
    assert "Tested: 5" in done.stdout
