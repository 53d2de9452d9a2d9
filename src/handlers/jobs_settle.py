"""The last step of the state machine: count what is there, and write the manifest when all of it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.job_steps import build_settler
from core.jobs.aws.settle import Settled
from core.metrics import Metrics
from core.settings import load_settings
from handlers.on_demand import handler_on_demand

Handler = Callable[[dict[str, Any], object], Settled]


def build_handler() -> Handler:
    """Return the handler for the settings of the environment.

    Raises
    ------
    SettingsError
    """
    settings = load_settings(env_file=None)
    metrics = Metrics(settings.service_name)
    settler = build_settler(settings, metrics)

    def handle(event: dict[str, Any], context: object) -> Settled:
        # The context of an execution counts redrives from the first one on.
        redrives = int(event["execution"].get("RedriveCount", 0))
        try:
            return settler.settle(event["job_id"], event["round"], redrives)
        finally:
            metrics.flush()

    return handle


__getattr__ = handler_on_demand(__name__, build_handler)
