"""Ways in which an endpoint fails, down to the bytes. A fault answers one request in place of the model."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.sagemaker_runtime.http import Connection, Reply

Fault = Callable[[Connection, Reply], Awaitable[None]]
"""Writes to the connection; it is given what the model would have answered."""
Script = Callable[[int], "Fault | None"]
"""Says what happens to the n-th invocation, counted from 1; None: it is served."""


def aws_error(status: int, code: str, message: str = "secret of the service", **members: object) -> Reply:
    """Return an error as the service writes it."""
    body = json.dumps({"Message": message, **members}).encode()
    return Reply(status, body, "application/json", (("x-amzn-ErrorType", f"{code}:http://internal.example/"),))


def model_error(status: int, message: str) -> Reply:
    """Return what the service makes of a container's refusal."""
    return aws_error(
        424,
        "ModelError",
        f'Received client error ({status}) from primary with message "{message}".',
        OriginalStatusCode=status,
        OriginalMessage=message,
        LogStreamArn="arn:aws:logs:us-east-1:111122223333:log-group:/aws/sagemaker/Endpoints/fraud",
    )


def answers(reply: Reply) -> Fault:
    """Give `reply` in place of the model's."""

    async def fault(connection: Connection, served: Reply) -> None:
        await connection.send(reply)

    return fault


MODEL_ERROR = answers(model_error(500, "secret of the container"))
THROTTLED = answers(aws_error(400, "ThrottlingException", "Rate exceeded"))
NOT_READY = answers(aws_error(429, "ModelNotReadyException"))
UNAVAILABLE = answers(aws_error(503, "ServiceUnavailable"))
INTERNAL_FAILURE = answers(aws_error(500, "InternalFailure"))
INTERNAL_DEPENDENCY = answers(aws_error(530, "InternalDependencyException"))
BAD_GATEWAY = answers(Reply(502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html"))
MISSING_ENDPOINT = answers(aws_error(400, "ValidationError", "Endpoint fraud of account 111122223333 not found."))
REDIRECT = answers(Reply(307, b"", "text/plain", (("Location", "http://127.0.0.1:9/endpoints/x/invocations"),)))


def says(body: bytes, content_type: str = "text/csv; charset=utf-8") -> Fault:
    """Give `body` with status 200."""
    return answers(Reply(200, body, content_type))


def edits(change: Callable[[bytes], bytes]) -> Fault:
    """Give what the model answered, changed."""

    async def fault(connection: Connection, served: Reply) -> None:
        await connection.send(Reply(served.status, change(served.body), served.content_type))

    return fault


def late(seconds: float) -> Fault:
    """Give the right answer after a while."""

    async def fault(connection: Connection, served: Reply) -> None:
        await connection.pause(seconds)
        await connection.send(served)

    return fault


def drips(seconds: float, *, headers: bool = False) -> Fault:
    """Give the right answer byte by byte, from the status line on or from the body on."""

    async def fault(connection: Connection, served: Reply) -> None:
        raw = served.encode()
        begin = 0 if headers else raw.index(b"\r\n\r\n") + 4
        await connection.write(raw[:begin])
        for index in range(begin, len(raw)):
            await connection.pause(seconds)
            await connection.write(raw[index : index + 1])

    return fault


async def stalls_after_headers(connection: Connection, served: Reply) -> None:
    """Promise a body and never send it."""
    raw = served.encode()
    await connection.write(raw[: raw.index(b"\r\n\r\n") + 4])
    await connection.until_closed()


async def stalls_in_error(connection: Connection, served: Reply) -> None:
    """Promise the body of an error and never send it."""
    raw = aws_error(500, "InternalFailure").encode()
    await connection.write(raw[: raw.index(b"\r\n\r\n") + 4])
    await connection.until_closed()


async def keeps_silent(connection: Connection, served: Reply) -> None:
    """Take the request and say nothing: a black hole."""
    await connection.until_closed()


async def truncates(connection: Connection, served: Reply) -> None:
    """Announce 100 bytes, send 4, and close."""
    await connection.write(Reply(200, b"0.12" + bytes(96), "text/csv").encode()[:-96])
    connection.close()


async def closes(connection: Connection, served: Reply) -> None:
    """Close without an answer."""
    connection.close()


async def answers_and_closes(connection: Connection, served: Reply) -> None:
    """Give the right answer, and close the connection without having said so."""
    await connection.send(served)
    connection.close()


async def resets(connection: Connection, served: Reply) -> None:
    """Break the connection off with an RST."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def floods(connection: Connection, served: Reply) -> None:
    """Send 50 MB, without saying so before."""
    await connection.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(50):
        await connection.write(b"100000\r\n" + b"1" * 0x100000 + b"\r\n")
    await connection.write(b"0\r\n\r\n")


def always(fault: Fault) -> Script:
    return lambda number: fault


def at(fault: Fault, *numbers: int) -> Script:
    """Meet the invocations of these numbers with `fault`."""
    return lambda number: fault if number in numbers else None


def for_seconds(fault: Fault, seconds: float) -> Script:
    """Meet invocations with `fault` for a while, from now on."""
    end = time.monotonic() + seconds
    return lambda number: fault if time.monotonic() < end else None


@dataclass
class Mixture:
    """Meets a share of the invocations with faults, by lot; the seed fixes the lots."""

    share: float
    faults: tuple[Fault, ...]
    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def __call__(self, number: int) -> Fault | None:
        return self._random.choice(self.faults) if self._random.random() < self.share else None
