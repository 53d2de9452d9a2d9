"""Settings -> the local engine, with its folder, its records and its thread."""

from __future__ import annotations

import os
import sqlite3

from core.errors import SettingsError
from core.jobs.engines import Jobs
from core.jobs.local.engine import INPUTS, JOBS, LocalEngine, LocalSettings
from core.jobs.local.store import SqliteJobStore
from core.jobs.local.worker import BuildService
from core.settings import Settings


def open_engine(settings: Settings, build_service: BuildService) -> Jobs:
    """Make the folder of jobs where it is not there, and run what is left to do in it.

    Raises
    ------
    SettingsError
        It cannot be written.
    """
    folder = settings.jobs_dir.resolve()
    try:
        for name in (INPUTS, JOBS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        store = SqliteJobStore(folder / "jobs.sqlite3")
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"JOBS_DIR: {settings.jobs_dir} cannot be written") from error
    local = LocalSettings(
        folder, settings.jobs_workers or cores(), settings.jobs_max_upload_bytes, settings.jobs_patience_s
    )
    engine = LocalEngine(local, store, settings, build_service)
    engine.open()
    return Jobs(engine, store)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
