"""Connections that keep to a deadline, however slowly the other side talks.

The time-out of botocore, as that of any socket, is for each read: a server that sends one byte before it runs out,
again and again, holds a call for as long as it likes. Here each read waits at most until the deadline of the call.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.client import BaseClient
from typing_extensions import Buffer
from urllib3.exceptions import ReadTimeoutError

_call = threading.local()


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """When a call must be over; times are those of `time.monotonic`."""

    reply_begins_by: float
    deadline: float


@contextmanager
def within(limits: TimeLimits) -> Iterator[None]:
    """Hold the calls that this thread makes meanwhile to `limits`."""
    _call.limits = limits
    try:
        yield
    finally:
        del _call.limits


def limit_connections(client: BaseClient) -> None:
    """Make a boto3 client open its connections by the classes of this module.

    botocore has no setting for it. The two private names are checked by the tests of the slow header and body.
    """
    pools = client._endpoint.http_session._pool_classes_by_scheme
    pools.update(http=_LimitedHTTPConnectionPool, https=_LimitedHTTPSConnectionPool)


def _wait_until(sock: socket.socket, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    sock.settimeout(left)


class _LimitedReader(io.RawIOBase):
    """The bytes of one reply."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._limits: TimeLimits = _call.limits
        self.has_begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int | None:
        _wait_until(self._sock, self._limits.deadline if self.has_begun else self._limits.reply_begins_by)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self._reader = _LimitedReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.has_begun = True


class _LimitedConnection:
    """Mixed into botocore's connections."""

    response_class = _LimitedResponse
    sock: socket.socket | None
    _parts: list[bytes] | None = None

    def request(self, *args: object, **kwargs: object) -> None:
        try:
            self._request(*args, **kwargs)
        except TimeoutError as error:
            # While sending, urllib3 would take it for a connection that the other side has closed.
            raise ReadTimeoutError(None, "", "timed out while sending") from error  # type: ignore[arg-type]

    def _request(self, *args: object, **kwargs: object) -> None:
        # urllib3 sends the header and the body apart: a system call and a packet more, a tenth of a short call.
        self._parts = []
        super().request(*args, **kwargs)  # type: ignore[misc]
        whole, self._parts = b"".join(self._parts), None
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        if self.sock is not None:
            # It still has the time-out for connecting, too short to send a large payload.
            _wait_until(self.sock, _call.limits.deadline)
        self.send(whole)

    def send(self, data: bytes) -> None:
        if self._parts is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._parts.append(data)


class _LimitedHTTPConnection(_LimitedConnection, AWSHTTPConnection):  # type: ignore[misc]
    pass


class _LimitedHTTPSConnection(_LimitedConnection, AWSHTTPSConnection):  # type: ignore[misc]
    pass


class _LimitedHTTPConnectionPool(AWSHTTPConnectionPool):  # type: ignore[misc]
    ConnectionCls = _LimitedHTTPConnection


class _LimitedHTTPSConnectionPool(AWSHTTPSConnectionPool):  # type: ignore[misc]
    ConnectionCls = _LimitedHTTPSConnection
