"""The uvicorn entry: serves the app of the settings until it is told to stop. Used by the container and `make run`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI
from heap import keep_freed_memory
from http_protocol import GuardedProtocol
from loop_turn import EndOfTurn

from core.api.release import Releases
from core.bootstrap import build_app
from core.errors import SettingsError, StartupError
from core.metrics import Metrics
from core.observability import SERVICE, flush_lines_by
from core.settings import Settings, load_settings

EXIT_CONFIGURATION = 2
EXIT_CUT_OFF = 1
"""It stopped with requests unanswered: it was told twice, or they took too long."""
_METRICS_EVERY_S = 10


class Server(uvicorn.Server):
    """A uvicorn server that drains before it closes, and counts a requested stop as success."""

    def __init__(
        self,
        app: FastAPI,
        drain_seconds: float,
        on_listening: Callable[[], None] | None = None,
        trusted_proxies: str | None = None,
    ) -> None:
        super().__init__(_configure(app, trusted_proxies))
        self._app_state = app.state
        self._readiness = app.state.readiness
        self._releases: Releases = app.state.releases
        self._reloads: set[asyncio.Task[bool]] = set()
        self._metrics = app.state.metrics
        self._drain_seconds = drain_seconds
        self._on_listening = on_listening
        self._close_at: float | None = None
        self.exit_code = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        turn = EndOfTurn(asyncio.get_running_loop(), self.server_state.tasks)
        self._app_state.turn = turn
        flush_lines_by(turn.call)
        await super().startup(sockets)
        self._reload_on_hangup()
        if self._on_listening is not None and self.started:
            self._on_listening()

    def _reload_on_hangup(self) -> None:
        """Exchange the model at SIGHUP; at a terminal it keeps its meaning, that the terminal is gone."""
        at_terminal = sys.stdin is not None and sys.stdin.isatty()
        is_ours = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP")
        if is_ours and not at_terminal and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._releases.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        # A refusal is in the log already, and the old model goes on serving.
        task.add_done_callback(lambda done: done.exception())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Report not ready, and close once balancers had the time to notice; a second signal ends it all at once."""
        if self.should_exit or self._close_at is not None:
            self.should_exit = self.force_exit = True
            super().handle_exit(sig, frame)
        elif self._drain_seconds == 0:
            super().handle_exit(sig, frame)
        else:
            self._readiness.drain()
            # In each reply, a second from now at the latest: the next connection leads to another replica.
            self.config.encoded_headers.append((b"connection", b"close"))
            self._close_at = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        if self._close_at is not None and time.monotonic() >= self._close_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        # Judged only here: at the signal, a request may have been answered whose task has not ended yet. What is left
        # now are requests without a reply, and connections whose reply is still on its way to a slow reader.
        if self.server_state.tasks or self.server_state.connections:
            self.exit_code = EXIT_CUT_OFF

    def serve_until_stopped(self, listener: socket.socket) -> int:
        """Serve on `listener` until SIGTERM or SIGINT, and return the exit code; requests in flight are answered."""
        # Once it has stopped cleanly, uvicorn raises the signal again: as an exception, not as a death by signal.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            self.run([listener])
        flush_lines_by(None)
        _flush(self._metrics)
        return self.exit_code


def _configure(app: FastAPI, trusted_proxies: str | None) -> uvicorn.Config:
    """Return how uvicorn serves: our own log, and time-outs that fit behind a load balancer.

    Keep-alive outlasts the balancer's idle time-out (60 s), or it would reuse a connection that we are closing.
    """

    async def flush_metrics() -> None:
        _flush(app.state.metrics)

    return uvicorn.Config(
        # Where the app's own two layers lead, which do nothing for a request of ours.
        app.middleware_stack,  # type: ignore[arg-type]
        http=partial(GuardedProtocol, state=app.state),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        # The app has nothing to do at either end; uvicorn would wait for it when time is up.
        lifespan="off",
        server_header=False,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=25,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies or "",
        callback_notify=flush_metrics,
        timeout_notify=_METRICS_EVERY_S,
    )


def _flush(metrics: Metrics) -> None:
    """Write the metrics; where nobody reads stdout any more there are still requests to answer."""
    try:
        metrics.flush()
    except BrokenPipeError:
        # What is buffered would be tried again at the exit, and fail again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def bind(settings: Settings) -> socket.socket:
    """Return a socket on the address of the settings; nobody can connect before the server listens on it.

    Raises
    ------
    SettingsError
        The address is taken or is not one of this machine.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        raise SettingsError(f"cannot listen on {where} ({error.strerror}): set PORT or HOST to another") from error
    return listener


def adopt_server_log() -> None:
    """Let uvicorn's own messages go through the product's JSON handler."""
    server_log = logging.getLogger("uvicorn")
    server_log.handlers = list(logging.getLogger(SERVICE).handlers)
    server_log.propagate = False
    server_log.setLevel(logging.WARNING)


def run(settings: Settings, on_listening: Callable[[FastAPI, socket.socket], None] | None = None) -> int:
    """Build the app, serve it and return the exit code.

    `on_listening` is called with the app and its socket once it can be reached.

    Raises
    ------
    StartupError
        The app cannot be built or the address cannot be had.
    """
    keep_freed_memory()
    with bind(settings) as listener:
        app = build_app(settings, reloadable=True)
        adopt_server_log()
        # What the start made stays. A full collection would walk over all of it, for 40 ms, while requests wait.
        gc.freeze()
        # Requests leave no cycles behind; what is at work in one turn is not worth a walk (700: several in each turn).
        # Nor is all of a crowd's connections walked over again and again while it comes in, for up to 100 ms each time.
        gc.set_threshold(10_000, 10, 100)
        report = None if on_listening is None else lambda: on_listening(app, listener)
        server = Server(app, settings.drain_seconds, report, settings.trusted_proxies)
        return server.serve_until_stopped(listener)


def main() -> int:
    """Serve by the environment; return the exit code."""
    try:
        return run(load_settings())
    except StartupError as error:
        sys.stderr.write(f"fraud-scoring: {error}\n")
        return EXIT_CONFIGURATION


if __name__ == "__main__":
    sys.exit(main())
