"""The locks of the tools that have an environment of their own: one a tool, pinned, hashed, free of addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repository import ROOT
from tests.unit.test_requirements import (
    ADDRESS,
    HASH,
    PINNED,
    PLATFORMS,
    PROJECT,
    PYTHONS,
    active_pins,
    entries,
    environment,
)

LOCKS = sorted((ROOT / "requirements" / "tools").glob("*.txt"))
GROUPS = {
    name.removeprefix("tool-"): group
    for name, group in PROJECT["dependency-groups"].items()
    if name.startswith("tool-")
}

each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)


def test_there_is_one_file_for_each_tool() -> None:
    assert {lock.stem for lock in LOCKS} == set(GROUPS)


@each_lock
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    found = entries(lock.read_text())
    assert found
    assert [spec for spec, *_ in found if not PINNED.match(spec)] == []
    assert [spec for spec, *hashes in found if not hashes or not all(map(HASH.match, hashes))] == []


@each_lock
def test_no_line_names_an_address(lock: Path) -> None:
    assert [line for line in lock.read_text().splitlines() if ADDRESS.search(line)] == []


@pytest.mark.parametrize("python", PYTHONS)
@each_lock
def test_what_pyproject_asks_for_is_locked(lock: Path, python: str) -> None:
    platform = next(iter(PLATFORMS))
    locked = {pin.name: pin.requirement.specifier for pin in active_pins(lock, python, platform)}
    for wanted in map(Requirement, GROUPS[lock.stem]):
        if wanted.marker is not None and not wanted.marker.evaluate(environment(python, platform)):
            continue
        version = str(locked[canonicalize_name(wanted.name)]).removeprefix("==")
        assert wanted.specifier.contains(version), f"{wanted} is locked at {version}: run `make lock`"
