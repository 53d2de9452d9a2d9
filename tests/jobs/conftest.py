"""The real app with the real local engine, over the tiny bundle and a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi import FastAPI

from core.api.app import create_app
from core.api.job_api import JobApi
from core.bootstrap import build_service
from core.bundle import Bundle
from core.jobs.engines import Jobs
from core.jobs.formats.base import ChunkLimits
from core.jobs.local.engine import LocalEngine, LocalSettings
from core.jobs.local.store import SqliteJobStore
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from tests.app_under_test import settings_of_tests


@dataclass
class Place:
    """A jobs folder, and what is needed to open an engine over it."""

    folder: Path
    tiny: Bundle
    tiny_path: Path
    engines: list[LocalEngine] = field(default_factory=list)
    now: float = 0.0
    """Seconds by which the store's clock is ahead."""

    def app(self, *, runs: bool = True, max_upload_bytes: int = 1 << 20) -> FastAPI:
        """Return an app; `runs` is whether its engine does any work."""
        import time

        store = SqliteJobStore(self.folder / "jobs.sqlite3", lambda: time.time() + self.now)
        settings = settings_of_tests(model_bundle=self.tiny_path)
        service = ScoringService(self.tiny, EmbeddedScorer(self.tiny))
        local = LocalSettings(self.folder, 1, max_upload_bytes, patience_s=1, limits=ChunkLimits(rows=100))
        engine = LocalEngine(local, store, settings, build_service)
        if runs:
            engine.open()
        self.engines.append(engine)
        return create_app(service, settings, jobs=JobApi(Jobs(engine, store)))


@pytest.fixture
def place(tmp_path: Path, tiny: Bundle, tiny_path: Path) -> Iterator[Place]:
    for name in ("inputs", "jobs"):
        (tmp_path / "jobs-folder" / name).mkdir(parents=True)
    place = Place(tmp_path / "jobs-folder", tiny, tiny_path)
    yield place
    for engine in place.engines:
        engine.close()
