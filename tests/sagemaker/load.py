"""Many requests at a time to the app, and a count of what came back."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from core.bundle import Bundle
from core.scoring.base import Scorer
from tests.app_under_test import app_with
from tests.beside import going_on
from tests.contract.case import predict
from tests.contract.exchange import Reply, Request
from tests.contract.transports import call_app

CALLERS = 16
WAKE_S = 0.01


@dataclass(frozen=True)
class Outcome:
    """One request's reply and how long it took."""

    reply: Reply
    seconds: float
    transaction_id: str


@dataclass(frozen=True)
class Load:
    """What a load of requests came to."""

    outcomes: list[Outcome]

    def __len__(self) -> int:
        return len(self.outcomes)

    def codes(self) -> Counter[str]:
        """Count the replies by their code; `ok` are scores."""
        return Counter("ok" if each.reply.status == 200 else str(each.reply.json()["code"]) for each in self.outcomes)

    def statuses(self) -> Counter[int]:
        return Counter(each.reply.status for each in self.outcomes)

    def seconds(self) -> list[float]:
        return sorted(each.seconds for each in self.outcomes)

    def share_below(self, seconds: float) -> float:
        return sum(each.seconds < seconds for each in self.outcomes) / len(self.outcomes)

    def percentile(self, share: float) -> float:
        return self.seconds()[min(int(share * len(self.outcomes)), len(self.outcomes) - 1)]

    def __str__(self) -> str:
        seconds = self.seconds()
        return (
            f"{len(self)} requests: {dict(self.codes())}; from {seconds[0]:.3f} s, p99 {self.percentile(0.99):.3f} s, "
            f"to {seconds[-1]:.3f} s"
        )

    def check_contract(self) -> None:
        """Every failure is a problem document that holds no score; every 503 says when to come back."""
        for each in self.outcomes:
            body = each.reply.json()
            if each.reply.status == 200:
                assert body["transaction_id"] == each.transaction_id
                assert 0 <= body["fraud_score"] <= 1
                continue
            assert each.reply.header("content-type") == "application/problem+json"
            assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}
            assert (each.reply.header("retry-after") in {"1", "2", "3", "4", "5"}) == (each.reply.status == 503)
            assert b"fraud_score" not in each.reply.body
            assert b"secret" not in each.reply.body


@dataclass
class Wakings:
    """How late a thread was woken that only sleeps: what a deadline loses to the machine, and not to the service."""

    latest_s: float = 0.0


@contextmanager
def wakings() -> Iterator[Wakings]:
    """Watch meanwhile."""
    seen = Wakings()

    def sleep(is_over: threading.Event) -> None:
        due = time.monotonic() + WAKE_S
        while not is_over.wait(WAKE_S):
            seen.latest_s = max(seen.latest_s, time.monotonic() - due)
            due = time.monotonic() + WAKE_S

    with going_on(sleep):
        yield seen


def transactions(bundle: Bundle) -> list[dict[str, float]]:
    return bundle.golden.transactions


def load_of(bundle: Bundle, scorer: Scorer, n_requests: int, *, callers: int = CALLERS, **settings: Any) -> Load:
    """Send single transactions from several callers at a time, on one event loop."""
    app = app_with(bundle, scorer, **settings)
    rows = bundle.golden.transactions
    requests = [
        (f"t-{n}", predict(json.dumps({"transaction_id": f"t-{n}", **rows[n % len(rows)]}))) for n in range(n_requests)
    ]
    return asyncio.run(_run(app, requests, callers))


async def _run(app: FastAPI, requests: list[tuple[str, Request]], callers: int) -> Load:
    left = iter(requests)
    outcomes: list[Outcome] = []

    async def caller() -> None:
        for transaction_id, request in left:
            started = time.perf_counter()
            reply = await call_app(app, request)
            outcomes.append(Outcome(reply, time.perf_counter() - started, transaction_id))

    await asyncio.gather(*(caller() for _ in range(callers)))
    assert len(outcomes) == len(requests)
    return Load(outcomes)
