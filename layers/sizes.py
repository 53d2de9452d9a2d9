"""Prints what `make build` made, by its size unzipped, and fails when a variant is too large for Lambda.

python layers/sizes.py [FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

BUILT = Path(".aws-sam/build")
PARTS = {
    "function": "ApiFunction",
    "core": "CoreLayer",
    "dependencies": "DependenciesLayer",
    "embedded": "EmbeddedLayer",
}
VARIANTS = {
    # Lambda takes 250 MB; the rest is room for a larger model.
    "embedded scoring": (("function", "core", "dependencies", "embedded"), 230),
    "SageMaker only": (("function", "core", "dependencies"), 150),
}
"""What each variant consists of, and the most MB that it may have."""
_MB = 1_000_000


def size_of(folder: Path) -> int:
    """Return the bytes of all files below `folder`."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def report(sizes: Mapping[str, int]) -> tuple[list[str], bool]:
    """Return the lines to print, and whether every variant fits."""
    lines = [f"{part:<18}{size / _MB:6.1f} MB" for part, size in sizes.items()]
    fits = True
    for variant, (parts, limit) in VARIANTS.items():
        total = sum(sizes[part] for part in parts)
        is_small = total <= limit * _MB
        lines.append(f"{variant:<18}{total / _MB:6.1f} MB of {limit}" + ("" if is_small else ": too large"))
        fits = fits and is_small
    return lines, fits


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=BUILT)
    folder = parser.parse_args().folder
    if missing := [name for name in PARTS.values() if not (folder / name).is_dir()]:
        sys.stderr.write(f"error: {folder} has no {missing[0]}: run `make build`\n")
        return 1
    lines, fits = report({part: size_of(folder / name) for part, name in PARTS.items()})
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
