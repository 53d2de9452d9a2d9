"""Hours of work leave nothing behind: half of what the server can do, with one call in a hundred failing upstream."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from core.bundle import Bundle
from tests.app_under_test import KEY
from tests.beside import going_on
from tests.processes import serving
from tests.sagemaker.conftest import environment_for
from tests.sagemaker_runtime.faults import (
    BAD_GATEWAY,
    INTERNAL_FAILURE,
    MODEL_ERROR,
    UNAVAILABLE,
    Mixture,
    closes,
    resets,
)
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime
from tests.traffic import Traffic, traffic

FAULTS = (UNAVAILABLE, INTERNAL_FAILURE, BAD_GATEWAY, MODEL_ERROR, closes, resets)
SHARE = 0.01
CLIENTS = 8
WITHOUT_PAUSE = 1e6
PROBE_S = 3
MIB = 1 << 20
LENGTHS = [pytest.param(12, 24, id="short"), pytest.param(1200, 3, id="twenty-minutes", marks=pytest.mark.soak)]
"""Seconds of load, and the MiB by which the resident memory may differ between the second and the last quarter.

A young process is still filling its caches, so that only the long form can be strict.
"""


class Samples:
    """What the server holds, once a second."""

    def __init__(self, process: psutil.Process) -> None:
        self.resident: list[int] = []
        self.descriptors: list[int] = []
        self.threads: list[int] = []
        self._process = process

    def take(self) -> None:
        self.resident.append(self._process.memory_info().rss)
        self.descriptors.append(self._process.num_fds())
        self.threads.append(self._process.num_threads())


@contextmanager
def sampling(process: psutil.Process) -> Iterator[Samples]:
    samples = Samples(process)

    def sample(is_over: threading.Event) -> None:
        while not is_over.wait(1):
            samples.take()

    with going_on(sample):
        yield samples


def quarters(values: list[int]) -> tuple[list[int], list[int]]:
    """Return the second and the last quarter."""
    size = len(values) // 4
    return values[size : 2 * size], values[-size:]


def counted(lines: str) -> int:
    """Return how many requests the metrics speak of."""
    documents = map(json.loads, lines.splitlines())
    return int(sum(sum(each.get("Requests", [])) for each in documents if "_aws" in each))


def run_for(seconds: float, port: int, body: bytes, per_second: float) -> Traffic:
    with traffic(port, body, clients=CLIENTS, per_second=per_second) as account:
        time.sleep(seconds)
    return account


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "most_mib"), LENGTHS)
def test_nothing_grows_and_nothing_is_lost(
    creditcard: Bundle, runtime: Runtime, tmp_path: Path, seconds: int, most_mib: int
) -> None:
    runtime.script = Mixture(SHARE, FAULTS, seed=45)
    body = json.dumps(creditcard.golden.transactions[-1]).encode()
    settings = {"API_KEY": KEY, "SAGEMAKER_ENDPOINT": ENDPOINT, "AWS_REGION": REGION, **environment_for(runtime)}
    with serving(tmp_path, **settings) as server:
        probe = run_for(PROBE_S, server.port, body, WITHOUT_PAUSE)
        capacity = sum(probe.replies.values()) / PROBE_S
        with sampling(psutil.Process(server.process.pid)) as samples:
            account = run_for(seconds, server.port, body, capacity / 2)
        assert server.stop() == 0

    scores = {seen.score for seen in account.replies if seen.status == 200}
    statuses = account.statuses()
    n_replies = sum(statuses.values())
    before, after = quarters(samples.resident)
    growth = (statistics.median(after) - statistics.median(before)) / MIB
    print(
        f"\n{seconds} s at {n_replies / seconds:.0f} requests/s, half of {capacity:.0f}: {dict(statuses)}, "
        f"{len(account.errors)} broken connections; p99 {account.quantile_ms(0.99):.0f} ms; memory "
        f"{statistics.median(after) / MIB:.0f} MiB, {growth:+.2f} MiB from the second quarter to the last; descriptors "
        f"{samples.descriptors[0]} to {samples.descriptors[-1]}, threads {samples.threads[0]} to {samples.threads[-1]}"
    )
    assert account.errors == []
    assert counted(server.out.read_text()) == n_replies + sum(probe.replies.values())
    assert len(scores) == 1
    assert scores.pop() == pytest.approx(creditcard.golden.fraud_scores[-1], abs=1e-6)
    assert all(seen.score is None for seen in account.replies if seen.status != 200)
    assert set(statuses) <= {200, 502, 503}
    assert statuses[200] >= 0.99 * n_replies
    assert growth <= most_mib
    for values in (samples.descriptors, samples.threads):
        earlier, later = quarters(values)
        assert max(later) <= max(earlier) + 2
