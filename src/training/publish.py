"""Puts a new bundle in place: written and proven beside the old one, then swapped, or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.bundle import MANIFEST, Bundle, load_bundle, write_bundle
from core.errors import BundleError
from training.errors import ExportError, OutputError


def check_target(out: Path) -> None:
    """Make sure that `out` may become a bundle, before hours of work go into one.

    Raises
    ------
    OutputError
        There is something at `out` that is not a bundle; replacing it would destroy it.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise OutputError(f"{out} is not a directory")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise OutputError(f"{out} holds files that are no model bundle; choose another directory")


def publish_bundle(
    out: Path, manifest: dict[str, Any], files: dict[str, bytes], prove: Callable[[Bundle], None]
) -> Bundle:
    """Write the bundle, load it again, let `prove` judge it, and only then replace what is at `out`.

    Raises
    ------
    ExportError
        The bundle does not load, or `prove` says no.
    OutputError
        The directory cannot be written.
    """
    check_target(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            # A directory inside: the scratch directory itself is readable by its owner alone.
            fresh = Path(scratch, "new")
            write_bundle(fresh, manifest, files)
            bundle = load_bundle(fresh)
            prove(bundle)
            _swap(fresh, out, Path(scratch, "old"))
    except BundleError as error:
        raise ExportError(f"the new bundle failed its own checks: {error}") from error
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error.strerror}") from error
    return bundle


def _swap(fresh: Path, out: Path, aside: Path) -> None:
    if not out.exists():
        fresh.rename(out)
        return
    out.rename(aside)
    try:
        fresh.rename(out)
    except OSError:
        aside.rename(out)
        raise
