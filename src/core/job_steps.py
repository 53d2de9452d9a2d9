"""The composition root of the functions that run jobs in AWS: settings -> clients -> the steps of the state machine."""

from __future__ import annotations

from core.bootstrap import build_service
from core.bundle_location import load_bundle_from
from core.jobs.aws.opening import connect
from core.jobs.aws.plan import Planner
from core.jobs.aws.settle import Settler
from core.jobs.aws.uploads import Uploads
from core.jobs.aws.worker import Worker
from core.metrics import Metrics
from core.settings import Settings


def build_planner(settings: Settings) -> Planner:
    """Return the first step.

    Raises
    ------
    StartupError
    """
    there = connect(settings)
    bundle = load_bundle_from(settings.model_bundle, expected_digest=settings.model_bundle_sha256)
    return Planner(there.store, there.ledger, there.objects, bundle, there.bucket, settings.jobs_concurrency)


def build_worker(settings: Settings) -> Worker:
    """Return the step that scores.

    Raises
    ------
    StartupError
    """
    there = connect(settings)
    # A batch can wait for the endpoint; it need not make do with less.
    service = build_service(settings.model_copy(update={"scorer_fallback": "none"}))
    return Worker(there.store, there.ledger, there.objects, service, there.bucket)


def build_settler(settings: Settings, metrics: Metrics) -> Settler:
    """Return the last step.

    Raises
    ------
    SettingsError
    """
    there = connect(settings)
    return Settler(there.store, there.ledger, there.objects, metrics, there.bucket, settings.jobs_concurrency)


def build_uploads(settings: Settings) -> Uploads:
    """Return what starts jobs whose file has come.

    Raises
    ------
    SettingsError
    """
    there = connect(settings)
    return Uploads(there.store, there.objects, there.engine())
