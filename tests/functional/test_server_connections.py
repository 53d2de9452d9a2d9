"""Connections that a client keeps: held for as long as a load balancer needs, and given up before the server closes."""

from __future__ import annotations

import http.client
import signal
import time
from contextlib import closing
from pathlib import Path

from tests.app_under_test import KEY
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
