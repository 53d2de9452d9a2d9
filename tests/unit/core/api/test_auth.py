"""`ApiKeys`: bytes against digests, several keys at once, and keys that change while the process runs."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Iterator

import pytest

from core.api import auth
from core.api.auth import ApiKeys
from core.api.headers import API_KEY, headers_of
from core.errors import KeySourceError
from core.observability import EventLog


def sent(*values: bytes, name: bytes = b"x-api-key") -> bytes | None:
    """Return what is taken for the key of a request with these headers."""
    return headers_of({"headers": [(b"host", b"x"), *((name, value) for value in values)]}).get(API_KEY)


@pytest.mark.parametrize("key", [b"first", b"second"])
def test_accepts_each_active_key(key: bytes) -> None:
    assert ApiKeys(["first", "second"]).identify(sent(key))


@pytest.mark.parametrize(
    "candidate",
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
        sent(b"first", name=b"authorization"),
    ],
    ids=["none", "empty", "short", "blank", "case", "list", "twice", "both", "bytes", "long", "other-header"],
)
def test_accepts_nothing_else(candidate: bytes | None) -> None:
    assert ApiKeys(["first", "second"]).identify(candidate) is None


def test_accepts_nothing_when_there_are_no_keys() -> None:
    assert ApiKeys([]).identify(sent(b"")) is None
    assert ApiKeys([]).identify(sent()) is None


def test_accepts_compares_with_every_key_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    """No early exit: the time taken must not tell which key it was."""
    compared = []
    real = auth.hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda a, b: (compared.append(b), real(a, b))[1])

    ApiKeys(["first", "second", "third"]).identify(sent(b"first"))

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

    assert keys.identify(sent(b"old")) is None
    assert keys.identify(sent(b"new"))
    assert not keys.is_stale()


def test_refresh_source_that_fails_keeps_the_known_keys_and_is_asked_again_soon(
    clock: list[float], log: EventLog, event_lines: io.StringIO
) -> None:
    source = Source(None)
    keys = ApiKeys(["old"], source)
    clock[0] += 60

    asyncio.run(keys.refresh(log))

    assert keys.identify(sent(b"old"))
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


def test_identify_says_whose_key_it_is_and_what_it_may_do() -> None:
    keys = ApiKeys(["first", "second:predict"])
    first, second = keys.identify(sent(b"first")), keys.identify(sent(b"second"))

    assert first is not None
    assert second is not None
    assert (first.scopes, second.scopes) == ({"predict", "batch"}, {"predict"})
    assert len({first.key_id, second.key_id, auth.NO_KEY_ID}) == 3
    assert keys.identify(sent(b"second:predict")) is None


def test_key_id_is_the_same_in_every_process_and_gives_nothing_away() -> None:
    """Jobs and their owners outlive a process; and who sees an id must not find the key's digest in it."""
    assert auth.key_id("first") == "e9923b1ee4791eed25e7a3dbe970bd64"
    assert "first" not in auth.key_id("first")
    digest = hashlib.sha256(b"first").hexdigest()
    assert auth.key_id("first")[:8] not in digest
