"""As much of HTTP/1.1 as the wire protocol of SageMaker Runtime needs, with the socket within reach."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

_REASONS = {424: "Failed Dependency", 530: "Internal Dependency"}


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """One reply with all its bytes."""

    status: int
    body: bytes = b""
    content_type: str = "text/csv; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        reason = _REASONS.get(self.status) or HTTPStatus(self.status).phrase
        lines = [
            f"HTTP/1.1 {self.status} {reason}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "x-amzn-RequestId: 2f5e0a0e-6a1c-4f0c-9a50-5b1d7c2f9f3e",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class ConnectionGone(Exception):  # noqa: N818 - no error: clients go when they like
    """The client closed the connection."""


class Connection:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_open = True

    @property
    def socket(self) -> socket.socket:
        found: Any = self._writer.get_extra_info("socket")
        return found  # type: ignore[no-any-return]

    async def receive(self, max_body: int) -> Request | None:
        """Return the next request, or None when there is no other; a longer body is left unread and shows as empty."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            method, path, _ = first.split(" ")
            length = int(headers.get("content-length", 0))
            body = await self._reader.readexactly(length) if length <= max_body else b""
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Request(method, path, headers, body)

    async def send(self, reply: Reply) -> None:
        await self.write(reply.encode())

    async def write(self, data: bytes) -> None:
        if not self.is_open:
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            raise ConnectionGone from None

    async def pause(self, seconds: float) -> None:
        """Wait, unless the client goes first."""
        try:
            await asyncio.wait_for(self.until_closed(), seconds)
        except asyncio.TimeoutError:  # noqa: UP041 - another class until Python 3.11
            return

    async def until_closed(self) -> None:
        """Wait for the client to go, which is the end of the connection."""
        await self._reader.read(1)
        raise ConnectionGone

    def close(self) -> None:
        self.is_open = False
        self._writer.close()
