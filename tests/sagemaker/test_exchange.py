"""A model that is exchanged takes its client of the endpoint with it: threads and connections stay as many."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.api.app import create_app
from core.bundle import MANIFEST, MANIFEST_DIGEST, Bundle, digest_line
from core.service import ScoringService
from tests.app_under_test import ADMIN_KEY, KEY, settings_of_tests
from tests.contract.case import predict
from tests.contract.exchange import Request
from tests.contract.rows import shipped_rows
from tests.contract.transports import Socket, call_app
from tests.processes import ServerProcess, serving
from tests.repository import BUNDLE
from tests.sagemaker.conftest import MakeScorer, environment_for
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime
from tests.traffic import Client, traffic

ROW = json.dumps(shipped_rows().fraud)
RELOAD = Request("POST", "/model/reload", ((b"x-api-key", ADMIN_KEY.encode()),))
VERSIONS = ("creditcard-1.0", "creditcard-2.0")


@pytest.fixture
def server(runtime: Runtime, tmp_path: Path) -> Iterator[ServerProcess]:
    """The endpoint's model is that of both bundles, which are the same but for their names."""
    for version in VERSIONS:
        copy_bundle(tmp_path / version, version)
    (tmp_path / "current").symlink_to(tmp_path / VERSIONS[0])
    settings = {"MODEL_BUNDLE": str(tmp_path / "current"), "SAGEMAKER_ENDPOINT": ENDPOINT, "AWS_REGION": REGION}
    keys = f"{KEY},{ADMIN_KEY}:admin"
    with serving(tmp_path, API_KEY=keys, **settings, **environment_for(runtime)) as running:
        yield running


def copy_bundle(folder: Path, version: str) -> None:
    shutil.copytree(BUNDLE, folder)
    manifest = {**json.loads((folder / MANIFEST).read_bytes()), "version": version}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    (folder / MANIFEST_DIGEST).write_bytes(digest_line(digest))


def exchange(server: ServerProcess, folder: Path, n: int) -> None:
    version = VERSIONS[(n + 1) % 2]
    (folder / "next").symlink_to(folder / version)
    (folder / "next").rename(folder / "current")
    reply = Socket(server.port).send(RELOAD)
    assert (reply.status, reply.json()) == (200, {"model_version": version, "changed": True})


def open_things(server: ServerProcess, runtime: Runtime) -> tuple[int, int]:
    """Return how many connections to the endpoint the server holds, and how many threads."""
    port = int(runtime.url.rsplit(":", 1)[1])
    process = psutil.Process(server.process.pid)
    to_endpoint = [each for each in process.net_connections("tcp") if each.raddr and each.raddr.port == port]
    return len(to_endpoint), process.num_threads()


def test_20_exchanges_leave_as_many_connections_and_threads(
    server: ServerProcess, runtime: Runtime, tmp_path: Path
) -> None:
    with closing(Client(server.port, ROW.encode())) as idle, traffic(server.port, ROW.encode(), per_second=80) as seen:
        assert idle.ask().status == 200
        exchange(server, tmp_path, 0)
        time.sleep(1)
        before, history = open_things(server, runtime), []
        for n in range(1, 21):
            exchange(server, tmp_path, n)
            history.append(open_things(server, runtime))
        time.sleep(1)
        after = open_things(server, runtime)
    print(f"\n{history}\n{before} connections and threads before, {after} after; {seen.statuses()}")

    assert seen.errors == []
    assert set(seen.statuses()) == {200}
    # Of one model each: at most 8 calls at a time, and as many threads.
    assert after[0] <= before[0] + 4
    assert after[1] <= before[1] + 4


def test_request_under_way_ends_with_the_model_that_it_began_with(
    server: ServerProcess, runtime: Runtime, tmp_path: Path
) -> None:
    runtime.latency_s = 0.6
    replies = []
    asking = threading.Thread(target=lambda: replies.append(Socket(server.port).send(predict(ROW))))
    asking.start()
    while not runtime.hits:
        time.sleep(0.01)
    exchange(server, tmp_path, 0)
    asking.join()

    assert (replies[0].status, replies[0].json()["model_version"]) == (200, VERSIONS[0])


def test_what_a_model_held_is_given_back_after_its_last_request_and_not_when_memory_is_next_searched(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, no_collector: None
) -> None:
    digests = iter("0123456789")

    def load() -> ScoringService:
        return ScoringService(replace(creditcard, digest=next(digests)), make_scorer())

    def threads() -> int:
        return sum(thread.name.startswith("sagemaker_") for thread in threading.enumerate())

    async def exchange_three_times() -> None:
        app = create_app(load(), settings_of_tests(), load=load)
        for _ in range(3):
            assert (await call_app(app, predict(ROW))).status == 200
            assert threads() == 1
            late = asyncio.create_task(call_app(app, predict(ROW)))
            await asyncio.sleep(0)
            assert await app.state.releases.reload()
            assert (await late).status == 200
            del late
            await until(lambda: threads() == 0)

    asyncio.run(exchange_three_times())


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
