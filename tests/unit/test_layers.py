"""What goes into the Lambda layers: pinned for Lambda, each package once, small enough; and how it is built."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import pytest

from layers import build, sizes
from tests.repository import BUNDLE, CORE, SOURCES

LOCK = """
# a comment
both==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via pyproject.toml
old-python==1.0 ; python_full_version < '3.11' \\
    --hash=sha256:cc
windows==1.0 ; sys_platform == 'win32' \\
    --hash=sha256:dd
intel==1.0 ; platform_machine == 'x86_64' \\
    --hash=sha256:ee
Extra_Name[fast]==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:ff
"""


def test_lock_is_read_for_lambda_and_not_for_this_python() -> None:
    assert build.read_lock(LOCK, "x86_64") == {
        "both": "both==1.0 --hash=sha256:aa --hash=sha256:bb",
        "intel": "intel==1.0 --hash=sha256:ee",
        "extra-name": "Extra_Name[fast]==2.0 --hash=sha256:ff",
    }
    assert "intel" not in build.read_lock(LOCK, "arm64")


@pytest.mark.parametrize("architecture", build.PLATFORMS)
def test_layers_share_no_package(architecture: str) -> None:
    dependencies, embedded = (build.pins_of(layer, architecture) for layer in ("dependencies", "embedded"))

    assert dependencies.keys() & embedded.keys() == set()
    assert "onnxruntime" in embedded
    assert {"numpy", "fastapi", "mangum", "boto3", "aws-lambda-powertools"} <= dependencies.keys()
    assert all("==" in pin and " --hash=sha256:" in pin for pin in (*dependencies.values(), *embedded.values()))


def test_servers_stay_at_home() -> None:
    assert build.pins_of("dependencies", "x86_64").keys() & {"uvicorn", "uvloop"} == set()


def test_function_is_the_handlers_alone(tmp_path: Path) -> None:
    build.build("function", tmp_path, "x86_64")

    assert {path.name for path in tmp_path.iterdir()} == {"handlers"}
    assert (tmp_path / "handlers" / "api.py").read_bytes() == (SOURCES / "handlers" / "api.py").read_bytes()


def test_core_layer_is_the_core_and_the_bundle(tmp_path: Path) -> None:
    build.build("core", tmp_path, "x86_64")

    python = {p.relative_to(tmp_path / "python" / "core") for p in (tmp_path / "python").rglob("*.py")}
    assert python == {path.relative_to(CORE) for path in CORE.rglob("*.py")}
    shipped = {path.name: path.read_bytes() for path in (tmp_path / "models" / "creditcard").iterdir()}
    assert shipped == {path.name: path.read_bytes() for path in BUNDLE.iterdir()}


def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        build.build("core", tmp_path / folder, "x86_64")

    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def digests(folder: Path) -> dict[Path, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.skipif(build.find_interpreter() is None, reason="no Python of Lambda's version here")
def test_bytecode_is_believed_whatever_the_times_of_the_files(tmp_path: Path) -> None:
    build.build("function", tmp_path, "x86_64")

    compiled = importlib.util.cache_from_source("api.py")
    name = Path(compiled).name.replace(sys.implementation.cache_tag or "", "cpython-312")
    flags = (tmp_path / "handlers" / "__pycache__" / name).read_bytes()[4:8]
    assert flags == b"\x01\x00\x00\x00"  # PEP 552: by hash, unchecked


def test_tests_stubs_and_scripts_are_left_out(tmp_path: Path) -> None:
    kept = ("package/module.py", "package/py.typed", "package/testing/tools.py")
    dropped = ("bin/script", "package/module.pyi", "package/tests/test_module.py", "package/a/tests/b/c.pyi")
    for name in (*kept, *dropped):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")

    build.strip(tmp_path)

    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


def test_package_without_its_own_packages_is_refused(tmp_path: Path) -> None:
    info = tmp_path / "demo-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
        "Requires-Dist: There_It.Is\nRequires-Dist: win; sys_platform == 'win32'\nRequires-Dist: opt; extra == 'x'\n"
    )

    build.check_closed(tmp_path, frozenset({"there-it-is"}), "x86_64")
    with pytest.raises(build.BuildError, match="demo needs There_It.Is, which no layer has"):
        build.check_closed(tmp_path, frozenset(), "x86_64")


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"12345")
    (tmp_path / "c").write_bytes(b"67")

    assert sizes.size_of(tmp_path) == 7


@pytest.mark.parametrize(
    ("embedded_mb", "dependencies_mb", "fits"), [(80, 150, True), (80.1, 150, False), (10, 150.1, False)]
)
def test_variant_that_is_too_large_is_told(embedded_mb: float, dependencies_mb: float, fits: bool) -> None:
    parts = {"function": 0, "core": 0, "dependencies": dependencies_mb, "embedded": embedded_mb}

    lines, all_fit = sizes.report({name: int(mb * 1_000_000) for name, mb in parts.items()})

    assert all_fit is fits
    assert any("too large" in line for line in lines) is not fits
