"""Coalescing: rows that wait together travel together.

A call starts at once while a thread is idle, so that nobody waits for company. Otherwise the
row joins those that wait, and the next call to end makes room for one that takes them all. There is no timer.

Callers belong to event loops, calls to threads. What is shared between them is guarded by one lock, and belongs to
no loop: a Lambda function may run each invocation on another.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from core.errors import DeadlineExceededError, ScorerError, ScorerTimeoutError
from core.preprocessing import FeatureMatrix
from core.scoring.sagemaker_client import Answer

Call = Callable[[FeatureMatrix, float], Answer]


@dataclass(eq=False, slots=True)
class _Job:
    """The rows of one caller, and where the caller waits for their scores."""

    features: FeatureMatrix
    deadline: float
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Answer]
    is_called: bool = False

    def expire(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(
                ScorerTimeoutError("The scorer did not answer in time.")
                if self.is_called
                else DeadlineExceededError("The deadline passed before the scorer could be asked.")
            )

    def finish(self, outcome: Answer | Exception) -> None:
        if self.answer.done():
            return  # its deadline passed, or its caller has gone
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Coalescer:
    """Gathers the rows of many callers into few calls."""

    def __init__(self, call: Call, *, max_calls: int, max_rows: int) -> None:
        """Let at most `max_calls` calls be under way, each of at most `max_rows` rows."""
        self._call = call
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        # One executor a thread, and the one that rested last is taken first: its thread is still warm, which for
        # a single caller is a fiftieth of a short call.
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="sagemaker") for _ in range(max_calls)]
        self._idle = list(self._threads)

    def submit(self, features: FeatureMatrix, deadline: float) -> asyncio.Future[Answer]:
        """Return a future of the running loop that has the answer, or an error, by `deadline` (`time.monotonic`).

        At most `max_rows` rows. To cancel the future is to withdraw the rows, and harms no other caller's.
        """
        loop = asyncio.get_running_loop()
        job = _Job(features, deadline, loop, loop.create_future())
        timer = loop.call_later(deadline - time.monotonic(), job.expire)
        job.answer.add_done_callback(lambda _: timer.cancel())
        with self._lock:
            self._waiting.append(job)
            thread = self._idle.pop() if self._idle else None
        if thread is not None:
            thread.submit(self._work, thread)
        return job.answer

    def close(self, *, wait: bool = True) -> None:
        """Let the threads end, each after the call that it makes; `wait` for that."""
        for thread in self._threads:
            thread.shutdown(wait)

    def _work(self, thread: ThreadPoolExecutor) -> None:
        """Make one call after the other until nobody waits."""
        while jobs := self._take(thread):
            try:
                features = jobs[0].features if len(jobs) == 1 else np.concatenate([job.features for job in jobs])
                answer = self._call(features, max(job.deadline for job in jobs))
            except ScorerError as error:
                _deliver(jobs, [copy.copy(error) for _ in jobs])
            except Exception as error:
                # A bug: its callers hear of it, and the thread goes on with those that wait.
                _deliver(jobs, [error] * len(jobs))
                thread.submit(self._work, thread)
                raise
            else:
                _deliver(jobs, _split(answer, jobs))

    def _take(self, thread: ThreadPoolExecutor) -> list[_Job]:
        """Return the jobs of the next call; where there are none, the thread rests."""
        jobs: list[_Job] = []
        n_rows = 0
        with self._lock:
            while self._waiting and n_rows + len(self._waiting[0].features) <= self._max_rows:
                job = self._waiting.popleft()
                # One whose time is up hears so from its timer in a moment; a call for it would fail at once.
                if not job.answer.done() and job.deadline > time.monotonic():
                    job.is_called = True
                    jobs.append(job)
                    n_rows += len(job.features)
            if not jobs:
                self._idle.append(thread)
        return jobs


def _split(answer: Answer, jobs: Sequence[_Job]) -> list[Answer | Exception]:
    ends = np.cumsum([len(job.features) for job in jobs]).tolist()
    return [
        Answer(answer.scores[end - len(job.features) : end], answer.variant)
        for job, end in zip(jobs, ends, strict=True)
    ]


def _deliver(jobs: Sequence[_Job], outcomes: Sequence[Answer | Exception]) -> None:
    """Wake the callers: all of one loop at once, since each wake-up is a system call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Answer | Exception]]] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        by_loop.setdefault(job.loop, []).append((job, outcome))
    for loop, finished in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed, and its callers with it
            loop.call_soon_threadsafe(_finish_all, finished)


def _finish_all(finished: list[tuple[_Job, Answer | Exception]]) -> None:
    for job, outcome in finished:
        job.finish(outcome)
