"""The one query parameter that the scoring routes read: `explain`."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from core.errors import FieldIssue, InvalidTransactionError
from core.explanation import MAX_REASONS, NO_BASELINE, NO_REASONS

EXPLAIN = "explain"
_LOCATION = ("query", EXPLAIN)
_ANSWERS = {"true": True, "false": False}


def asks_for_reasons(query: bytes) -> bool:
    """Tell whether the query string asks for reasons; it does not where it says nothing of them.

    Raises
    ------
    InvalidTransactionError
        It gives `explain` another value than `true` or `false`, or two values. What else it says is not looked at.
    """
    if not query:
        return False
    values = [value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if name == EXPLAIN]
    if len(values) > 1 or not _ANSWERS.keys() >= set(values):
        raise InvalidTransactionError([FieldIssue(_LOCATION, "bool_parsing", "Input should be `true` or `false`.")])
    return _ANSWERS[values[0]] if values else False


def no_reasons_here(asked_at: tuple[str, str] = _LOCATION) -> InvalidTransactionError:
    """Return the error for a request of reasons that the model's bundle cannot give."""
    return InvalidTransactionError([FieldIssue(asked_at, NO_REASONS, NO_BASELINE)])


def explain_parameter(more: str = "") -> dict[str, Any]:
    """Return what the OpenAPI document says of the parameter."""
    return {
        "name": EXPLAIN,
        "in": "query",
        "description": f"`true` adds up to {MAX_REASONS} reasons to each prediction.{more}",
        "schema": {"type": "boolean", "default": False},
        "examples": {"without reasons": {"value": False}, "with reasons": {"value": True}},
    }


def reasons_schema() -> dict[str, Any]:
    """Return what the OpenAPI document says of the reasons of one prediction."""
    return {
        "type": "array",
        "maxItems": MAX_REASONS,
        "description": "There with `explain=true`; the strongest first.",
        "items": {
            "type": "object",
            "required": ["feature", "value", "impact", "direction"],
            "properties": {
                "feature": {"type": "string", "description": "Name of the field."},
                "label": {"type": "string", "description": "What people call it, where the model's maker said so."},
                "value": {"type": "number", "description": "The transaction's."},
                "impact": {
                    "type": "number",
                    "description": "How far the value moves the log-odds of fraud away from those of typical "
                    "legitimate transactions.",
                },
                "direction": {"enum": ["raises", "lowers"]},
            },
        },
    }
