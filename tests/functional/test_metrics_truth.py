"""Metrics can be trusted: over a mixed run, their sums are exactly what the clients counted."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.bundle import Bundle
from core.scoring.static import StaticScorer
from tests.app_under_test import MAX_BODY_BYTES, PREDICT_KEY, app_with
from tests.contract.case import JSON_TYPE, KEY_HEADER, batch, json_batch, post, predict
from tests.contract.exchange import Reply, Request
from tests.contract.transports import TRANSPORTS, read_reply

ROW = json.dumps({"json": 1.5, "class": 2, "log.amount": 3.25})
SCORE_S = 0.004
COUNTED = ("Requests", "ClientErrors", "ServerErrors", "ApprovedTransactions", "ReviewedTransactions")
FULL = pytest.param(10_000, marks=pytest.mark.soak)

REQUESTS = {
    "one": predict(ROW),
    "many": batch(json_batch([ROW] * 3)),
    "no-json": predict("{"),
    "wrong-key": predict(ROW, headers=((b"x-api-key", b"wrong"), JSON_TYPE)),
    "scope": Request("POST", "/predict/batch", ((b"x-api-key", PREDICT_KEY.encode()), JSON_TYPE), b""),
    "path": Request("GET", "/no-such-path", (KEY_HEADER,)),
    "method": Request("DELETE", "/predict", (KEY_HEADER,)),
    "too-large": predict(ROW.ljust(MAX_BODY_BYTES + 1)),
    "media": post("/predict", ROW, headers=(KEY_HEADER,)),
    "field": predict(json.dumps({"json": "x"})),
    "probe": Request("GET", "/health"),
}


class UnhurriedScorer(StaticScorer):
    """Takes a moment, so that requests meet."""

    async def score(self, features: Any) -> Any:
        await asyncio.sleep(SCORE_S)
        return await super().score(features)


def send(transport: Any, name: str) -> Reply:
    if name != "no-http":
        reply: Reply = transport.send(REQUESTS[name])
        return reply
    with socket.create_connection(("127.0.0.1", transport.port), 20) as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        return read_reply(connection, "GET")


def summed(lines: str) -> Counter[str]:
    """Return the sums of all metric lines: by metric, and of errors by code."""
    sums: Counter[str] = Counter()
    for line in map(json.loads, lines.splitlines()):
        if "_aws" in line:
            for name in COUNTED:
                sums[name] += int(sum(line.get(name, [])))
            sums["latencies"] += len(line.get("RequestLatency", []))
            sums[line.get("code", "none")] += int(sum(line.get("Errors", [])))
    return +sums


def expected(replies: list[tuple[str, Reply]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, reply in replies:
        if name == "probe":
            continue
        counts["Requests"] += 1
        counts["latencies"] += 1
        counts["ClientErrors"] += 400 <= reply.status < 500
        counts["ServerErrors"] += reply.status >= 500
        if reply.status == 200:
            counts["DeclinedTransactions"] += 3 if name == "many" else 1
        else:
            counts[reply.json()["code"]] += 1
    counts["ReviewedTransactions"] = counts.pop("DeclinedTransactions", 0)
    return +counts


@pytest.mark.parametrize("n_requests", [2_000, FULL])
@pytest.mark.parametrize("transport", ["uvicorn", "http-v2"])
def test_sums_equal_what_the_clients_counted(
    tiny: Bundle, capsys: pytest.CaptureFixture[str], transport: str, n_requests: int
) -> None:
    on_lambda = transport != "uvicorn"
    scorer = StaticScorer(0.5) if on_lambda else UnhurriedScorer(0.5)
    app = app_with(tiny, scorer, max_in_flight=2, auth_failures_per_minute=30, log_level="ERROR")
    names = random.Random(6).choices([*REQUESTS, *([] if on_lambda else ["no-http"])], k=n_requests)
    capsys.readouterr()
    with TRANSPORTS[transport](app) as opened, ThreadPoolExecutor(1 if on_lambda else 16) as pool:
        replies = list(zip(names, pool.map(lambda name: send(opened, name), names), strict=True))
    app.state.metrics.flush()

    client = expected(replies)
    assert summed(capsys.readouterr().out) == client
    met = {"unauthorized", "too_many_auth_failures", "payload_too_large", "forbidden", "invalid_json"}
    assert client.keys() >= met | (set() if on_lambda else {"overloaded", "bad_request"})
    with capsys.disabled():
        print(f"\n{transport}: {client.total()} counts of {n_requests} requests agree: {dict(client)}")
