"""HTTP/1.1 as uvicorn speaks it, for a world with slow and broken clients: deadlines, a limit on heads, one error form.

Waiting costs nothing while requests come in one piece: a timer is started for those that do not.
"""

from __future__ import annotations

import asyncio
import enum
import time
import uuid
from collections.abc import MutableMapping, Sized
from typing import Any, cast

from loop_turn import Outgoing
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from core.api.admission import ARRIVED, AT_WORK
from core.api.errors import problem_response
from core.api.headers import REQUEST_ID, RawHeaders
from core.api.limits import ABORTED
from core.api.replies import REPLY_AT_ONCE
from core.errors import (
    FraudScoringError,
    HeadTooLargeError,
    MalformedRequestError,
    OverloadedError,
    RequestTimeoutError,
)
from core.observability import LogFields
from core.settings import Settings

MAX_HEAD_BYTES = 32_768
MAX_PIPELINED = 100
"""So many requests may wait on one connection for the replies to those before them; the next ends it after these."""
_LAST_WORDS_S = 2.0
"""How long the app has to answer a request that is given up."""


class _Stage(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


class _Flow(FlowControl):
    """Reads on only when no request waits: uvicorn reads more after each reply, however many wait already."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class GuardedProtocol(HttpToolsProtocol):
    """One connection. What is refused here is answered, logged and counted as the app does it."""

    _stage = _Stage.IDLE
    _head_bytes = 0
    _idle_since: float | None = None
    """By the clock of the loop; None: something has come in since the last reply."""
    _deadline: asyncio.TimerHandle | None = None
    _refusal: FraudScoringError | None = None
    """Why nothing more is read from this connection."""
    _common: list[tuple[bytes, bytes]] | None = None
    _common_lines: bytes | None = None

    def __init__(self, *args: Any, state: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as uvicorn and Starlette have it
        """`state` is that of the app, with the `turn` of the server's loop."""
        super().__init__(*args, **kwargs)
        self._state = state
        self._settings: Settings = state.settings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._outgoing = Outgoing(transport, self._state.turn)
        self.transport = cast("asyncio.Transport", self._outgoing)
        # As long as between two requests; uvicorn itself would wait for the first byte for ever.
        self._idle_since = self.loop.time()
        self._close_when_idle_in(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super()._unset_keepalive_if_required()
        super().connection_lost(exc)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None:
            # It leads back to here: the last request would stay, with the model that answered it, until the collector
            # of garbage comes.
            cast("dict[str, object]", cycle.scope).pop(REPLY_AT_ONCE, None)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection for the replies to a client that has sent all that it wants to send."""
        if self._stage is not _Stage.IDLE or self._is_answered():
            self.transport.close()
            return False
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        if self._stage is not _Stage.BODY:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._stage is _Stage.HEAD and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLargeError(f"The head of a request may have at most {MAX_HEAD_BYTES} bytes."))
        elif self._deadline is None and self._is_incomplete():
            self._wait()

    def _is_incomplete(self) -> bool:
        """Tell whether a request has begun and not ended; line breaks ahead of one begin it, too."""
        return self._stage is not _Stage.IDLE or (self._idle_since is None and self._is_answered())

    def _is_answered(self) -> bool:
        """Tell whether no request is at work."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def on_message_begin(self) -> None:
        self._stage = _Stage.HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        # Only who sent so much at once can have sent such a head: the sum is not worth its time otherwise.
        if self._head_bytes > MAX_HEAD_BYTES and self._size_of_head() > MAX_HEAD_BYTES:
            self._refusal = HeadTooLargeError(f"The head of a request may have at most {MAX_HEAD_BYTES} bytes.")
            raise self._refusal
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = OverloadedError()
            raise self._refusal
        super().on_headers_complete()
        self._stage, self._head_bytes = _Stage.BODY, 0
        self._stop_waiting()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[ARRIVED] = time.perf_counter()
        scope[AT_WORK] = self.tasks
        scope[REPLY_AT_ONCE] = self._reply_at_once

    def _reply_at_once(self, scope: MutableMapping[str, Any], status: int, headers: RawHeaders, body: bytes) -> bool:
        """Do what two calls of `send` would with a reply of ours; where anything is unusual, leave it to them."""
        cycle = self.cycle
        if cycle.scope is not scope:  # others came in behind this one on the same connection
            return False
        common = self._common_head(cycle.default_headers)
        usual = cycle.keep_alive and not (cycle.response_started or cycle.disconnected or cycle.flow.write_paused)
        usual = usual and scope["method"] != "HEAD"
        if common is None or not usual or HEADER_VALUE_RE.search(b"".join([value for _, value in headers])):
            return False
        self._outgoing.write_whole(b"".join([STATUS_LINE[status], common, _lines_of(headers), b"\r\n", body]))
        cycle.waiting_for_100_continue = False
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True

    def _common_head(self, headers: list[tuple[bytes, bytes]]) -> bytes | None:
        """Return the lines of the server's own headers, the same for a second; None: they end the connection."""
        if headers is not self._common:
            self._common = headers
            ends = any(name.lower() == b"connection" for name, _ in headers)
            self._common_lines = None if ends else _lines_of(headers)
        return self._common_lines

    def on_response_complete(self) -> None:
        self._outgoing.end_reply()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()

    def _unset_keepalive_if_required(self) -> None:
        """Called by uvicorn when something comes in; the timer stays: a new one for each request would cost more."""
        self._idle_since = None

    def _close_when_idle_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if nothing has come in for as long as may be; else look again when that could be."""
        waited = 0.0 if self._idle_since is None else self.loop.time() - self._idle_since
        if waited < self.timeout_keep_alive:
            self._close_when_idle_in(self.timeout_keep_alive - waited)
        else:
            super().timeout_keep_alive_handler()

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_message_complete(self) -> None:
        self._stage = _Stage.IDLE
        self._stop_waiting()
        super().on_message_complete()
        if self.cycle.response_complete:  # it was refused ahead of its body: nothing more will make the connection idle
            self._idle_since = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn when its parser gives up."""
        self._refuse(self._refusal or MalformedRequestError("The request is not readable HTTP/1.1."))

    def _wait(self) -> None:
        settings = self._settings
        seconds = settings.body_timeout_s if self._stage is _Stage.BODY else settings.head_timeout_s
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self.flow.read_paused:  # then it is the client who waits for us
            self._wait()
        else:
            self._refuse(RequestTimeoutError("The request did not arrive in time."))

    def _refuse(self, error: FraudScoringError) -> None:
        """End what is coming in: by the app where it knows of the request already, else from here."""
        self._stop_waiting()
        self._refusal = error
        answered = self._is_answered()
        if self._stage is _Stage.BODY and not answered:
            cast("dict[str, object]", self.scope)[ABORTED] = error
            self.cycle.message_event.set()
            self.loop.call_later(_LAST_WORDS_S, self.transport.close)
        elif self._stage is _Stage.BODY:
            self.transport.close()
        elif answered:
            self._answer(error)
        else:  # an earlier request is being answered; its reply is the last one here
            self.cycle.keep_alive = False

    def _answer(self, error: FraudScoringError) -> None:
        request_id, state = uuid.uuid4().hex, self._state
        response = problem_response(error, request_id)
        headers = [
            *self.server_state.default_headers,
            *(header for header in response.raw_headers if header[0] != b"connection"),
            (REQUEST_ID, request_id.encode()),
            (b"x-model-version", state.releases.current.version.encode()),
            (b"connection", b"close"),
        ]
        self.transport.write(
            b"".join([STATUS_LINE[response.status_code], _lines_of(headers), b"\r\n", bytes(response.body)])
        )
        self.transport.close()
        fields: LogFields = {
            "request_id": request_id,
            "status": response.status_code,
            "error_code": error.code,
        }
        state.log.info("request", **fields)
        state.metrics.record_request(response.status_code, 0.0, fields)


def _lines_of(headers: RawHeaders) -> bytes:
    """Return the lines of a head that say `headers`."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
