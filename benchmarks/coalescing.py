"""What coalescing gains with many callers, and what it costs a single one: `python -m benchmarks.coalescing`.

The endpoint is `tests/sagemaker_runtime` in a process of its own, with the shipped model and 5 ms of latency; the
client is the product's, on uvloop as in the server. The bare call is a stock boto3 client's, body read.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
import uvloop
from botocore.config import Config

from core.bundle import Bundle, load_bundle
from core.observability import EventLog
from core.preprocessing import FeatureMatrix
from core.scoring.sagemaker import Pace, SageMakerScorer
from core.scoring.sagemaker_client import EndpointOptions
from core.scoring.sagemaker_wire import MEDIA_TYPE, write_payload
from sagemaker.package_model import DEFAULT_BUNDLE
from tests.sagemaker_runtime.server import COUNTS, ENDPOINT, REGION

LATENCY_MS = 5
CALLERS = 64
ROUNDS = 5
SECONDS_A_ROUND = 2.0
TURNS = 40
CALLS_A_TURN = 50


@contextmanager
def endpoint() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.sagemaker_runtime", "--latency-ms", str(LATENCY_MS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def hits(url: str) -> int:
    with urllib.request.urlopen(url + COUNTS) as reply:  # noqa: S310 - our own server
        return int(reply.read().split()[0])


async def throughput(scorer: SageMakerScorer, bundle: Bundle) -> float:
    """Return how many rows a second `CALLERS` callers get scored, each one row after the other."""
    features = bundle.golden_features()
    end = time.perf_counter() + SECONDS_A_ROUND
    n_rows = 0

    async def caller(index: int) -> None:
        nonlocal n_rows
        while time.perf_counter() < end:
            index = (index + 1) % len(features)
            await scorer.score(features[index : index + 1])
            n_rows += 1

    await asyncio.gather(*(caller(index) for index in range(CALLERS)))
    return n_rows / SECONDS_A_ROUND


def many_callers(bundle: Bundle, url: str) -> None:
    rates: dict[bool, list[float]] = {True: [], False: []}
    calls: dict[bool, int] = {True: 0, False: 0}
    rows: dict[bool, float] = {True: 0, False: 0}
    for _ in range(ROUNDS):
        for coalesce in (True, False):
            # Without coalescing every caller may have a call of its own: more would be unfair to neither.
            scorer = make_scorer(bundle, Pace(coalesce=coalesce, calls=4 if coalesce else CALLERS))
            uvloop.run(throughput_of_warm(scorer, bundle))
            before = hits(url)
            rates[coalesce].append(uvloop.run(throughput(scorer, bundle)))
            calls[coalesce] += hits(url) - before
            rows[coalesce] += rates[coalesce][-1] * SECONDS_A_ROUND
            scorer.close()
    for coalesce, name in ((True, "coalesced"), (False, "one call a row")):
        print(
            f"{CALLERS} callers, {name}: {statistics.median(rates[coalesce]):,.0f} rows/s "
            f"({rows[coalesce]:,.0f} rows in {calls[coalesce]:,} calls)"
        )
    gains = [with_it / without for with_it, without in zip(rates[True], rates[False], strict=True)]
    print(f"gain: {statistics.median(gains):.1f} times (rounds: {', '.join(f'{gain:.1f}' for gain in gains)})")


async def throughput_of_warm(scorer: SageMakerScorer, bundle: Bundle) -> None:
    features = bundle.golden_features()
    await asyncio.gather(*(scorer.score(features[n : n + 1]) for n in range(CALLERS)))


def make_scorer(bundle: Bundle, pace: Pace) -> SageMakerScorer:
    return SageMakerScorer(bundle, EndpointOptions(ENDPOINT, REGION), pace, EventLog("WARNING"))


def stock_client() -> Any:
    retries = {"mode": "standard", "total_max_attempts": 1}
    return boto3.client("sagemaker-runtime", region_name=REGION, config=Config(retries=retries))


def bare_calls(client: Any, payload: bytes) -> list[float]:
    """Return the seconds of each of `CALLS_A_TURN` calls as one makes them without this product."""
    seconds = []
    for _ in range(CALLS_A_TURN):
        started = time.perf_counter()
        reply = client.invoke_endpoint(EndpointName=ENDPOINT, ContentType=MEDIA_TYPE, Accept=MEDIA_TYPE, Body=payload)
        float(reply["Body"].read())
        seconds.append(time.perf_counter() - started)
    return seconds


async def own_calls(scorer: SageMakerScorer, row: FeatureMatrix) -> list[float]:
    seconds = []
    for _ in range(CALLS_A_TURN):
        started = time.perf_counter()
        await scorer.score(row)
        seconds.append(time.perf_counter() - started)
    return seconds


def one_caller(bundle: Bundle, url: str) -> None:
    """Both in turns, each in a thread that does nothing else: a thread that just worked hard is woken later."""
    scorer, client, row = make_scorer(bundle, Pace()), stock_client(), bundle.golden_features()[:1]
    before = hits(url)
    bare: list[float] = []
    ours: list[float] = []
    with ThreadPoolExecutor(1) as bare_thread, ThreadPoolExecutor(1) as own_thread:
        for _ in range(TURNS):
            bare += bare_thread.submit(bare_calls, client, write_payload(row)).result()
            ours += own_thread.submit(uvloop.run, own_calls(scorer, row)).result()
    scorer.close()
    print(f"1 caller: {hits(url) - before} calls for {len(bare) + len(ours)} rows")
    for name, share in (("median", 0.5), ("lower quartile", 0.25), ("90 %", 0.9)):
        low, high = (sorted(seconds)[int(share * len(seconds))] * 1000 for seconds in (bare, ours))
        print(f"1 caller, {name}: bare invoke_endpoint {low:.2f} ms, the scorer {high:.2f} ms ({high / low - 1:+.1%})")


def main() -> None:
    bundle = load_bundle(DEFAULT_BUNDLE)
    with endpoint() as url:
        os.environ.update(
            AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=url,
            AWS_ACCESS_KEY_ID="AKIATEST",
            AWS_SECRET_ACCESS_KEY="test",  # noqa: S106
        )
        one_caller(bundle, url)
        many_callers(bundle, url)


if __name__ == "__main__":
    main()
