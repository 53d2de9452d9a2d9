"""Write requirements/*.txt from pyproject.toml: every version pinned, every file hashed.

One resolution covers all groups, all supported Python versions and all platforms; each group's file is then
cut from it, so that any of them install together. Pins that still fit are kept; --upgrade moves them all.

Run by `make lock`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
OLDEST_PYTHON = "3.10"


def read_groups(pyproject: dict[str, Any]) -> dict[str, list[str]]:
    """The direct dependencies of each file to write."""
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    return {
        "runtime": project["dependencies"],
        **project["optional-dependencies"],
        "lambda-image": groups["lambda-image"],
        "lock-tool": groups["lock"],
    }


def compile_requirements(folder: Path, sources: list[str], output: str, *options: str) -> None:
    # --no-config: a uv.toml or a pyproject.toml further up must not change what is locked.
    command = [sys.executable, "-m", "uv", "pip", "compile", "--no-config", "--quiet"]
    command += ["--universal", "--python-version", OLDEST_PYTHON, "--python", sys.executable]
    command += ["--output-file", output, *options, *sources]
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603 - no shell, and nothing from outside


def lock(groups: dict[str, list[str]], folder: Path, *, upgrade: bool) -> dict[str, str]:
    """The text of each file of requirements/, by its name."""
    sources = []
    for name, dependencies in groups.items():
        source = folder / f"{name}.in"
        source.write_text("\n".join(dependencies) + "\n")
        sources.append(source.name)
    if not upgrade:
        # uv keeps what its output file already pins.
        (folder / "all.txt").write_text("".join(old.read_text() for old in sorted(LOCKS.glob("*.txt"))))
    compile_requirements(folder, sources, "all.txt", "--no-annotate")
    locks = {}
    for name, source in zip(groups, sources, strict=True):
        output = f"{name}.txt"
        options = ["--constraint", "all.txt", "--generate-hashes", "--custom-compile-command", "make lock"]
        compile_requirements(folder, [source], output, *options)
        # The files of this folder mean nothing to a reader of the lock.
        text = (folder / output).read_text().replace("    #   -c all.txt\n", "")
        locks[output] = text.replace(f"-r {source}", "pyproject.toml")
    return locks


def read_tools(pyproject: dict[str, Any]) -> dict[str, list[str]]:
    """The direct dependencies of each tool that has an environment of its own."""
    groups = pyproject["dependency-groups"]
    return {name.removeprefix("tool-"): groups[name] for name in groups if name.startswith("tool-")}


def lock_tools(tools: dict[str, list[str]], folder: Path, *, upgrade: bool) -> dict[str, str]:
    """The text of each file of requirements/tools/, by its name below requirements/."""
    locks = {}
    for name, dependencies in tools.items():
        (folder / f"{name}.in").write_text("\n".join(dependencies) + "\n")
        output = f"{name}.txt"
        if not upgrade and (LOCKS / "tools" / output).exists():
            (folder / output).write_text((LOCKS / "tools" / output).read_text())
        options = ["--generate-hashes", "--custom-compile-command", "make lock"]
        compile_requirements(folder, [f"{name}.in"], output, *options)
        locks[f"tools/{output}"] = (folder / output).read_text().replace(f"-r {name}.in", "pyproject.toml")
    return locks


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="move every pin to the newest that fits")
    options = parser.parse_args()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pyproject = tomllib.loads(text)
    with tempfile.TemporaryDirectory() as temporary, tempfile.TemporaryDirectory() as for_tools:
        try:
            locks = lock(read_groups(pyproject), Path(temporary), upgrade=options.upgrade)
            locks |= lock_tools(read_tools(pyproject), Path(for_tools), upgrade=options.upgrade)
        except subprocess.CalledProcessError as error:
            return int(error.returncode)
    (LOCKS / "tools").mkdir(parents=True, exist_ok=True)
    for name, lock_text in locks.items():
        (LOCKS / name).write_text(lock_text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
