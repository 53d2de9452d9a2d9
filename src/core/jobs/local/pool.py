"""The processes that score: each has one chunk at a time, and the chunk of one that dies goes to another."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType

from core.errors import JobFailedError
from core.jobs.local.worker import Assignment, Done, Failed, WorkOrder, work

_LOOK_EVERY_S = 0.2
_MOST_DEATHS = 3
"""In one run: a chunk that kills each process that it is given to must not go on for ever."""


class WorkerPool:
    """Starts the processes, and ends them with the block."""

    def __init__(self, order: WorkOrder, n_workers: int) -> None:
        # Not forked: the process that runs jobs has threads, and a model that should not be shared.
        self._context = multiprocessing.get_context("spawn")
        self._order = order
        self._n_workers = n_workers
        self._processes: dict[Connection, BaseProcess] = {}
        self._deaths = 0

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.terminate()
        for connection, process in self._processes.items():
            process.join()
            connection.close()

    def run(self, work_to_do: Iterator[Assignment], check: Callable[[], None]) -> Iterator[Done]:
        """Yield what is done, in any order; `check` is called between, and stops everything by raising.

        Raises
        ------
        JobFailedError
            A chunk cannot be scored, or processes die of it.
        """
        again: list[Assignment] = []
        busy: dict[Connection, Assignment] = {}
        idle: list[Connection] = []
        exhausted = False
        while True:
            while not exhausted and len(busy) < self._n_workers:
                assignment = again.pop() if again else next(work_to_do, None)
                if assignment is None:
                    exhausted = True
                    break
                connection = idle.pop() if idle else self._hire()
                busy[connection] = assignment
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(assignment)  # one that is dead will be noticed below
            if not busy:
                return
            check()
            ready = wait(list(busy), _LOOK_EVERY_S)
            for connection in [each for each in busy if each in ready]:
                assignment = busy.pop(connection)
                answer = self._receive(connection)
                if answer is None:
                    again.append(assignment)
                    exhausted = False
                else:
                    idle.append(connection)
                    yield answer

    def _hire(self) -> Connection:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, self._order), daemon=True)
        with _unheard_ctrl_c():
            process.start()
        theirs.close()  # so that its end is closed when the process ends
        self._processes[ours] = process
        return ours

    def _receive(self, connection: Connection) -> Done | None:
        """Return the answer, or None if the process died instead."""
        try:
            answer = connection.recv()
        except (EOFError, ConnectionResetError):
            self._deaths += 1
            self._processes.pop(connection).join()
            connection.close()
            if self._deaths > _MOST_DEATHS:
                text = f"Processes that score died {self._deaths} times: there may be too little memory."
                raise JobFailedError("worker_lost", text) from None
            return None
        if isinstance(answer, Failed):
            raise JobFailedError(answer.code, answer.text)
        done: Done = answer
        return done


@contextlib.contextmanager
def _unheard_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C from a process that starts meanwhile, which could not ignore it yet; this one hears it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # or it would be started by the first process, and unblock the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
