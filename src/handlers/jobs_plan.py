"""The first step of the state machine: cut the file of a job into batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from core.job_steps import build_planner
from core.jobs.aws.plan import BatchList
from core.settings import load_settings

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


def __getattr__(name: str) -> Handler:
    """Build `handler` when it is first looked up."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["handler"] = handler = build_handler()
    return handler
