"""The files of requirements/: pinned, hashed, free of addresses, agreeing with each other and pyproject.toml."""

from __future__ import annotations

import re
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

PINNED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(\[[a-z0-9,_-]+\])?==(?P<version>[^\s;*]+)( ; .+)?$")
HASH = re.compile(r"^--hash=sha256:[0-9a-f]{64}$")
ADDRESS = re.compile(r"://|file:|index-url|find-links|trusted-host| @ ")

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "darwin": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "win32": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
CPYTHON = {"platform_python_implementation": "CPython", "implementation_name": "cpython"}

NOT_FOR_SERVING = {"xgboost", "xgboost-cpu", "scikit-learn", "scipy", "pandas", "onnxruntime"}


class Pin(NamedTuple):
    requirement: Requirement
    hashes: frozenset[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    def applies(self, environment: dict[str, str]) -> bool:
        return self.requirement.marker is None or self.requirement.marker.evaluate(environment)


def entries(text: str) -> list[list[str]]:
    """Each requirement with its hashes, comments dropped and continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [
        [part.strip() for part in re.split(r"(?=--hash=)", entry)]
        for entry in "\n".join(lines).replace("\\\n", " ").splitlines()
    ]


def pins(lock: Path) -> list[Pin]:
    return [Pin(Requirement(spec), frozenset(hashes)) for spec, *hashes in entries(lock.read_text())]


def environment(python: str, platform: str) -> dict[str, str]:
    return {"python_version": python, "python_full_version": f"{python}.0", **PLATFORMS[platform], **CPYTHON}


def active_pins(lock: Path, python: str, platform: str) -> list[Pin]:
    target = environment(python, platform)
    return [pin for pin in pins(lock) if pin.applies(target)]


def direct_dependencies() -> dict[str, list[str]]:
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    return {
        "runtime": project["dependencies"],
        **project["optional-dependencies"],
        "lambda-image": groups["lambda-image"],
        "lock-tool": groups["lock"],
    }


each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
each_target = pytest.mark.parametrize(("python", "platform"), list(product(PYTHONS, PLATFORMS)))


def test_there_is_one_file_for_each_group_of_dependencies() -> None:
    assert {lock.stem for lock in LOCKS} == set(direct_dependencies())


@each_lock
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    found = entries(lock.read_text())
    assert found
    assert [spec for spec, *_ in found if not PINNED.match(spec)] == []
    assert [spec for spec, *hashes in found if not hashes] == []
    assert [spec for spec, *hashes in found if not all(map(HASH.match, hashes))] == []


@each_lock
def test_no_line_names_an_address(lock: Path) -> None:
    assert [line for line in lock.read_text().splitlines() if ADDRESS.search(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://packages.example/simple",
        "-i https://packages.example/simple",
        "--find-links /srv/wheels",
        "--trusted-host packages.example",
        "demo @ file:///srv/demo.whl",
        "    # from http://packages.example",
    ],
)
def test_an_address_would_be_found(line: str) -> None:
    assert ADDRESS.search(line)


def test_serving_needs_no_training_library_and_no_second_scorer() -> None:
    assert {pin.name for pin in pins(ROOT / "requirements" / "runtime.txt")} & NOT_FOR_SERVING == set()


@each_target
def test_the_files_agree_wherever_they_are_installed_together(python: str, platform: str) -> None:
    chosen: dict[str, dict[tuple[str, frozenset[str]], list[str]]] = {}
    for lock in LOCKS:
        for pin in active_pins(lock, python, platform):
            choice = (str(pin.requirement.specifier), pin.hashes)
            chosen.setdefault(pin.name, {}).setdefault(choice, []).append(lock.stem)
    assert {name: list(choices.values()) for name, choices in chosen.items() if len(choices) > 1} == {}


@each_target
@each_lock
def test_what_pyproject_asks_for_is_locked(lock: Path, python: str, platform: str) -> None:
    locked = {pin.name: pin.requirement.specifier for pin in active_pins(lock, python, platform)}
    for text in direct_dependencies()[lock.stem]:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate(environment(python, platform)):
            version = str(locked[canonicalize_name(wanted.name)]).removeprefix("==")
            assert wanted.specifier.contains(version), f"{wanted} is locked at {version}: run `make lock`"
