"""A file that a caller sends: a job knows of it once it is whole."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from core.errors import BodyTooLargeError
from core.jobs.local.folders import sync_folder, version_of
from core.jobs.records import FormatName, JobInput

UPLOADED = "input-"
"""What the names of uploaded files begin with."""


class Upload:
    """Takes the bytes as they come, in a file of its own: another upload for the same job changes nothing of it."""

    def __init__(self, root: Path, folder: str, format_name: FormatName, max_bytes: int) -> None:
        self._location = f"{folder}/{UPLOADED}{secrets.token_hex(8)}"
        self._format: FormatName = format_name
        self._max_bytes = max_bytes
        self._path = root / self._location
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("wb")
        self._n_bytes = 0

    def write(self, data: bytes) -> None:
        """Add to the file.

        Raises
        ------
        BodyTooLargeError
        """
        self._n_bytes += len(data)
        if self._n_bytes > self._max_bytes:
            raise BodyTooLargeError(f"The file may have at most {self._max_bytes} bytes.")
        self._file.write(data)

    def commit(self) -> JobInput:
        """See to it that the file outlasts a loss of power, and return what it is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        sync_folder(self._path.parent)
        version = version_of(self._path)
        return JobInput(location=self._location, format=self._format, version=version, n_bytes=self._n_bytes)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._path.unlink(missing_ok=True)
