"""What jobs add to the API, as one: imported only where jobs are served, since a start pays for every import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.api.job_openapi import describe_jobs
from core.api.job_routes import PATTERNS, SCOPES_OF_JOBS, JobRoutes
from core.api.release import Endpoint
from core.jobs.engines import Jobs
from core.service import ScoringService
from core.settings import Settings


class JobApi:
    """The routes of one engine and one store of jobs."""

    scopes: Mapping[str, str | None] = SCOPES_OF_JOBS
    """What each route asks of a key."""
    patterns = PATTERNS
    """They lead from paths with variable parts to their routes."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def endpoints(self, service: ScoringService, settings: Settings) -> dict[tuple[str, str], Endpoint]:
        """Return who answers which route and method."""
        return JobRoutes(self._jobs, service, settings).endpoints()

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the paths for the OpenAPI document, and the schemas that they refer to."""
        return describe_jobs(self._jobs)
