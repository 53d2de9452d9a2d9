"""Tools that have an environment of their own, made by scripts/tool.sh when it is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.repository import ROOT

INSTALL_S = 600


def tool(name: str) -> Path:
    """Return the environment of the tool `name` of requirements/tools."""
    environment = {"PYTHON": sys.executable, **os.environ}
    subprocess.run(["sh", "scripts/tool.sh", name], cwd=ROOT, env=environment, timeout=INSTALL_S, check=True)  # noqa: S603, S607 - our own script
    return ROOT / ".tools" / name
