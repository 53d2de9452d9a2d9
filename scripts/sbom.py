"""Write build/sbom.cdx.json: what the service ships with, as CycloneDX, with licences and who needs whom.

    python scripts/sbom.py [--out FILE]

It reads the environment of this interpreter, and keeps what the locks of the runtime name: those are what the container
and the Lambda layers hold. Equal environments give equal bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SHIPPED = ("runtime", "embedded")
_MIT_GRANT = "Permission is hereby granted, free of charge, to any person obtaining a copy"
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)

# Licences by their SPDX identifiers, or as older packages spell them.
PERMISSIVE = frozenset({
    "0BSD", "3-Clause BSD License", "Apache 2.0", "Apache License 2.0", "Apache Software License", "Apache-2.0",
    "BSD", "BSD License", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT License", "MIT-0",
    "MIT No Attribution License (MIT-0)", "PSF-2.0", "Zlib",
})  # fmt: skip
"""What a product that is sold may carry along without obligations but to name the authors."""


def shipped_names(folder: Path = ROOT / "requirements") -> set[str]:
    """Return the normalised names of every package that the locks of the runtime pin, for any platform."""
    texts = ((folder / f"{name}.txt").read_text(encoding="utf-8") for name in SHIPPED)
    return {_normal(name) for text in texts for name in _PIN.findall(text)}


def licences_of(name: str) -> list[str]:
    """Return the licences that an installed package declares."""
    declared = metadata.metadata(name)
    expression = declared.get("License-Expression")
    if expression:
        return [part for part in re.split(r"\s+(?:AND|OR)\s+|[()]", expression) if part]
    classifiers = declared.get_all("Classifier") or []
    named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    return named or [declared.get("License") or _licence_by_its_text(name)]


def _licence_by_its_text(name: str) -> str:
    """Return what the licence file says, which is all that some packages bring along."""
    texts = [path.read_text() for path in metadata.files(name) or [] if path.name.upper().startswith("LICENSE")]
    return "MIT" if any(_MIT_GRANT in " ".join(text.split()) for text in texts) else "unknown"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _keep(bom: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the bill without what is installed here and not shipped."""
    wanted = set(names)
    components = [_licensed(each) for each in bom["components"] if _normal(each["name"]) in wanted]
    references = {each["bom-ref"] for each in components}
    dependencies = [
        {**each, "dependsOn": [other for other in each.get("dependsOn", []) if other in references]}
        for each in bom["dependencies"]
        if each["ref"] in references
    ]
    return {**bom, "components": components, "dependencies": dependencies}


def _licensed(component: dict[str, Any]) -> dict[str, Any]:
    """Return the component with the licence that its package names, if the tool did not make it out."""
    if component.get("licenses"):
        return component
    names = licences_of(component["name"])
    return {**component, "licenses": [{"license": {"name": name, "acknowledgement": "declared"}} for name in names]}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sbom.cdx.json", help="the file to write")
    out = parser.parse_args().out
    tool = ROOT / ".tools" / "cyclonedx" / "bin" / "cyclonedx-py"
    command = [str(tool), "environment", sys.executable, "--output-reproducible", "--of", "JSON", "-o", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own tool
    if done.returncode != 0:
        print(f"error: {done.stderr.strip()}", file=sys.stderr)
        return 1
    bom = _keep(json.loads(done.stdout), shipped_names())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(bom, indent=1) + "\n", encoding="utf-8")
    print(f"{len(bom['components'])} packages with their licences: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
