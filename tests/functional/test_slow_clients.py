"""Slow and broken clients, on real sockets: each is ended in time, in the one form of errors, and nobody else waits."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ecs.http_protocol import MAX_HEAD_BYTES
from tests.app_under_test import KEY
from tests.contract.case import KEY_HEADER, predict
from tests.contract.exchange import Reply, Request
from tests.contract.rows import shipped_rows
from tests.contract.transports import Socket, read_reply
from tests.processes import ServerProcess, serving

BODY = json.dumps(shipped_rows().fraud).encode()
HEAD = (
    b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"x-api-key: " + KEY.encode() + b"\r\ncontent-length: %d\r\n\r\n"
)
HEAD_TIMEOUT_S, BODY_TIMEOUT_S = 1.5, 2.5
PATIENCE_S = 3.0
"""What a busy machine may add to a deadline."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    timeouts = {"HEAD_TIMEOUT_S": str(HEAD_TIMEOUT_S), "BODY_TIMEOUT_S": str(BODY_TIMEOUT_S)}
    with serving(tmp_path_factory.mktemp("server"), API_KEY=KEY, **timeouts) as running:
        yield running


def connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 30)


def drip(connection: socket.socket, parts: Iterator[bytes], every_s: float) -> float:
    """Send part after part until the server hangs up or the parts end; return the seconds that took."""
    begun = time.monotonic()
    connection.settimeout(every_s)
    for part in parts:
        try:
            connection.sendall(part)
            if connection.recv(1, socket.MSG_PEEK) is not None:  # a reply, or the end
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun


def problem_on(connection: socket.socket, status: int, code: str) -> Reply:
    connection.settimeout(30)
    reply = read_reply(connection, "POST")
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert reply.header("content-type") == "application/problem+json"
    assert reply.header("connection") == "close"
    assert reply.header("x-request-id") == reply.json()["request_id"]
    assert reply.header("x-model-version")
    assert connection.recv(1) == b""
    return reply


def bytes_of(text: bytes) -> Iterator[bytes]:
    return (bytes([byte]) for byte in text)


@pytest.mark.timed
@pytest.mark.parametrize(
    "text", [b"GET /health HTTP/1.1\r\nx: " + b"y" * 1000, b"\r\n" * 1000], ids=["headers", "blank-lines"]
)
def test_head_that_trickles_in_is_ended_in_time(server: ServerProcess, text: bytes) -> None:
    with connect(server) as connection:
        took = drip(connection, bytes_of(text), 0.25)
        assert HEAD_TIMEOUT_S - 1 < took < HEAD_TIMEOUT_S + PATIENCE_S
        problem_on(connection, 408, "request_timeout")


@pytest.mark.timed
def test_body_that_trickles_in_is_ended_in_time(server: ServerProcess) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD % len(BODY))
        took = drip(connection, bytes_of(BODY), 0.25)
        assert BODY_TIMEOUT_S - 1 < took < BODY_TIMEOUT_S + PATIENCE_S
        problem_on(connection, 408, "request_timeout")


@pytest.mark.timed
def test_body_that_nobody_waits_for_is_ended_in_time_too(server: ServerProcess) -> None:
    """The reply, 401, is there at once; what still trickles in must not hold the connection."""
    with connect(server) as connection:
        connection.sendall((HEAD % 1000).replace(KEY.encode(), b"wrong"))
        assert read_reply(connection, "POST").status == 401
        begun = time.monotonic()
        connection.settimeout(0.25)
        while time.monotonic() - begun < BODY_TIMEOUT_S + PATIENCE_S:
            try:
                connection.sendall(b"x")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begun < BODY_TIMEOUT_S + PATIENCE_S


def test_request_in_many_pieces_is_answered(server: ServerProcess) -> None:
    text = HEAD % len(BODY) + BODY
    with connect(server) as connection:
        for start in range(0, len(text), 40):
            connection.sendall(text[start : start + 40])
            time.sleep(0.002)
        assert read_reply(connection, "POST").json()["decision"] == "decline"


@pytest.mark.parametrize(
    "text",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nbad header: 1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
        b"POST /predict HTTP/1.1\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /predict HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
    ids=["words", "version", "header-name", "tls", "length-of-5000-digits", "two-lengths"],
)
def test_what_is_no_http_is_a_problem_with_a_request_id(server: ServerProcess, text: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(text)
        problem_on(connection, 400, "bad_request")


def test_chunks_that_cannot_be_read_are_a_problem_with_a_request_id(server: ServerProcess) -> None:
    head = HEAD.replace(b"content-length: %d", b"x-request-id: abc\r\ntransfer-encoding: chunked")
    with connect(server) as connection:
        connection.sendall(head + b"5\r\n{    \r\n")
        time.sleep(0.1)
        connection.sendall(b"this is no length\r\n")
        assert problem_on(connection, 400, "bad_request").header("x-request-id") == "abc"


@pytest.mark.parametrize("in_pieces", [False, True], ids=["at-once", "in-pieces"])
@pytest.mark.parametrize("size", [MAX_HEAD_BYTES + 1, 1_000_000])
def test_head_that_is_too_large_is_refused(server: ServerProcess, size: int, in_pieces: bool) -> None:
    text = (
        b"GET /health HTTP/1.1\r\n"
        + b"".join(b"x-%06d: %s\r\n" % (i, b"y" * 1000) for i in range(size // 1000 + 1))
        + b"\r\n"
    )
    with connect(server) as connection:
        try:
            for start in range(0, len(text), 4000 if in_pieces else len(text)):
                connection.sendall(text[start : start + (4000 if in_pieces else len(text))])
        except OSError:
            return  # refused before all was sent: the reply was lost with the rest
        try:
            problem_on(connection, 431, "headers_too_large")
        except ConnectionResetError:
            assert in_pieces or size > MAX_HEAD_BYTES + 1  # what came after was not read


def test_head_below_the_limit_and_a_large_body_are_read(server: ServerProcess) -> None:
    padding = tuple((b"x-%d" % i, b"y" * 1000) for i in range(MAX_HEAD_BYTES // 1000 - 2))
    assert Socket(server.port).send(Request("GET", "/health", padding)).status == 200
    assert Socket(server.port).send(predict(BODY.ljust(65_536))).status == 200


def test_answer_of_an_earlier_request_is_not_lost_to_a_broken_later_one(server: ServerProcess) -> None:
    with connect(server) as connection:
        connection.sendall(HEAD % len(BODY) + BODY + b"NONSENSE\r\n\r\n")
        assert read_reply(connection, "POST").status == 200


def test_connection_kept_open_outlasts_the_deadlines_of_requests(server: ServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    for _ in range(2):
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b'{"status":"ok"}'
        kept = connection.sock
        time.sleep(HEAD_TIMEOUT_S + 0.5)
        assert connection.sock is kept
    connection.close()


@pytest.mark.timed
def test_honest_clients_are_served_while_many_are_slow(server: ServerProcess) -> None:
    """The full figure, 2 000 slow sockets and more, is among the soak tests."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(server)) for _ in range(200)]
        for connection in slow[:150]:
            connection.sendall(b"GET /model HT")
        for connection in slow[150:]:
            connection.sendall(HEAD % 1000 + b"{")
        begun = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: Socket(server.port).send(predict(BODY)).status, range(400)))
        assert statuses == [200] * 400
        for connection in slow:
            problem_on(connection, 408, "request_timeout")
        assert time.monotonic() - begun < HEAD_TIMEOUT_S + BODY_TIMEOUT_S + PATIENCE_S


def test_what_the_server_refused_is_logged_and_counted(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEY=KEY) as server:
        with connect(server) as connection:
            connection.sendall(b"NONSENSE zzqx4111111111111111\r\n\r\n")
            problem_on(connection, 400, "bad_request")
        Socket(server.port).send(Request("GET", "/model", (KEY_HEADER,)))
        assert server.stop() == 0
        out = server.out.read_text()
    lines = [json.loads(line) for line in out.splitlines()]
    # Not by digits alone: the milliseconds of a time stamp may be any.
    assert "zzqx" not in out
    assert "4111111111111111" not in out
    assert [line["error_code"] for line in lines if line.get("status") == 400] == ["bad_request"]
    assert sum(sum(line["Requests"]) for line in lines if "Requests" in line) == 2
    assert sum(sum(line["ClientErrors"]) for line in lines if "ClientErrors" in line) == 1
