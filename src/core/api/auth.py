"""API keys: which are active, and whether a request carries one of them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

import anyio.to_thread

from core.errors import KeySourceError
from core.observability import EventLog

HEADER = b"x-api-key"
REFRESH_S = 30.0
"""A key revoked at its source is refused at most this long after, plus the time of one refresh."""
RETRY_S = 5.0


RawHeaders = Sequence[tuple[bytes, bytes]]
"""Headers as ASGI gives them: names in lower case."""


class KeySource(Protocol):
    """Where keys come from when they can change while the process runs."""

    def fetch(self) -> tuple[str, ...]:
        """Return the active keys; may block.

        Raises
        ------
        KeySourceError
        """
        ...


class ApiKeys:
    """The active keys, held as digests; several at once, so that keys rotate without downtime."""

    def __init__(self, keys: Iterable[str], source: KeySource | None = None) -> None:
        self._digests = _digests(keys)
        self._source = source
        self._fetched_at = time.time()
        self._refreshing = asyncio.Lock()

    def accepts(self, headers: RawHeaders) -> bool:
        """Tell whether exactly one `x-api-key` header is there and holds an active key.

        Bytes are compared, since a header need not be text, by digest and with every key, so that the time
        taken tells nothing of how much was right.
        """
        candidates = header_values(headers, HEADER)
        digest = hashlib.sha256(candidates[0] if len(candidates) == 1 else b"").digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return len(candidates) == 1 and any(matches)

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
                self._digests = _digests(await anyio.to_thread.run_sync(self._source.fetch))
                self._fetched_at = time.time()
            except KeySourceError as error:
                log.warning("keys not refreshed", error_type=type(error.__cause__ or error).__name__)
                self._fetched_at = time.time() - REFRESH_S + RETRY_S


def header_values(headers: RawHeaders, name: bytes) -> list[bytes]:
    """Return the values of every header `name`."""
    return [value for each, value in headers if each == name]


def _digests(keys: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(key.encode("utf-8")).digest() for key in keys)
