"""What moto's interpreter of the Amazon States Language lacks: our functions in place of containers, and a redrive.

moto 5.2 has LocalStack's interpreter. It runs a Distributed Map as deployed: reads the list of batches from S3, starts
the workers, retries them, tolerates their failures. It invokes functions in containers, which takes seconds each; here
they are called in this process. And it knows no `RedriveExecution`: added here as AWS documents it - the execution goes
on from the step that failed, with the input that this step had, and its context counts the redrives.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.awslambda.models import LambdaFunction
from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.dynamodb.models import DynamoDBBackend
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.backend import execution_worker
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.responses import StepFunctionResponse

Handler = Callable[[Any, Any], Any]


class Context:
    """As much of Lambda's context as our handlers look at."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def __init__(self, name: str, seconds_left: float = 900.0) -> None:
        self.function_name = name
        self._seconds_left = seconds_left

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * self._seconds_left)


class Functions:
    """The handlers behind the names of functions, and what they were invoked with."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.invocations: list[tuple[str, Any]] = []
        self._lock = threading.Lock()

    def of(self, name: str) -> list[Any]:
        """Return the events that the function `name` was invoked with."""
        return [event for invoked, event in self.invocations if invoked == name]

    def invoke(self, name: str, event: Any) -> tuple[str, bool]:
        """Return what Lambda would: the result as JSON, or the error, and whether it is an error."""
        with self._lock:
            self.invocations.append((name, event))
        try:
            return json.dumps(self.handlers[name](event, Context(name))), False
        except Exception as error:  # noqa: BLE001 - as Lambda's runtime does
            return json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}), True


@contextmanager
def interpreting(functions: Functions) -> Iterator[None]:
    """Let moto interpret state machines, and invoke `functions`."""
    before = default_user_config["stepfunctions"]
    invoke = LambdaFunction._invoke_lambda

    def invoke_here(self: LambdaFunction, event: Any = None) -> tuple[str, bool, str]:
        return *functions.invoke(self.function_name, event), ""

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    LambdaFunction._invoke_lambda = invoke_here  # type: ignore[method-assign]
    StepFunctionResponse.redrive_execution = _redrive_execution  # type: ignore[attr-defined]
    try:
        yield
    finally:
        default_user_config["stepfunctions"] = before
        LambdaFunction._invoke_lambda = invoke  # type: ignore[method-assign]
        del StepFunctionResponse.redrive_execution  # type: ignore[attr-defined]


@contextmanager
def isolated_writes() -> Iterator[None]:
    """Let moto's DynamoDB write one thing at a time, as transactions in AWS appear to: it copies back whole tables."""
    names = ("transact_write_items", "put_item", "update_item", "delete_item")
    lock, originals = threading.RLock(), {name: getattr(DynamoDBBackend, name) for name in names}

    def guarded(write: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return write(*args, **kwargs)

        return run

    for name, write in originals.items():
        setattr(DynamoDBBackend, name, guarded(write))
    try:
        yield
    finally:
        for name, write in originals.items():
            setattr(DynamoDBBackend, name, write)


def _redrive_execution(self: StepFunctionResponse) -> ActionResult:
    execution: Execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    assert execution.exec_status in (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, ExecutionStatus.ABORTED)
    execution.redrives = getattr(execution, "redrives", 0) + 1
    worker = _Redriven(execution, *_unfinished_step(execution))
    execution.exec_worker = worker
    execution.exec_status, execution.stop_date, execution.error, execution.cause = (
        ExecutionStatus.RUNNING,
        None,
        None,
        None,
    )
    worker.start()
    return ActionResult({"redriveDate": execution.start_date})


def _unfinished_step(execution: Execution) -> tuple[str, Any]:
    """Return the name of the step that was entered and not left, and its input."""
    history = execution.to_history_output()["events"]
    entered = [each["stateEnteredEventDetails"] for each in history if "stateEnteredEventDetails" in each]
    left = [each for each in history if "stateExitedEventDetails" in each]
    assert len(entered) == len(left) + 1
    return entered[-1]["name"], json.loads(entered[-1]["input"])


class _Redriven(execution_worker.ExecutionWorker):
    """Runs an execution from one of its steps on."""

    def __init__(self, execution: Execution, step: str, step_input: Any) -> None:
        super().__init__(
            evaluation_details=execution._get_start_execution_worker()._evaluation_details,
            exec_comm=execution._get_start_execution_worker_comm(),
            cloud_watch_logging_session=None,
            activity_store={},
        )
        self._execution, self._step, self._input = execution, step, step_input

    def _get_evaluation_entrypoint(self) -> Any:
        program = super()._get_evaluation_entrypoint()
        program.start_at.start_at_name = self._step
        return program

    def _get_evaluation_environment(self) -> Any:
        environment = super()._get_evaluation_environment()
        environment.states.reset(input_value=self._input)
        data: Any = environment.states.context_object.context_object_data["Execution"]
        data["RedriveCount"] = self._execution.redrives  # type: ignore[attr-defined]
        return environment
