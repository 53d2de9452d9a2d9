"""What happens around every request: its id, its key, its one log line, and the reply when all else fails."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api.auth import NO_KEY_ID
from core.api.door import Door
from core.api.errors import problem_of, problem_response
from core.api.headers import REQUEST_ID, headers_of
from core.api.release import Release, Releases
from core.api.replies import REPLY_AT_ONCE
from core.errors import FraudScoringError
from core.metrics import Metrics
from core.observability import EventLog, LogFields, collect_annotations

SCOPE_KEY = "fraud_scoring"
UNKNOWN_ROUTE = "<unknown>"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACE_ID = re.compile(rb"(?:^|;)Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;|$)")
"""AWS's own form only: a caller on a direct way in may send anything under this header."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


@dataclass(slots=True)
class RequestContext:
    """What is known of one request; routes add what its log line should say."""

    request_id: str
    release: Release
    """The model that answers, even if it is exchanged meanwhile."""
    key_id: str = NO_KEY_ID
    """Whose API key it is: what belongs to a caller is kept under this, never under the key."""
    status: int = 0
    fields: LogFields = field(default_factory=LogFields)


def context_of(scope: Scope) -> RequestContext:
    """Return the context of the request that `scope` describes."""
    context: RequestContext = scope[SCOPE_KEY]
    return context


class RequestMiddleware:
    """The outermost layer: nothing leaves the app without a request id, and nothing unknown gets past the key.

    It calls the endpoint of a route itself: on the way through FastAPI's middleware and router a request
    would spend longer than on being scored.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        door: Door,
        releases: Releases,
        log: EventLog,
        metrics: Metrics,
        patterns: Sequence[tuple[re.Pattern[str], str]] = (),
    ) -> None:
        """`patterns` lead from paths with variable parts to their routes."""
        self._app = app
        self._door = door
        self._releases = releases
        self._log = log
        self._metrics = metrics
        self._patterns = patterns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter_ns()
        context = RequestContext(_request_id(scope), self._releases.current)
        scope[SCOPE_KEY] = context
        collect_annotations(context.fields)
        path = self._route(scope)
        try:
            await self._answer(scope, receive, send, path, context)
        except ClientDisconnect:
            self._log.info("client went away", request_id=context.request_id)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets our 500, the log the place
            self._log.unexpected("internal error", error, request_id=context.request_id)
            context.fields["error_code"] = "internal_error"
            if context.status:
                raise  # half a reply is out already: only the server can end it
            await self._send(_reply_to(error, context), scope, receive, send, context)
        finally:
            self._record(scope, context, path, (time.perf_counter_ns() - started) // 1000 / 1000)

    def _route(self, scope: Scope) -> str:
        """Return the path, or the route it is one of; note the variable parts."""
        path = _route_path(scope)
        for pattern, route in self._patterns if path not in self._door.routes else ():
            if found := pattern.fullmatch(path):
                scope["path_params"] = found.groupdict()
                return route
        return path

    async def _answer(self, scope: Scope, receive: Receive, send: Send, path: str, context: RequestContext) -> None:
        """Answer with the endpoint of the route; what is no route of ours is left to the app, with its own replies."""
        try:
            if path not in self._door.open_paths:
                context.key_id = await self._door.admit(scope, path, context.fields, self._log)
            endpoint = context.release.endpoints.get((path, scope["method"]))
            if endpoint is None:
                scope.pop(REPLY_AT_ONCE, None)  # it would pass by the headers that are added here
                await self._app(scope, receive, self._sender(context, send))
                return
            response = await endpoint(Request(scope, receive, send))
        except FraudScoringError as error:
            context.fields["error_code"] = problem_of(error).code
            response = _reply_to(error, context)
        await self._send(response, scope, receive, send, context)

    async def _send(
        self, response: Response, scope: Scope, receive: Receive, send: Send, context: RequestContext
    ) -> None:
        response.raw_headers += self._headers_of(context)
        context.status = response.status_code
        await response(scope, receive, send)

    def _sender(self, context: RequestContext, send: Send) -> Send:
        """Return a `send` for replies that are not made here."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"] = [*message["headers"], *self._headers_of(context)]
            await send(message)

        return send_with_headers

    def _headers_of(self, context: RequestContext) -> tuple[tuple[bytes, bytes], ...]:
        return (REQUEST_ID, context.request_id.encode("ascii")), context.release.version_header

    def _record(self, scope: Scope, context: RequestContext, path: str, latency_ms: float) -> None:
        """Write the one log line of the request and count it; probes are neither news nor traffic."""
        if (trace := headers_of(scope).get(b"x-amzn-trace-id")) and (found := _TRACE_ID.search(trace)):
            context.fields["trace_id"] = found[1].decode("ascii")
        fields: LogFields = {
            "request_id": context.request_id,
            "route": path if path in self._door.routes else UNKNOWN_ROUTE,
            "method": scope["method"] if scope["method"] in _METHODS else UNKNOWN_ROUTE,
            "status": context.status,
            "latency_ms": latency_ms,
            **context.fields,
        }
        if path in self._door.open_paths:
            self._log.write(logging.DEBUG, "request", fields)
        else:
            self._log.write(logging.INFO, "request", fields)
            self._metrics.record_request(context.status, latency_ms, fields)


def _reply_to(error: Exception, context: RequestContext) -> Response:
    """Return the reply for `error`, which is done with.

    Its traceback leads to what was waited for, as to a thread, and that leads back: a refused body of megabytes would
    stay until the collector of garbage comes, which counts objects and not bytes.
    """
    error.__traceback__ = None
    return problem_response(error, context.request_id)


def _request_id(scope: Scope) -> str:
    offered = headers_of(scope).get(REQUEST_ID)
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered.decode("ascii")
    return os.urandom(16).hex()


def _route_path(scope: Scope) -> str:
    """Return the path below the prefix (stage, base path) that the app is mounted under."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path
