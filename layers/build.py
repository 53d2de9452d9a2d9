"""Makes what `sam build` asks for: the function's code and the three layers, for Lambda and not for this machine.

    python layers/build.py function | core | dependencies | embedded FOLDER

LAMBDA_ARCHITECTURE in the environment is x86_64 (the default) or arm64; PYTHON312 names an interpreter that
compiles the bytecode, where `python3.12` is not on PATH or is not wanted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.12"
FUNCTION, LAYERS = "/var/task", "/opt/python"
"""Where Lambda puts the function's code, and the packages of its layers."""
PLATFORMS = {
    # The newer tag first: Lambda's Amazon Linux 2023 has glibc 2.34, and numpy's newest wheels ask for 2.28.
    "x86_64": ("manylinux_2_28_x86_64", "manylinux2014_x86_64"),
    "arm64": ("manylinux_2_28_aarch64", "manylinux2014_aarch64"),
}
SERVER_ONLY = frozenset({"click", "h11", "httptools", "uvicorn", "uvloop", "watchfiles", "websockets"})
"""What serves HTTP in the container; on Lambda the gateway does."""


class BuildError(Exception):
    """A layer cannot be built; the text is one line for the person who asked for it."""


def target_environment(architecture: str) -> dict[str, str]:
    """Return the values of environment markers on Lambda; pip itself would take those of the Python it runs on."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": PLATFORMS[architecture][0].partition("_28_")[2],
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{PYTHON}.0",
        "python_version": PYTHON,
        "sys_platform": "linux",
    }


def read_lock(text: str, architecture: str) -> dict[str, str]:
    """Return the pinned requirements that hold on Lambda, with their hashes, by package name."""
    environment = target_environment(architecture)
    chosen: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        pin, *hashes = line.split(" --hash=")
        if not hashes:
            continue
        requirement = Requirement(pin)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            chosen[canonicalize_name(requirement.name)] = " --hash=".join([str(requirement), *map(str.strip, hashes)])
    return chosen


def pins_of(layer: str, architecture: str) -> dict[str, str]:
    """Return what the layer `dependencies` or `embedded` holds; a package is in one of them only."""
    runtime = read_lock((ROOT / "requirements" / "runtime.txt").read_text(), architecture)
    if layer == "dependencies":
        return {name: pin for name, pin in runtime.items() if name not in SERVER_ONLY}
    embedded = read_lock((ROOT / "requirements" / "embedded.txt").read_text(), architecture)
    return {name: pin for name, pin in embedded.items() if name not in runtime}


def install(pins: dict[str, str], folder: Path, architecture: str) -> None:
    """Install exactly `pins` for Lambda into `folder`."""
    options = ["--implementation", "cp", "--python-version", PYTHON, "--only-binary=:all:"]
    options += [f"--platform={platform}" for platform in PLATFORMS[architecture]]
    # The lock was resolved for this Python; pip would hold the one that it runs on itself against the packages.
    options += ["--ignore-requires-python"]
    options += ["--no-deps", "--require-hashes", "--no-compile", "--disable-pip-version-check", "--no-input"]
    with tempfile.TemporaryDirectory() as temporary:
        wanted = Path(temporary) / "requirements.txt"
        wanted.write_text("\n".join(pins.values()) + "\n")
        command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), "-r", str(wanted)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if result.returncode:
        faults = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise BuildError("pip: " + "; ".join(faults or result.stderr.splitlines()[-5:]))


def strip(folder: Path) -> None:
    """Remove what nothing on Lambda reads: tests, type stubs and command-line scripts."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for tests in list(folder.rglob("tests")):
        shutil.rmtree(tests, ignore_errors=True)
    for stub in list(folder.rglob("*.pyi")):
        stub.unlink()


def check_closed(folder: Path, provided: frozenset[str], architecture: str) -> None:
    """Refuse a layer with a package whose own requirements are nowhere."""
    environment = {**target_environment(architecture), "extra": ""}
    there = provided.union(canonicalize_name(each.metadata["Name"]) for each in _installed(folder))
    for package in _installed(folder):
        for text in package.requires or []:
            requirement = Requirement(text)
            needed = requirement.marker is None or requirement.marker.evaluate(environment)
            if needed and canonicalize_name(requirement.name) not in there:
                raise BuildError(f"{package.metadata['Name']} needs {requirement.name}, which no layer has")


def _installed(folder: Path) -> Iterable[Distribution]:
    return distributions(path=[str(folder)])


def copy_code(name: str, folder: Path) -> None:
    """Copy one package of src/."""
    shutil.copytree(ROOT / "src" / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))


def compile_bytecode(folder: Path, place: str) -> str:
    """Compile all of `folder`, which will be at `place` on Lambda, and return what was done.

    Layers are read-only on Lambda, so that without bytecode every cold start compiles everything anew. It is
    checked by nothing at run time, not even by the times of the files, which a zip does not keep.
    """
    interpreter = find_interpreter()
    if interpreter is None:
        return f"no bytecode: no python{PYTHON} here, so that cold starts take about a second longer"
    command = [interpreter, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(folder), "-p", place, str(folder)]
    # What a package ships for other versions of Python does not compile; it is not imported either.
    subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own arguments
    return f"bytecode by python{PYTHON}"


def find_interpreter() -> str | None:
    """Return a Python of Lambda's version, if there is one here: bytecode is of one version only."""
    wanted = tuple(map(int, PYTHON.split(".")))
    if sys.version_info[:2] == wanted:
        return sys.executable
    for name in (os.environ.get("PYTHON312"), f"python{PYTHON}"):
        found = shutil.which(name) if name else None
        # A version manager's stand-in may be on PATH without an interpreter behind it.
        probe = f"import sys; sys.exit(sys.version_info[:2] != {wanted})"
        if found and subprocess.run([found, "-c", probe], capture_output=True, check=False).returncode == 0:  # noqa: S603 - our own arguments
            return found
    return None


def build(what: str, folder: Path, architecture: str) -> str:
    """Make the function or one layer in `folder`, and return a line about it.

    Raises
    ------
    BuildError
    """
    folder.mkdir(parents=True, exist_ok=True)
    if what == "function":
        copy_code("handlers", folder)
        return f"function: {compile_bytecode(folder, FUNCTION)}"
    packages = folder / "python"
    if what == "core":
        copy_code("core", packages)
        shutil.copytree(ROOT / "models", folder / "models")
        return f"core: {compile_bytecode(packages, LAYERS)}"
    pins = pins_of(what, architecture)
    install(pins, packages, architecture)
    strip(packages)
    check_closed(packages, frozenset(pins_of("dependencies", architecture)), architecture)
    return f"{what}: {len(pins)} packages for {architecture}, {compile_bytecode(packages, LAYERS)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("function", "core", "dependencies", "embedded"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    architecture = os.environ.get("LAMBDA_ARCHITECTURE") or "x86_64"
    if architecture not in PLATFORMS:
        parser.error(f"LAMBDA_ARCHITECTURE is x86_64 or arm64, not {architecture}")
    try:
        done = build(options.what, options.folder, architecture)
    except BuildError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stderr.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
