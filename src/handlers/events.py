"""What Lambda may be invoked with: which events are HTTP requests, and what the adapter would get wrong in them."""

from __future__ import annotations

import base64
import re
from typing import Any, TypeGuard
from urllib.parse import unquote

Event = dict[str, Any]

UNREADABLE = "fraud_scoring.unreadable"
"""Marks an event whose body is not the bytes it claims to be."""
PLACE = "fraud_scoring.place"
"""Under this the path and the mount point of an event are noted."""
_PLACEHOLDER = re.compile(r"\{(\w+)\+?\}")


def is_http(event: object) -> TypeGuard[Event]:
    """Tell whether an API Gateway, a function URL or an ALB sent `event`; anything else may come from anywhere."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(context, dict):
        return False
    if event.get("version") != "2.0":
        return isinstance(event.get("httpMethod"), str) and isinstance(event.get("path"), str)
    http = context.get("http")
    return isinstance(http, dict) and isinstance(http.get("method"), str) and isinstance(http.get("path"), str)


def readable(event: Event) -> Event:
    """Return a copy of `event` with its body as bytes, and without the nulls that stand for empty objects."""
    body, ok = _body(event)
    copy = {**event, "body": body, "isBase64Encoded": False, UNREADABLE: not ok}
    for name in ("headers", "queryStringParameters"):
        copy[name] = copy.get(name) or {}
    for name in ("multiValueHeaders", "multiValueQueryStringParameters"):
        if copy.get(name) is None:
            copy.pop(name, None)
    return copy


def _body(event: Event) -> tuple[bytes, bool]:
    body = event.get("body") or ""
    try:
        # Validated: the adapter would skip what is not base64 and go on with other bytes than were sent.
        return (base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()), True
    except (AttributeError, TypeError, ValueError):
        return b"", False


def locate(event: Event) -> tuple[str, str]:
    """Return the path of the URL that the client used, and the part of it that the app is mounted under.

    That part is the stage, or the base path of a custom domain, or nothing. What follows it is the resource of the
    gateway with its placeholders filled in; where the gateway names none, only the stage can be recognised.
    """
    context = event["requestContext"]
    path = unquote(event.get("rawPath") or event.get("path") or "/")
    seen = unquote(context.get("path") or path)
    if "elb" in context:
        return path, ""
    route = _route(event)
    if route and seen.rstrip("/").endswith(route.rstrip("/")):
        root = seen.rstrip("/").removesuffix(route.rstrip("/"))
        return (seen if len(seen) > len(root) else root + "/"), root
    stage = f"/{context.get('stage')}"
    if f"{path}/".startswith(f"{stage}/"):
        return (path if len(path) > len(stage) else stage + "/"), stage
    return path, ""


def _route(event: Event) -> str:
    """Return the path below the mount point, as far as the gateway tells."""
    template = event.get("resource") or event.get("routeKey") or ""
    values = event.get("pathParameters") or {}
    path = _PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), template.rpartition(" ")[2])
    return unquote(path) if path.startswith("/") else ""
