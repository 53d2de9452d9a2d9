"""Headers of a request as ASGI gives them: pairs of bytes, names in lower case, any of them more than once."""

from __future__ import annotations

from collections.abc import Sequence

RawHeaders = Sequence[tuple[bytes, bytes]]


def header_value(headers: RawHeaders, name: bytes) -> bytes | None:
    """Return the value of the first header `name`, or None."""
    for each, value in headers:
        if each == name:
            return value
    return None


def header_values(headers: RawHeaders, name: bytes) -> list[bytes]:
    """Return the values of every header `name`."""
    return [value for each, value in headers if each == name]
