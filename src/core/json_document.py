"""JSON as this product reads it: UTF-8 without BOM, no NaN or Infinity, no duplicate keys, no trailing data."""

from __future__ import annotations

import jiter

from core.errors import MalformedBodyError

MAX_DEPTH = 16
MAX_INTEGER = 10**400 - 1
"""The largest integer of 400 digits."""


def read_json(raw: bytes) -> object:
    """Parse one JSON document.

    Numbers beyond float64 come out as infinity and nesting is bounded at 200 levels: both are left to the
    schema, which refuses them (`check_depth`) without a cost to valid documents.

    Raises
    ------
    MalformedBodyError
        `raw` is not one JSON document; the text gives the position, never the content.
    """
    try:
        # Only keys are cached between calls: values belong to the caller.
        return jiter.from_json(raw, allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError as error:
        raise MalformedBodyError(_describe(str(error))) from None


def check_depth(document: object) -> None:
    """Refuse documents nested deeper than 16 levels.

    Raises
    ------
    MalformedBodyError
        The document is nested deeper.
    """
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
    if any(isinstance(node, (dict, list)) for node in level):
        raise MalformedBodyError(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _children(node: object) -> list[object]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _describe(message: str) -> str:
    """Name the fault and its place; the parser's words for a duplicate key hold the key, so they are dropped."""
    reason, _, position = message.rpartition(" at line ")
    if reason.startswith("Detected duplicate key"):
        reason = "duplicate key"
    place = f" at line {position}" if reason else ""
    return f"The body is not valid JSON: {reason or 'malformed'}{place}."
