"""API keys as text: how a list of them is written, and what a key may be used for."""

from __future__ import annotations

import json
import re

SCOPES = frozenset({"predict", "batch", "admin"})
"""`predict`: one transaction; `batch`: many at once; `admin`: to change what the service does."""
DEFAULT_SCOPES = SCOPES - {"admin"}
"""Of a key that names none: who scores transactions need not be able to change the model."""

_ANY_SCOPE = "|".join(sorted(SCOPES))
_SCOPED = re.compile(rf"(?P<key>.+):(?P<scopes>(?:{_ANY_SCOPE})(?:\+(?:{_ANY_SCOPE}))*)")


def parse_keys(text: str) -> tuple[str, ...]:
    """Return the entries of a comma-separated list, or of a JSON object whose values are such lists.

    Secrets Manager hands out both, and an ECS task gets a secret's text as it is; the names of a JSON object then
    say whose key it is. An entry is a key, or a key with its scopes: see `split_scopes`.
    """
    if text.lstrip().startswith("{"):
        try:
            document: dict[str, object] = json.loads(text)
        except ValueError:
            return ()
        return tuple(key for value in document.values() if isinstance(value, str) for key in parse_keys(value))
    return tuple(key.strip() for key in text.split(",") if key.strip())


def split_scopes(entry: str) -> tuple[str, frozenset[str]]:
    """Return the key that clients send, and its scopes: `KEY:predict+batch` may be used for these two alone.

    What follows the last colon is part of the key unless it is nothing but scopes, so that a misspelt scope opens
    no more than it should: no client sends that key.
    """
    found = _SCOPED.fullmatch(entry)
    return (found["key"], frozenset(found["scopes"].split("+"))) if found else (entry, DEFAULT_SCOPES)
