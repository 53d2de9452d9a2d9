"""Told by a queue which files were uploaded: each starts its job; a message that cannot be used spoils no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

from core.job_steps import build_uploads
from core.settings import load_settings
from handlers.on_demand import handler_on_demand

Handler = Callable[[dict[str, Any], Any], PartialItemFailureResponse]


def build_handler() -> Handler:
    """Return the handler for the settings of the environment.

    Raises
    ------
    SettingsError
    """
    uploads = build_uploads(load_settings(env_file=None))
    # Where all fail, the answer still names each: raising would hide which, and count as a fault of the function.
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def start(record: dict[str, Any]) -> None:
        uploads.arrived(json.loads(record["body"])["detail"]["object"]["key"])

    def handle(event: dict[str, Any], context: Any) -> PartialItemFailureResponse:  # noqa: ANN401 - Lambda's
        return process_partial_response(event, start, processor, context)

    return handle


__getattr__ = handler_on_demand(__name__, build_handler)
