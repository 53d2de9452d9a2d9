"""`ApiKeys`: bytes against digests, several keys at once, and keys that change while the process runs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator

import pytest

from core.api import auth
from core.api.auth import ApiKeys
from core.errors import KeySourceError
from core.observability import EventLog

Headers = list[tuple[bytes, bytes]]


def sent(*values: bytes) -> Headers:
    return [(b"host", b"x"), *((b"x-api-key", value) for value in values)]


@pytest.mark.parametrize("key", [b"first", b"second"])
def test_accepts_each_active_key(key: bytes) -> None:
    assert ApiKeys(["first", "second"]).accepts(sent(key))


@pytest.mark.parametrize(
    "headers",
    [
        sent(),
        sent(b""),
        sent(b"firs"),
        sent(b"first "),
        sent(b"First"),
        sent(b"first,second"),
        sent(b"first", b"first"),
        sent(b"first", b"second"),
        sent(b"\xff\xfe"),
        sent(b"first" * 100_000),
        [(b"authorization", b"first")],
    ],
    ids=["none", "empty", "short", "blank", "case", "list", "twice", "both", "bytes", "long", "other-header"],
)
def test_accepts_nothing_else(headers: Headers) -> None:
    assert not ApiKeys(["first", "second"]).accepts(headers)


def test_accepts_nothing_when_there_are_no_keys() -> None:
    assert not ApiKeys([]).accepts(sent(b""))
    assert not ApiKeys([]).accepts(sent())


def test_accepts_compares_with_every_key_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    """No early exit: the time taken must not tell which key it was."""
    compared = []
    real = auth.hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: (compared.append(b), real(a, b))[1])

    ApiKeys(["first", "second", "third"]).accepts(sent(b"first"))

    assert len(compared) == 3


class Source:
    """Keys that the test changes; None: the source fails."""

    def __init__(self, keys: tuple[str, ...] | None) -> None:
        self.keys = keys
        self.n_fetches = 0

    def fetch(self) -> tuple[str, ...]:
        self.n_fetches += 1
        if self.keys is None:
            raise KeySourceError("not now")
        return self.keys


@pytest.fixture
def log(event_lines: io.StringIO) -> EventLog:
    return EventLog("WARNING")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [1000.0]
    monkeypatch.setattr(auth.time, "time", lambda: now[0])
    yield now


def test_is_stale_keys_of_the_settings_never_are(clock: list[float]) -> None:
    keys = ApiKeys(["first"])
    clock[0] += 1e9

    assert not keys.is_stale()


@pytest.mark.parametrize("shift", [86_400.0, -86_400.0])
def test_is_stale_after_the_clock_of_the_world_jumped(clock: list[float], shift: float) -> None:
    """As in a snapshot that is resumed a day later, or when a wrong clock is set right."""
    keys = ApiKeys(["old"], Source(("new",)))

    clock[0] += shift

    assert keys.is_stale()


def test_refresh_revoked_key_is_refused_and_new_one_accepted_within_a_minute(clock: list[float], log: EventLog) -> None:
    source = Source(("new",))
    keys = ApiKeys(["old"], source)
    assert not keys.is_stale()

    clock[0] += 60
    assert keys.is_stale()
    asyncio.run(keys.refresh(log))

    assert not keys.accepts(sent(b"old"))
    assert keys.accepts(sent(b"new"))
    assert not keys.is_stale()


def test_refresh_source_that_fails_keeps_the_known_keys_and_is_asked_again_soon(
    clock: list[float], log: EventLog, event_lines: io.StringIO
) -> None:
    source = Source(None)
    keys = ApiKeys(["old"], source)
    clock[0] += 60

    asyncio.run(keys.refresh(log))

    assert keys.accepts(sent(b"old"))
    assert not keys.is_stale()
    clock[0] += auth.RETRY_S
    assert keys.is_stale()
    assert "keys not refreshed" in event_lines.getvalue()


def test_refresh_many_requests_at_once_ask_the_source_once(clock: list[float], log: EventLog) -> None:
    source = Source(("new",))
    keys = ApiKeys(["old"], source)
    clock[0] += 60

    async def at_once() -> None:
        await asyncio.gather(*(keys.refresh(log) for _ in range(20)))

    asyncio.run(at_once())

    assert source.n_fetches == 1
