"""Schemathesis, with all its checks, against each kind of server and what it says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from core.api.app import create_app
from core.bootstrap import build_service
from core.settings import Settings
from tests.app_under_test import KEY
from tests.contract.gateway import gateway
from tests.processes import environment_of, serving
from tests.repository import BUNDLE

EXAMPLES = [25, pytest.param(9_500, marks=pytest.mark.soak)]
"""For each operation and media type, besides some 250 cases that schemathesis takes from the document itself."""
FEWEST = {25: 300, 9_500: 20_000}
LONGEST_S = 7200


@contextmanager
def uvicorn(folder: Path) -> Iterator[int]:
    with serving(folder, API_KEY=KEY, LOG_LEVEL="ERROR", AUTH_FAILURES_PER_MINUTE="0") as server:
        yield server.port
        assert server.stop() == 0
        assert server.err.read_text() == ""


@contextmanager
def on_lambda(folder: Path) -> Iterator[int]:
    settings = Settings(_env_file=None, api_key=KEY, model_bundle=BUNDLE, auth_failures_per_minute=0, log_level="ERROR")
    with gateway(create_app(build_service(settings), settings), "http-v2") as port:
        yield port


FAMILIES: dict[str, Callable[[Path], AbstractContextManager[int]]] = {"uvicorn": uvicorn, "lambda": on_lambda}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("max_examples", EXAMPLES)
def test_schemathesis_finds_nothing_with_all_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str, max_examples: int
) -> None:
    """CSV bodies are generated from the pattern that the document gives for them."""
    with FAMILIES[family](tmp_path) as port:
        done = subprocess.run(  # noqa: S603 - the tool of our own environment
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json"),
                *("--header", f"x-api-key: {KEY}", "--checks", "all", "--max-response-time", "5"),
                *("--max-examples", str(max_examples), "--seed", "20261123", "--generation-database", "none"),
                "--no-color",
            ],
            cwd=tmp_path,
            env=environment_of({"HOME": str(tmp_path)}),
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )

    capsys.readouterr()  # the metrics of each invocation
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    generated, passed = map(int, re.findall(r"(\d+) generated, (\d+) passed", done.stdout)[0])
    selected, tested = (int(re.findall(rf"{word}: (\d+)", done.stdout)[0]) for word in ("Selected", "Tested"))
    with capsys.disabled():
        print(f"\n{family}: {generated} cases of {tested} operations, {passed} passed")
    assert generated == passed >= FEWEST[max_examples]
    assert selected == tested >= 5
