"""What ships: its licences, its bill of materials, and what an audit says when it cannot ask anybody."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from scripts.sbom import PERMISSIVE, licences_of, shipped_names
from tests.repository import ROOT
from tests.tools import tool


def installed() -> list[str]:
    """Return the shipped packages that are installed here; some are for other platforms or versions of Python."""
    present = {str(each.metadata["Name"]).lower().replace("_", "-") for each in metadata.distributions()}
    return sorted(shipped_names() & present)


def test_most_of_what_ships_is_installed_here() -> None:
    assert len(installed()) > 0.8 * len(shipped_names())


@pytest.mark.parametrize("name", installed())
def test_every_shipped_package_is_under_a_permissive_licence(name: str) -> None:
    assert set(licences_of(name)) - PERMISSIVE == set()


@pytest.mark.e2e
def test_bill_of_materials_names_what_ships_and_nothing_else(tmp_path: Path) -> None:
    tool("cyclonedx")
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for out in files:
        command = [sys.executable, str(ROOT / "scripts" / "sbom.py"), "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)  # noqa: S603 - our own script

    bom = json.loads(files[0].read_text())
    named = {each["name"].lower().replace("_", "-") for each in bom["components"]}
    assert (bom["bomFormat"], named) == ("CycloneDX", set(installed()))
    assert [each["name"] for each in bom["components"] if not each.get("licenses")] == []
    assert {each["ref"] for each in bom["dependencies"]} == {each["bom-ref"] for each in bom["components"]}
    assert files[0].read_bytes() == files[1].read_bytes()
