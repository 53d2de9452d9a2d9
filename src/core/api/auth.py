"""API keys: which are active, and whether a request carries one of them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import anyio.to_thread

from core.errors import KeySourceError
from core.keys import split_scopes
from core.observability import EventLog

REFRESH_S = 30.0
"""A key revoked at its source is refused at most this long after, plus the time of one refresh."""
RETRY_S = 5.0
NO_KEY_ID = "anonymous"
"""Whose request it is that came without an active key."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as the key tells."""

    key_id: str
    """Names the key without giving it away, the same in every process: 32 hexadecimal digits."""
    scopes: frozenset[str]


class KeySource(Protocol):
    """Where keys come from when they can change while the process runs."""

    def fetch(self) -> tuple[str, ...]:
        """Return the entries of the active keys; may block.

        Raises
        ------
        KeySourceError
        """
        ...


class ApiKeys:
    """The active keys, held as digests; several at once, so that keys rotate without downtime."""

    def __init__(self, keys: Iterable[str], source: KeySource | None = None) -> None:
        """Take the entries of the keys that are active now: each a key, or a key with its scopes."""
        self._callers = _callers(keys)
        self._source = source
        self._fetched_at = time.time()
        self._refreshing = asyncio.Lock()

    def identify(self, candidate: bytes | None) -> Caller | None:
        """Return whose key `candidate` is, if it is an active one.

        Bytes are compared, since a header need not be text, by digest and with every key, so that the time
        taken tells nothing of how much was right.
        """
        digest = hashlib.sha256(candidate or b"").digest()
        matches = [caller for known, caller in self._callers if hmac.compare_digest(digest, known)]
        return matches[0] if candidate is not None and matches else None

    def is_stale(self) -> bool:
        """Tell whether the source should be asked again before the next key is judged."""
        # By the clock of the world: a snapshot that is resumed days later must not take its keys for fresh.
        return self._source is not None and not 0 <= time.time() - self._fetched_at < REFRESH_S

    async def refresh(self, log: EventLog) -> None:
        """Ask the source; while it does not answer, the keys known so far stay active."""
        async with self._refreshing:
            if self._source is None or not self.is_stale():
                return
            try:
                self._callers = _callers(await anyio.to_thread.run_sync(self._source.fetch))
                self._fetched_at = time.time()
            except KeySourceError as error:
                log.warning("keys not refreshed", error_type=type(error.__cause__ or error).__name__)
                self._fetched_at = time.time() - REFRESH_S + RETRY_S


def _callers(entries: Iterable[str]) -> tuple[tuple[bytes, Caller], ...]:
    """Return the digest of each key with who it belongs to."""
    split = (split_scopes(entry) for entry in entries)
    return tuple((hashlib.sha256(key.encode()).digest(), Caller(key_id(key), scopes)) for key, scopes in split)


def key_id(key: str) -> str:
    """Return the name by which a key's holder is known; it is not the digest that keys are compared by."""
    return hashlib.sha256(b"fraud-scoring key id\0" + key.encode()).hexdigest()[:32]
