"""Told by EventBridge that the execution of a job ended without a result: the job's record says so too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.job_steps import build_settler
from core.metrics import Metrics
from core.settings import load_settings
from handlers.on_demand import handler_on_demand

Handler = Callable[[dict[str, Any], object], None]


def build_handler() -> Handler:
    """Return the handler for the settings of the environment.

    Raises
    ------
    SettingsError
    """
    settings = load_settings(env_file=None)
    metrics = Metrics(settings.service_name)
    settler = build_settler(settings, metrics)

    def handle(event: dict[str, Any], context: object) -> None:
        try:
            settler.note_failure(event["detail"]["name"], event["detail"]["status"])
        finally:
            metrics.flush()

    return handle


__getattr__ = handler_on_demand(__name__, build_handler)
