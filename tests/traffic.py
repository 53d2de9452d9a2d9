"""Clients that go on asking while something is done to the server, and keep account of every reply."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.app_under_test import KEY


@dataclass(frozen=True)
class Seen:
    """One reply, as far as tests look at it."""

    status: int
    model_version: str | None
    header_version: str | None
    score: float | None
    code: str | None


@dataclass
class Traffic:
    """What came back so far: every request that was sent is here once, as a reply or as an error."""

    replies: Counter[Seen] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def statuses(self) -> Counter[int]:
        counts: Counter[int] = Counter()
        for seen, n in self.replies.items():
            counts[seen.status] += n
        return counts

    def note(self, seen: Seen, latency_ms: float) -> None:
        with self.lock:
            self.replies[seen] += 1
            self.latencies_ms.append(latency_ms)

    def quantile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


class Client:
    """One keep-alive connection; opened again when the server has said that it closes it."""

    def __init__(self, port: int, body: bytes, key: str = KEY) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._body = body
        self.headers = {"x-api-key": key, "content-type": "application/json"}

    def ask(self) -> Seen:
        self._connection.request("POST", "/predict", self._body, self.headers)
        response = self._connection.getresponse()
        document = json.loads(response.read())
        return Seen(
            response.status,
            document.get("model_version"),
            response.headers.get("x-model-version"),
            document.get("fraud_score"),
            document.get("code"),
        )

    def close(self) -> None:
        self._connection.close()


@contextmanager
def traffic(port: int, body: bytes, *, clients: int = 4, per_second: float = 100) -> Iterator[Traffic]:
    """Let `clients` ask together `per_second` times a second, until the block ends; none is interrupted."""
    account, stop = Traffic(), threading.Event()

    def run(first_at: float) -> None:
        client = Client(port, body)
        due = first_at
        while not stop.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due += clients / per_second
            begun = time.monotonic()
            try:
                seen = client.ask()
            except (OSError, http.client.HTTPException) as error:
                with account.lock:
                    account.errors.append(repr(error))
                client.close()
                continue
            account.note(seen, (time.monotonic() - begun) * 1000)
        client.close()

    begun = time.monotonic()
    threads = [threading.Thread(target=run, args=(begun + i / per_second,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield account
    finally:
        stop.set()
        for thread in threads:
            thread.join()
