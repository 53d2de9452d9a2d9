"""A request and a reply as bytes, with nothing in between that could tidy them up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Request:
    """What a client sends; `chunks` instead of `body` sends it with `Transfer-Encoding: chunked`."""

    method: str
    target: str
    """Path and query, percent-encoded as on the wire."""
    headers: Headers = ()
    body: bytes = b""
    chunks: tuple[bytes, ...] = ()

    @property
    def sent_body(self) -> bytes:
        return b"".join(self.chunks) if self.chunks else self.body

    def framing(self) -> Headers:
        """Return the header that tells the length of the body, unless the request carries its own."""
        if self.chunks:
            return ((b"transfer-encoding", b"chunked"),)
        if any(name.lower() == b"content-length" for name, _ in self.headers):
            return ()
        return ((b"content-length", str(len(self.body)).encode()),)


@dataclass(frozen=True)
class Reply:
    """What a client receives; header names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the one value of the header `name`, or None."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} occurs {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        """Return the body as JSON, refusing the NaN and Infinity that no client could read."""
        return json.loads(self.body, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")
