"""The step of the state machine that runs many times side by side: score one batch of a job."""

from __future__ import annotations

from typing import Any

from core.job_steps import build_worker
from core.jobs.aws.batches import Batch
from core.jobs.aws.worker import Worker
from core.settings import load_settings
from handlers.on_demand import handler_on_demand


class JobsWorker:
    """Scores one batch an invocation."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self, event: dict[str, Any], context: object) -> dict[str, int]:
        """Return the index of the batch once it is done."""
        return {"index": self._worker.score(Batch.model_validate(event))}

    def close(self) -> None:
        """Give back what the invocations needed."""
        self._worker.close()


def build_handler() -> JobsWorker:
    """Return the handler for the settings of the environment.

    Raises
    ------
    StartupError
    """
    return JobsWorker(build_worker(load_settings(env_file=None)))


__getattr__ = handler_on_demand(__name__, build_handler)
