"""Look up every locked package in the advisory database of the package index, and check the environment.

    python scripts/audit.py

Exit codes: 0 nothing known against any package, 1 an advisory or a broken environment, 3 no database could be asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOUND, NOT_ASKED = 1, 3


def main() -> int:
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)  # noqa: S603
    print(f"environment: {check.stdout.strip()}")
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    reports = {lock.name: _audit(lock) for lock in locks}
    advisories = [_line(lock, package, each) for lock, package, each in _advisories(reports)]
    for line in advisories:
        print(line)
    skipped = {package["name"] for report in reports.values() for package in report if "skip_reason" in package}
    asked = {package["name"] for report in reports.values() for package in report} - skipped
    if check.returncode != 0 or advisories:
        return FOUND
    if skipped or not asked:
        print(
            f"error: no advisories could be had for {len(skipped)} of {len(skipped | asked)} packages", file=sys.stderr
        )
        return NOT_ASKED
    print(f"no known vulnerability in {len(asked)} packages of {len(locks)} locks")
    return 0


def _audit(lock: Path) -> list[dict[str, Any]]:
    """Return what pip-audit says of each package of a lock; a report that cannot be had is one skipped package."""
    options = ["--requirement", str(lock), "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run([sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True, check=False)  # noqa: S603
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return [{"name": lock.name, "skip_reason": done.stderr.strip().splitlines()[-1:]}]
    return packages


def _advisories(reports: dict[str, list[dict[str, Any]]]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [
        (lock, package, advisory)
        for lock, packages in reports.items()
        for package in packages
        for advisory in package.get("vulns", [])
    ]


def _line(lock: str, package: dict[str, Any], advisory: dict[str, Any]) -> str:
    fixed = ", ".join(advisory.get("fix_versions", [])) or "no release yet"
    return f"{lock}: {package['name']} {package['version']}: {advisory['id']}, mended in {fixed}"


if __name__ == "__main__":
    sys.exit(main())
