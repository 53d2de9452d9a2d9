"""The app as a Lambda handler: Mangum, with its traps closed."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from functools import cached_property
from typing import Any

from aws_lambda_powertools import Logger
from fastapi import FastAPI
from mangum import Mangum
from mangum.types import LambdaContext
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from core.api.errors import PROBLEM_JSON, problem_response
from core.api.headers import REQUEST_ID, header_values
from core.api.middleware import SCOPE_KEY
from core.errors import MalformedBodyError
from core.observability import SERVICE
from handlers.events import PLACE, UNREADABLE, Event, is_http, locate, readable

TEXT_TYPES = ["application/json", PROBLEM_JSON, "text/"]
"""Every media type that the app replies with; what is not listed would go out as base64."""
_GATEWAY_ID = re.compile(r"([A-Za-z0-9_-]{10,64})={0,2}")


class LambdaApi:
    """Answers invocations with the app; whatever the event is, no exception reaches Lambda."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._metrics = app.state.metrics
        # The logger that the app configured: what is known of an invocation goes on each of its lines.
        self._log = Logger(service=SERVICE)
        self._is_cold = True

    def __call__(self, event: object, context: LambdaContext | None = None) -> dict[str, Any]:
        """Return the reply in the form that the sender of `event` reads."""
        function_request_id = getattr(context, "aws_request_id", None)
        self._log.append_keys(cold_start=self._is_cold, function_request_id=function_request_id)
        if self._is_cold:
            self._metrics.count("ColdStart")
            self._is_cold = False
        try:
            return self._answer(event, context)
        finally:
            self._metrics.flush()

    def _answer(self, event: object, context: LambdaContext | None) -> dict[str, Any]:
        if not is_http(event):
            return self._acknowledge(event)
        request = readable(event)
        # Mangum runs the app on whatever loop is the current one; locks want it to be the same at each invocation.
        asyncio.set_event_loop(self._loop)
        if not self._can_adapt(request, context):
            return self._refuse(request)
        return self._adapter(request, context)  # type: ignore[arg-type]

    def close(self) -> None:
        """Give back what the invocations needed."""
        asyncio.set_event_loop(None)
        self._loop.close()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """Made by the first invocation: it holds sockets, which must not be in a SnapStart snapshot."""
        return asyncio.new_event_loop()

    @cached_property
    def _adapter(self) -> Mangum:
        # It would log the path, which may hold anything, and the text of foreign errors.
        logging.getLogger("mangum").setLevel(logging.CRITICAL + 1)
        return Mangum(self._serve, lifespan="off", text_mime_types=TEXT_TYPES)

    def _can_adapt(self, request: Event, context: LambdaContext | None) -> bool:
        """Tell whether `request` has all that makes a request, and in it note where the app is mounted."""
        try:
            request[PLACE] = locate(request)
            return bool(self._adapter.infer(request, context).scope)  # type: ignore[arg-type]
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
            return False

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app for one event; nothing is sent before all is there, so that no reply breaks off half-way."""
        event = scope["aws.event"]
        scope["path"], scope["root_path"] = event[PLACE]
        gateway_id = _gateway_id(event)
        if gateway_id and not header_values(scope, REQUEST_ID):
            scope["headers"].append([REQUEST_ID, gateway_id.encode()])
        sent: list[Message] = []

        async def hold(message: Message) -> None:
            sent.append(message)

        try:
            await self._app(scope, _refuse_body if event[UNREADABLE] else receive, hold)
        except Exception as error:  # noqa: BLE001 - the app has logged it; Mangum would answer it as plain text
            sent.clear()
            known = scope.get(SCOPE_KEY)
            await self._problem(error, known.request_id if known else gateway_id)(scope, receive, hold)
        for message in sent:
            await send(message)

    def _acknowledge(self, event: object) -> dict[str, Any]:
        """Answer what is no HTTP request: a warm-up, or an event of a source that this function is not for."""
        is_warm_up = isinstance(event, dict) and event.get("warmup") is True
        if not is_warm_up:
            self._log.warning("not an HTTP request: ignored")
        return {
            "status": "warm" if is_warm_up else "ignored",
            "model_version": self._app.state.releases.current.version,
        }

    def _refuse(self, request: Event) -> dict[str, Any]:
        """Answer an HTTP event that no gateway would send: parts are missing or are not text."""
        self._log.warning("not a readable HTTP request: refused")
        error = MalformedBodyError("The event is not a readable HTTP request.")
        response = self._problem(error, _gateway_id(request))
        return {
            "statusCode": response.status_code,
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in response.raw_headers},
            "body": bytes(response.body).decode(),
            "isBase64Encoded": False,
        }

    def _problem(self, error: Exception, request_id: str) -> Response:
        request_id = request_id or uuid.uuid4().hex
        response = problem_response(error, request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["X-Model-Version"] = self._app.state.releases.current.version
        return response


def _gateway_id(event: Event) -> str:
    """Return the id under which the gateway logs the request, less the padding that HTTP APIs give it; or nothing."""
    found = _GATEWAY_ID.fullmatch(str(event["requestContext"].get("requestId")))
    return found[1] if found else ""


async def _refuse_body() -> Message:
    raise MalformedBodyError("The body cannot be read: it is not the base64 or the text that the event says it is.")
