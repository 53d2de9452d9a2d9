"""Trains again as a manifest says, and tells whether the same bytes came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.bundle import Bundle
from core.manifest import Manifest
from training.data import DataFile
from training.errors import ExportError, OptionError
from training.run import Options

_OPTIONS = TypeAdapter(Options)


def recorded(options: Options) -> dict[str, Any]:
    """Return the manifest's `options`: all that was asked of the run, but for the data."""
    document: dict[str, Any] = _OPTIONS.dump_python(options, mode="json")
    return document


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of the run to repeat.

    Raises
    ------
    OptionError
        The file is not the manifest of a bundle that was trained here.
    """
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise OptionError(f"--repeat: {path}: {error.strerror}") from error
    except ValidationError as error:
        raise OptionError(f"--repeat: {path} is not the manifest of a bundle") from error


def options_of(manifest: Manifest, data: DataFile) -> Options:
    """Return what was asked of the run that made the manifest.

    Raises
    ------
    OptionError
        The run had other data, or it does not say what was asked.
    """
    training = manifest.training
    if training.get("data", {}).get("sha256") != data.sha256:
        raise OptionError("--repeat: the manifest was made of other data than these")
    try:
        return _OPTIONS.validate_json(json.dumps(training.get("options")))
    except ValidationError as error:
        raise OptionError("--repeat: the manifest does not say which options it was made with") from error


def check_same(first: Manifest, again: Bundle) -> None:
    """Compare a repeated bundle with the manifest of the first.

    Raises
    ------
    ExportError
        A file or the manifest itself differs; the text says which, and which libraries do.
    """
    ours = again.manifest
    if ours == first:
        return
    files = {name for name, _ in set(first.files.items()) ^ set(ours.files.items())}
    libraries = {name for name, _ in set(first.libraries.items()) ^ set(ours.libraries.items())}
    why = f"; so do the versions of {', '.join(sorted(libraries))}" if libraries else ""
    raise ExportError(f"the repeated bundle differs in {', '.join(sorted(files)) or 'its manifest'}{why}")
