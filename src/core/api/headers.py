"""Headers of a request as ASGI gives them: pairs of bytes, names in lower case, any of them more than once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.types import Scope

RawHeaders = Sequence[tuple[bytes, bytes]]
API_KEY, REQUEST_ID = b"x-api-key", b"x-request-id"
_ONLY_ONCE = API_KEY, REQUEST_ID
"""Sent more than once, nobody can tell which is meant: then it is as if there were none."""
_BY_NAME = "fraud_scoring.headers"


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the first header of each name; what is sent is searched once for all who ask."""
    by_name: dict[bytes, bytes] | None = scope.get(_BY_NAME)
    if by_name is None:
        sent: RawHeaders = scope["headers"]
        by_name = scope[_BY_NAME] = dict(reversed(sent))
        if len(by_name) < len(sent):
            for name in _ONLY_ONCE:
                if len(header_values(scope, name)) > 1:
                    del by_name[name]
    return by_name


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Return the values of every header `name`."""
    return [value for each, value in scope["headers"] if each == name]
