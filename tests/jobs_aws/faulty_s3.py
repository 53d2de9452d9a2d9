"""What stands between a client and moto's S3, over real sockets, and spoils what the client reads of objects."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Fault = Callable[["_Handler", bytes], None]
"""Writes a reply in place of the one that has this body."""

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_NOT_COPIED = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})


class FaultyS3(ThreadingHTTPServer):
    """Passes all requests on; the next `n_faults` reads of an object meet `fault`."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(behind).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.closing = threading.Event()
        self.fault: Fault = slow_down
        self.n_faults = 0.0
        self.reads = 0
        """Of objects, those that met a fault too."""
        self._lock = threading.Lock()

    def next_fault(self) -> Fault | None:
        with self._lock:
            self.reads += 1
            self.n_faults -= 1
            return self.fault if self.n_faults >= 0 else None

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyS3

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "expect")}
        connection = http.client.HTTPConnection(self.server.behind)
        try:
            connection.request(self.command, self.path, body, headers)
            reply = connection.getresponse()
            answer = reply.read()
        finally:
            connection.close()
        fault = self.server.next_fault() if self.command == "GET" else None
        if fault is not None:
            fault(self, answer)
            return
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in _NOT_COPIED:
                self.send_header(name, value)
        self.send_header("content-length", reply.getheader("content-length") or str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _pass_on

    def begin(self, status: int, n_bytes: int) -> None:
        self.send_response(status)
        self.send_header("content-length", str(n_bytes))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def slow_down(handler: _Handler, body: bytes) -> None:
    """Answer as S3 does when it is asked too often."""
    handler.begin(503, len(_SLOW_DOWN))
    handler.wfile.write(_SLOW_DOWN)


def break_off(handler: _Handler, body: bytes) -> None:
    """Promise all of the body, send half, hang up."""
    handler.begin(206, len(body))
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def stall(handler: _Handler, body: bytes) -> None:
    """Promise all of the body, send half, and then nothing more."""
    handler.begin(206, len(body))
    handler.wfile.write(body[: len(body) // 2])
    handler.server.closing.wait(60)
    handler.close_connection = True


@contextmanager
def faulty_s3(behind: str) -> Iterator[FaultyS3]:
    """Serve until the block is left."""
    server = FaultyS3(behind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
