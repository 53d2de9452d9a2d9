"""Scoring on an endpoint: what shared calls gain with many callers, what they cost a single one, and all over HTTP.

The endpoint is `tests/sagemaker_runtime` in a process of its own, with the shipped model and 5 ms of latency; the
client is the product's, on uvloop as in the server. The bare call is a stock boto3 client's, body read.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import uvloop
from botocore.config import Config

from benchmarks import contenders
from benchmarks.running import OnStep, load_of, rows_for, running
from benchmarks.running import Pace as HttpPace
from benchmarks.sections import Section, spread
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
HTTP_CALLERS = (1, 16, 64)
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


def many_callers(bundle: Bundle, url: str) -> Section:
    """Return what sharing calls gains with many callers."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    calls: dict[bool, int] = {True: 0, False: 0}
    for _ in range(ROUNDS):
        for coalesce in (True, False):
            # Without coalescing every caller may have a call of its own: more would be unfair to neither.
            scorer = make_scorer(bundle, Pace(coalesce=coalesce, calls=4 if coalesce else CALLERS))
            uvloop.run(throughput_of_warm(scorer, bundle))
            before = hits(url)
            rates[coalesce].append(uvloop.run(throughput(scorer, bundle)))
            calls[coalesce] += hits(url) - before
            scorer.close()
    section = Section(f"Endpoint: {CALLERS} callers of the scorer", ("calls", "rows/s", "calls made", "gain"))
    gains = [with_it / without for with_it, without in zip(rates[True], rates[False], strict=True)]
    section.rows.append(("one a row", spread(rates[False]), f"{calls[False]:,}", "1"))
    section.rows.append(("shared", spread(rates[True]), f"{calls[True]:,}", spread(gains, 1)))
    return section


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


def one_caller(bundle: Bundle, url: str) -> Section:
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
    section = Section(
        "Endpoint: one caller of the scorer",
        ("share of calls", "bare invoke_endpoint, ms", "the scorer, ms", "more"),
        f"{hits(url) - before:,} calls for {len(bare) + len(ours):,} rows.",
    )
    for name, share in (("median", 0.5), ("lower quartile", 0.25), ("90 %", 0.9)):
        low, high = (sorted(seconds)[int(share * len(seconds))] * 1000 for seconds in (bare, ours))
        section.rows.append((name, f"{low:.2f}", f"{high:.2f}", f"{high / low - 1:+.1%}"))
    return section


def over_http(bundle: Bundle, url: str, folder: Path, pace: HttpPace, on_step: OnStep) -> Section:
    """Return what the server answers in front of the endpoint."""
    section = Section(
        f"Endpoint with {LATENCY_MS} ms: POST /predict over HTTP",
        ("callers", "requests/s", "p50, ms", "p99, ms", "calls a request"),
        "The server on one core; the load and the endpoint share the other.",
    )
    ours = contenders.ours(folder, {"SAGEMAKER_ENDPOINT": ENDPOINT, "AWS_REGION": REGION, **_aws(url)})
    with running(ours, bundle, folder) as server:
        rows = rows_for(ours, bundle)[:1]
        for callers in HTTP_CALLERS:
            loads, before = [], hits(url)
            for turn in range(pace.rounds):
                on_step(f"endpoint over HTTP, {callers} callers, round {turn + 1} of {pace.rounds}")
                loads.append(load_of(server, ours.single, rows, callers, pace.seconds)[0])
            requests = sum(load.requests for load in loads)
            section.rows.append((
                str(callers),
                spread([load.rate for load in loads]),
                spread([load.p50_ms for load in loads], 1),
                spread([load.p99_ms for load in loads], 1),
                f"{(hits(url) - before) / requests:.2f}",
            ))  # fmt: skip
    return section


def sections(folder: Path, pace: HttpPace, on_step: OnStep) -> list[Section]:
    """Run all of it against one endpoint."""
    bundle = load_bundle(DEFAULT_BUNDLE)
    with endpoint() as url:
        os.environ.update(_aws(url))
        on_step("endpoint: one caller")
        one = one_caller(bundle, url)
        on_step(f"endpoint: {CALLERS} callers")
        return [one, many_callers(bundle, url), over_http(bundle, url, folder, pace, on_step)]


def _aws(url: str) -> dict[str, str]:
    names = ("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return dict(zip(names, (url, "AKIATEST", "test"), strict=True))
