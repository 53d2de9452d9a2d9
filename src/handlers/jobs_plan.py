"""The first step of the state machine: cut the file of a job into batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from core.job_steps import build_planner
from core.jobs.aws.plan import BatchList
from core.settings import load_settings
from handlers.on_demand import handler_on_demand

Handler = Callable[[dict[str, Any], "Clock"], BatchList]


class Clock(Protocol):
    """The part of Lambda's context that tells how long the function may still run."""

    def get_remaining_time_in_millis(self) -> int: ...


def build_handler() -> Handler:
    """Return the handler for the settings of the environment.

    Raises
    ------
    StartupError
    """
    planner = build_planner(load_settings(env_file=None))

    def handle(event: dict[str, Any], context: Clock) -> BatchList:
        return planner.plan(event["job_id"], lambda: context.get_remaining_time_in_millis() / 1000)

    return handle


__getattr__ = handler_on_demand(__name__, build_handler)
