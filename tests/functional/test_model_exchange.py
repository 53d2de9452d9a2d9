"""The model is exchanged while requests go on: each reply is of one model, and a bad bundle changes nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_under_test import ADMIN_KEY, KEY
from tests.contract.case import KEY_HEADER, predict
from tests.contract.exchange import Reply, Request
from tests.contract.rows import shipped_rows
from tests.contract.transports import Socket
from tests.processes import ServerProcess, serving
from tests.repository import BUNDLE
from tests.tiny_bundle import FIELDS, Leaves, write_tiny_bundle
from tests.traffic import Traffic, traffic

ADMIN = (b"x-api-key", ADMIN_KEY.encode())
BODY = json.dumps({"json": 1.5, "class": 2, "log.amount": 3.25}).encode()
BUNDLES: dict[str, Leaves] = {"tiny-1.0": (-6.0, -1.0, 1.5, 4.0), "tiny-2.0": (2.0, -1.0, 1.5, 4.0)}
RELOAD = Request("POST", "/model/reload", (ADMIN,))


class Switch:
    """A server whose MODEL_BUNDLE is a link, and the bundles that it may be pointed at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for version, leaves in BUNDLES.items():
            write_tiny_bundle(folder / version, leaves=leaves, version=version)
        write_tiny_bundle(folder / "damaged", leaves=BUNDLES["tiny-2.0"], version="tiny-3.0")
        (folder / "damaged" / "golden.json").write_bytes(b"{}")
        wrong = [{**FIELDS[0], "name": "other"}, *FIELDS[1:]]
        write_tiny_bundle(folder / "inconsistent", version="tiny-4.0", fields=wrong)
        self.link = folder / "current"
        self.point_at("tiny-1.0")

    def point_at(self, name: str) -> None:
        """Switch the link in one step, as a deployment would."""
        (self.folder / "next").symlink_to(self.folder / name)
        (self.folder / "next").rename(self.link)


@pytest.fixture
def switch(tmp_path: Path) -> Switch:
    (tmp_path / "bundles").mkdir()
    return Switch(tmp_path / "bundles")


@pytest.fixture
def server(switch: Switch, tmp_path: Path) -> Iterator[ServerProcess]:
    with serving(tmp_path, API_KEY=f"{KEY},{ADMIN_KEY}:admin", MODEL_BUNDLE=str(switch.link)) as running:
        yield running


def ask(server: ServerProcess, request: Request) -> Reply:
    return Socket(server.port).send(request)


def version_of(server: ServerProcess) -> str:
    return str(ask(server, Request("GET", "/model", (KEY_HEADER,))).json()["model_version"])


def check_every_reply_is_of_one_model(seen: Traffic) -> None:
    assert seen.errors == []
    assert set(seen.statuses()) == {200}
    scores: dict[str | None, set[float | None]] = {}
    for reply in seen.replies:
        assert reply.model_version == reply.header_version
        scores.setdefault(reply.model_version, set()).add(reply.score)
    assert set(scores) == set(BUNDLES)
    assert all(len(found) == 1 for found in scores.values())
    assert len(set.union(*scores.values())) == len(BUNDLES)


def exchange(server: ServerProcess, switch: Switch, n_times: int, pause_s: float) -> list[float]:
    """Exchange the model to and fro; return the seconds that each took."""
    took = []
    for i in range(n_times):
        version = list(BUNDLES)[(i + 1) % 2]
        switch.point_at(version)
        begun = time.monotonic()
        reply = ask(server, RELOAD)
        took.append(time.monotonic() - begun)
        assert (reply.status, reply.json()) == (200, {"model_version": version, "changed": True})
        assert version_of(server) == version
        time.sleep(pause_s)
    return took


def resident_mib(server: ServerProcess) -> float:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def test_exchange_under_traffic_loses_nothing_and_every_reply_is_of_one_model(
    server: ServerProcess, switch: Switch
) -> None:
    with traffic(server.port, BODY, clients=4, per_second=80) as seen:
        exchange(server, switch, 4, 0.3)
    check_every_reply_is_of_one_model(seen)
    assert sum(seen.statuses().values()) > 40


@pytest.mark.soak
def test_20_exchanges_under_200_requests_a_second(server: ServerProcess, switch: Switch) -> None:
    exchange(server, switch, 4, 0.2)
    before = resident_mib(server)
    with traffic(server.port, BODY, clients=16, per_second=200) as seen:
        took = exchange(server, switch, 20, 1.0)
    check_every_reply_is_of_one_model(seen)
    after = resident_mib(server)
    print(f"{seen.statuses()} p99 {seen.quantile_ms(0.99):.1f} ms; slowest exchange {max(took):.2f} s; ", end="")
    print(f"resident {before:.1f} -> {after:.1f} MiB")
    assert max(took) <= 5
    assert after - before < 20


@pytest.mark.parametrize("bundle", ["damaged", "inconsistent", "not-there"])
def test_bundle_that_cannot_be_served_is_refused_and_the_old_one_goes_on(
    server: ServerProcess, switch: Switch, bundle: str
) -> None:
    switch.point_at(bundle)

    reply = ask(server, RELOAD)

    assert (reply.status, reply.json()["code"]) == (409, "model_refused")
    assert reply.json()["detail"].startswith("tiny-1.0 goes on serving: ")
    assert version_of(server) == "tiny-1.0"
    assert ask(server, Request("GET", "/health/ready")).status == 200
    switch.point_at("tiny-2.0")
    assert ask(server, RELOAD).json() == {"model_version": "tiny-2.0", "changed": True}


def test_same_bundle_again_changes_nothing(server: ServerProcess) -> None:
    assert ask(server, RELOAD).json() == {"model_version": "tiny-1.0", "changed": False}


def test_exchange_needs_the_admin_scope(server: ServerProcess) -> None:
    assert ask(server, Request("POST", "/model/reload", (KEY_HEADER,))).status == 403
    assert ask(server, Request("POST", "/model/reload")).status == 401
    reply = ask(server, Request("GET", "/model/reload", (ADMIN,)))
    assert (reply.status, reply.header("allow")) == (405, "POST")


@pytest.mark.timed
def test_hangup_exchanges_the_model_too(server: ServerProcess, switch: Switch) -> None:
    for name, expected in (("tiny-2.0", "tiny-2.0"), ("damaged", "tiny-2.0"), ("tiny-1.0", "tiny-1.0")):
        switch.point_at(name)
        lines = server.out.read_text().count("model ")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while server.out.read_text().count("model ") == lines:
            assert time.monotonic() < deadline, "nothing happened"
            time.sleep(0.05)
        assert version_of(server) == expected
    assert server.stop() == 0
    assert server.err.read_text() == ""
    lines = [json.loads(line) for line in server.out.read_text().splitlines()]
    told = [line for line in lines if line.get("message", "").startswith("model ")]
    assert [line["message"] for line in told] == ["model loaded", "model refused", "model loaded"]
    assert "golden.json" in told[1]["error_reason"]


def test_fields_and_openapi_follow_the_model(server: ServerProcess, switch: Switch) -> None:
    switch.point_at(str(BUNDLE))
    assert ask(server, RELOAD).json()["changed"]

    document = ask(server, Request("GET", "/openapi.json", (KEY_HEADER,))).json()

    row = shipped_rows().fraud
    assert row.keys() <= document["components"]["schemas"]["TransactionObject"]["properties"].keys()
    assert "/model/reload" in document["paths"]
    assert ask(server, predict(json.dumps(row))).json()["decision"] == "decline"
    assert ask(server, predict(BODY)).json()["code"] == "invalid_request"
    assert ask(server, Request("HEAD", "/model", (KEY_HEADER,))).header("x-model-version") != "tiny-1.0"
