"""What end-to-end tests need of the machine: without it they are skipped, but for CI, where they fail."""

from __future__ import annotations

import os
import shutil

import pytest


def need(is_there: bool, what: str) -> None:
    """Skip the test unless `is_there`; fail it where nothing may be left out."""
    if is_there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"needed: {what}")
    pytest.skip(f"needs {what}")


def need_command(name: str) -> str:
    """Return the path of the command `name`."""
    path = shutil.which(name)
    need(path is not None, f"the command {name}")
    return str(path)
