"""What happens around every request: its id, its key, its one log line, and the reply when all else fails."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api.auth import NO_KEY_ID, ApiKeys, header_values
from core.api.errors import problem_response
from core.errors import ForbiddenError, FraudScoringError, UnauthorizedError
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
    key_id: str = NO_KEY_ID
    """Whose API key it is: what belongs to a caller is kept under this, never under the key."""
    status: int = 0
    fields: LogFields = field(default_factory=LogFields)


def context_of(scope: Scope) -> RequestContext:
    """Return the context of the request that `scope` describes."""
    context: RequestContext = scope[SCOPE_KEY]
    return context


class RequestMiddleware:
    """The outermost layer: nothing leaves the app without a request id, and nothing unknown gets past the key."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: ApiKeys | None,
        open_paths: frozenset[str],
        routes: Mapping[str, str | None],
        log: EventLog,
        metrics: Metrics,
        model_version: str,
    ) -> None:
        """`routes` gives the scope that each route asks of a key, or None where any key will do."""
        self._app = app
        self._keys = keys
        self._open_paths = open_paths
        self._routes = routes
        self._log = log
        self._metrics = metrics
        self._version_header = (b"x-model-version", model_version.encode("ascii"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        context = RequestContext(_request_id(scope))
        scope[SCOPE_KEY] = context
        collect_annotations(context.fields)
        path = _route_path(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                ours = ((b"x-request-id", context.request_id.encode("ascii")), self._version_header)
                message["headers"] = [*message["headers"], *ours]
            await send(message)

        try:
            refusal = None if path in self._open_paths else await self._refusal(scope, path, context)
            if refusal is None:
                await self._app(scope, receive, send_with_headers)
            else:
                context.fields["error_code"] = refusal.code
                await problem_response(refusal, context.request_id)(scope, receive, send_with_headers)
        except ClientDisconnect:
            self._log.info("client went away", request_id=context.request_id)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets our 500, the log the place
            self._log.unexpected("internal error", error, request_id=context.request_id)
            context.fields["error_code"] = "internal_error"
            if context.status:
                raise  # half a reply is out already: only the server can end it
            await problem_response(error, context.request_id)(scope, receive, send_with_headers)
        finally:
            self._record(scope, context, path, (time.perf_counter() - started) * 1000)

    async def _refusal(self, scope: Scope, path: str, context: RequestContext) -> FraudScoringError | None:
        """Return why the request goes no further, or nothing; note whose it is."""
        if self._keys is None:
            return None
        if self._keys.is_stale():
            await self._keys.refresh(self._log)
        caller = self._keys.identify(scope["headers"])
        if caller is None:
            return UnauthorizedError()
        context.key_id = caller.key_id
        needed = self._routes.get(path)
        return None if needed is None or needed in caller.scopes else ForbiddenError()

    def _record(self, scope: Scope, context: RequestContext, path: str, latency_ms: float) -> None:
        """Write the one log line of the request and count it; probes are neither news nor traffic."""
        traces = header_values(scope["headers"], b"x-amzn-trace-id")
        trace = _TRACE_ID.search(traces[0]) if traces else None
        fields: LogFields = {
            "request_id": context.request_id,
            **({"trace_id": trace[1].decode("ascii")} if trace else {}),
            "route": path if path in self._routes else UNKNOWN_ROUTE,
            "method": scope["method"] if scope["method"] in _METHODS else UNKNOWN_ROUTE,
            "status": context.status,
            "latency_ms": round(latency_ms, 3),
            **context.fields,
        }
        if path in self._open_paths:
            self._log.debug("request", **fields)
        else:
            self._log.info("request", **fields)
            self._metrics.record_request(context.status, latency_ms, fields)


def _request_id(scope: Scope) -> str:
    offered = header_values(scope["headers"], b"x-request-id")
    if len(offered) == 1 and _REQUEST_ID.fullmatch(offered[0]):
        return offered[0].decode("ascii")
    return uuid.uuid4().hex


def _route_path(scope: Scope) -> str:
    """Return the path below the prefix (stage, base path) that the app is mounted under."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path
