"""What of a request its sender made up: the values that no reply and no log line may repeat."""

from __future__ import annotations

import re
from collections.abc import Collection

from tests.contract.exchange import Request

MIN_LENGTH = 4
"""Shorter values turn up anywhere by chance."""
_ROUTES = {"predict", "batch", "health", "ready", "model", "docs", "openapi.json", "x-api-key"}
_WIRE = {"transactions", "transaction_id", "features", "null", "true", "false", "explain"}
_SEPARATORS = re.compile(rb"[\s,:;{}\[\]\"'/?&=]+")


def made_up_values(request: Request, schema_names: Collection[str]) -> set[bytes]:
    """Return the words of the body, the path and the query, and the credentials; not the names that we published."""
    words = _SEPARATORS.split(request.sent_body[:20_000]) + _SEPARATORS.split(request.target.encode())
    credentials = [value for name, value in request.headers if name.lower() in (b"x-api-key", b"authorization")]
    public = {*schema_names, *_ROUTES, *_WIRE}
    return {
        value for value in (*words, *credentials) if len(value) >= MIN_LENGTH and value.decode("latin-1") not in public
    }
