"""Files that are there whole or not at all, and folders that are one process' at a time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PARTIAL = ".partial"
"""Below the folder of a result: all that is not a result yet."""


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that is there whole or, if the process or the machine stops meanwhile, not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # the disk may be full of what else is written
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """See to it that the names in `folder` outlast a loss of power, where the system lets one."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def only_process(lock: Path) -> Iterator[bool]:
    """Hold `lock` for the time of the block, and tell whether that could be had; it ends with the process.

    SQLite's lock on a file of its own, since those of the operating systems differ.
    """
    connection = sqlite3.connect(lock, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            yield False
        else:
            yield True
    finally:
        connection.close()


def find_below(root: Path, location: str) -> Path | None:
    """Return the plain file at `location` below `root`; None if there is none, or the way to it leads elsewhere."""
    relative = PurePosixPath(location)
    if relative.is_absolute() or "\0" in location or "\\" in location or ".." in relative.parts:
        return None
    try:
        path = (root / relative).resolve(strict=True)
        # Through a link one could read what is not below the folder.
        return path if path.is_relative_to(root.resolve()) and path.is_file() else None
    except (OSError, RuntimeError):
        return None


def version_of(path: Path) -> str:
    """Return what changes when the file does: its size, its time and which file it is."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"
