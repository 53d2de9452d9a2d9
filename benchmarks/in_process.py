"""What a request costs inside the process, beside a bare echo and beside the bare model.

CPU time of the app without a server or a socket, best of several rounds in one process, so that ratios can be trusted
where seconds cannot. The yardsticks: an ASGI app that sends the body back, and the model on the same rows in memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.sections import Section
from benchmarks.transactions import features_of, transactions
from core.api.app import create_app
from core.bootstrap import build_service
from core.service import ScoringService
from core.settings import Settings

ROUNDS = 7
BATCH_ROUNDS = 40
"""Of single calls: the first few of any size are slow, until the allocator keeps their memory."""
SINGLE_REQUESTS = 1000
BATCH_SIZES = (100, 1000, 5000)
EXPLAINED = (1, 10)
KEY = b"benchmark-key-of-nobody"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the body back: the least that an ASGI app can do."""
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": message["body"]})


def rows_of(service: ScoringService, n: int) -> list[dict[str, float]]:
    """Return `n` different rows around the golden ones."""
    rng = np.random.default_rng(0)
    cases = service.bundle.golden.transactions
    noise = rng.uniform(0.9, 1.1, n).tolist()
    return [{name: round(value * noise[i], 6) for name, value in cases[i % len(cases)].items()} for i in range(n)]


async def _request(app: ASGIApp, path: str, media_type: bytes, body: bytes) -> int:
    headers = [(b"content-type", media_type), (b"x-api-key", KEY), (b"content-length", b"%d" % len(body))]
    path, _, query = path.partition("?")
    scope = {"type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": headers}
    status = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


def best_seconds(call: Callable[[], Awaitable[object]], n: int, n_rounds: int = ROUNDS) -> float:
    """Return the CPU seconds of one `call`: the best mean of `n` calls over the rounds."""

    async def rounds() -> float:
        best = float("inf")
        for _ in range(n_rounds):
            started = time.process_time()
            for _ in range(n):
                await call()
            best = min(best, (time.process_time() - started) / n)
        return best

    return asyncio.run(rounds())


def seconds_of(app: ASGIApp, path: str, media_type: bytes, body: bytes, n: int, n_rounds: int = ROUNDS) -> float:
    """Return the CPU seconds of one request; each must be answered with 200."""

    async def call() -> None:
        assert await _request(app, path, media_type, body) == 200

    return best_seconds(call, n, n_rounds)


def body_of(rows: list[dict[str, float]]) -> bytes:
    """Return the rows as a JSON batch."""
    return json.dumps({"transactions": rows}).encode()


def csv_of(rows: list[dict[str, float]]) -> bytes:
    """Return the rows as CSV with a header."""
    return "\n".join([",".join(rows[0]), *(",".join(map(repr, row.values())) for row in rows)]).encode()


def bare_rates(service: ScoringService) -> dict[int, float]:
    """Return how many rows a second the model alone scores, as a matrix of each of the sizes of batches."""
    rates = {}
    for n in BATCH_SIZES:
        features = features_of(service.bundle, transactions(n))
        rates[n] = n / best_seconds(partial(service.scorer.score, features), 1, BATCH_ROUNDS)
    return rates


def single(app: ASGIApp, service: ScoringService) -> Section:
    """Return what one transaction costs."""
    section = Section("POST /predict: CPU in the process, no server", ("request", "µs", "times the echo"))
    [row] = rows_of(service, 1)
    forms = {"object": json.dumps(row).encode(), "vector": json.dumps({"features": list(row.values())}).encode()}
    bare = seconds_of(echo, "/predict", b"application/json", forms["object"], SINGLE_REQUESTS)
    section.rows.append(("echo", f"{bare * 1e6:.1f}", "1"))
    for name, body in forms.items():
        ours = seconds_of(app, "/predict", b"application/json", body, SINGLE_REQUESTS)
        section.rows.append((name, f"{ours * 1e6:.1f}", f"{ours / bare:.0f}"))
    features = features_of(service.bundle, [row])
    model = best_seconds(partial(service.scorer.score, features), SINGLE_REQUESTS)
    section.rows.append(("of it, the model", f"{model * 1e6:.1f}", f"{model / bare:.0f}"))
    return section


def batches(app: ASGIApp, service: ScoringService) -> Section:
    """Return what batches cost."""
    section = Section(
        "POST /predict/batch: CPU in the process, no server",
        ("rows, form", "rows/s", "bare model, rows/s", "ratio"),
        "Simulated transactions, each of them another; the bare model scores the same ones as a matrix in memory.",
    )
    for n, bare in bare_rates(service).items():
        rows = transactions(n)
        bodies = {"JSON objects": (b"application/json", body_of(rows)), "CSV": (b"text/csv", csv_of(rows))}
        for form, (media_type, body) in bodies.items():
            ours = n / seconds_of(app, "/predict/batch", media_type, body, 1, BATCH_ROUNDS)
            section.rows.append((f"{n:,}, {form}", f"{ours:,.0f}", f"{bare:,.0f}", f"{ours / bare:.2f}"))
    return section


def explanations(app: ASGIApp, service: ScoringService) -> Section:
    """Return what reasons cost."""
    assert service.explainer is not None, "the shipped bundle explains"
    section = Section(
        "Reasons, ?explain=true: CPU in the process, no server",
        ("transactions in a request", "ms", "of it, the model, ms", "rows scored"),
    )
    for n in EXPLAINED:
        rows = rows_of(service, n)
        path, body = ("/predict", json.dumps(rows[0]).encode()) if n == 1 else ("/predict/batch", body_of(rows))
        ours = seconds_of(app, f"{path}?explain=true", b"application/json", body, 5)
        derived = service.explainer.derive(np.array([list(row.values()) for row in rows]))
        model = best_seconds(partial(service.scorer.score, service.bundle.preprocessor.transform(derived)), 5)
        section.rows.append((str(n), f"{ours * 1e3:.2f}", f"{model * 1e3:.2f}", f"{service.explainer.n_rows(n):,}"))
    return section


def silent_app() -> tuple[ASGIApp, ScoringService]:
    """Return the app and its service; each log line is made as in production, and then thrown away."""
    settings = Settings(_env_file=None, api_key=KEY.decode(), log_level="INFO")
    service = build_service(settings)
    app = create_app(service, settings)
    for handler in logging.getLogger("fraud-scoring").handlers:
        handler.setStream(open("/dev/null", "w"))  # noqa: PTH123, SIM115 - for as long as the process lives
    return app, service
