"""Connections that a client keeps: held for as long as a load balancer needs, and given up before the server closes."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import BinaryIO

import psutil

from ecs.http_protocol import MAX_PIPELINED
from tests.app_under_test import KEY
from tests.contract.rows import shipped_rows
from tests.processes import serving


def keeps_open(connection: http.client.HTTPConnection) -> bool:
    """Ask on the connection; tell whether the server would take another request on it."""
    connection.request("GET", "/health")
    response = connection.getresponse()
    assert response.read() == b'{"status":"ok"}'
    return not response.will_close


def test_draining_server_gives_up_the_connections_that_clients_keep(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEY=KEY, DRAIN_SECONDS="5") as server:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as connection:
            assert keeps_open(connection)
            kept = connection.sock
            assert keeps_open(connection)
            assert connection.sock is kept
            server.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 3
            while keeps_open(connection):
                assert time.monotonic() < deadline, "the server still keeps the connection"
                time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)  # once more: it need not wait
        assert server.process.wait(10) == 0


N_AT_ONCE, N_ROUNDS = 16, 20


def posted(transaction: dict[str, object]) -> bytes:
    body = json.dumps(transaction).encode()
    head = "POST /predict HTTP/1.1", "host: x", f"x-api-key: {KEY}", "content-type: application/json"
    return "\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode() + body


def test_client_that_has_sent_all_it_wants_to_gets_its_replies(tmp_path: Path) -> None:
    """It closes its own direction at once, and has company: its reply takes some turns of the loop more."""
    transaction = shipped_rows().fraud
    n_replies = 0
    with serving(tmp_path, API_KEY=KEY) as server:
        for _ in range(20):
            with ExitStack() as opened:
                address = "127.0.0.1", server.port
                connections = [opened.enter_context(socket.create_connection(address, 10)) for _ in range(12)]
                for connection in connections:
                    connection.sendall(posted(transaction) * 2)
                    connection.shutdown(socket.SHUT_WR)
                for connection in connections:
                    n_replies += opened.enter_context(connection.makefile("rb")).read().count(b'"fraud_score"')

    assert n_replies == 20 * 12 * 2


def test_flood_of_requests_on_one_connection_is_cut_off_and_costs_no_memory(tmp_path: Path) -> None:
    asked = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    with serving(tmp_path, API_KEY=KEY) as server:
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port), 10) as flood, suppress(ConnectionError):
                flood.sendall(asked * 20_000)
                n_replies = flood.makefile("rb").read().count(b'{"status":"ok"}')
                assert 1 <= n_replies <= MAX_PIPELINED + 1
        grown = process.memory_info().rss - before

        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as honest:
            assert keeps_open(honest)
    assert grown < 32 << 20


def test_as_many_requests_as_may_wait_on_one_connection_are_all_answered(tmp_path: Path) -> None:
    asked = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with (
        serving(tmp_path, API_KEY=KEY) as server,
        socket.create_connection(("127.0.0.1", server.port), 10) as connection,
    ):
        connection.sendall(asked * MAX_PIPELINED + last)
        replies = connection.makefile("rb").read()

    assert replies.count(b'{"status":"ok"}') == MAX_PIPELINED + 1


def read_prediction(replies: BinaryIO) -> tuple[str, float]:
    """Read one reply of those that come one behind the other: id and score."""
    assert replies.readline() == b"HTTP/1.1 200 OK\r\n"
    headers = dict(line.rstrip().split(b": ") for line in iter(replies.readline, b"\r\n"))
    prediction = json.loads(replies.read(int(headers[b"content-length"])))
    return prediction["transaction_id"], prediction["fraud_score"]


def test_replies_to_requests_of_one_moment_are_each_ones_own(tmp_path: Path) -> None:
    """They are scored by one call, leave at one moment, and every other of them is pipelined with the next."""
    rows = shipped_rows()
    n_right = 0
    with serving(tmp_path, API_KEY=KEY) as server, ExitStack() as opened:
        address = "127.0.0.1", server.port
        connections = [opened.enter_context(socket.create_connection(address, 10)) for _ in range(N_AT_ONCE)]
        replies = [opened.enter_context(connection.makefile("rb")) for connection in connections]
        for first in range(0, N_ROUNDS * N_AT_ONCE * 2, N_AT_ONCE * 2):
            pairs = [(n, n + 1) for n in range(first, first + N_AT_ONCE * 2, 2)]
            for connection, pair in zip(connections, pairs, strict=True):
                asked = [{"transaction_id": f"t-{n}", **rows.golden[n % len(rows.golden)]} for n in pair]
                connection.sendall(b"".join(map(posted, asked)))
            for reply, pair in zip(replies, pairs, strict=True):
                for n in pair:
                    assert read_prediction(reply) == (f"t-{n}", rows.fraud_scores[n % len(rows.golden)])
                    n_right += 1

    assert n_right == N_AT_ONCE * N_ROUNDS * 2
