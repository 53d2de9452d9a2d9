"""Clients that keep their connections, and keep a server busy until it goes away."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.app_under_test import KEY

HEADERS = {"content-type": "application/json", "x-api-key": KEY}
TIMEOUT_S = 20


@dataclass
class Client:
    """One client's account of its requests."""

    answered: list[int] = field(default_factory=list)
    """The status of each reply that arrived in full."""
    lost: int = 0
    """Requests on a kept connection that got no reply: the server may have closed it at the same moment."""
    is_refused: bool = False
    """A new connection was not taken: not at all, or by Docker's proxy only, which then finds nobody behind it."""


class Load:
    """Clients that post `bodies` in turn until they are refused, or told to stop."""

    def __init__(self, port: int, bodies: dict[str, bytes]) -> None:
        self._port = port
        self._bodies = list(bodies.items())
        self._stopped = threading.Event()
        self.clients: list[Client] = []

    def stop(self) -> None:
        """Let each client finish the request that it has begun."""
        self._stopped.set()

    @property
    def n_answered(self) -> int:
        return sum(len(client.answered) for client in self.clients)

    def statuses(self) -> set[int]:
        return {status for client in self.clients for status in client.answered}

    @contextmanager
    def running(self, n_clients: int) -> Iterator[None]:
        """Let the clients run meanwhile; at the end, wait until all have stopped."""
        self.clients = [Client() for _ in range(n_clients)]
        threads = [threading.Thread(target=self._run, args=(client, n)) for n, client in enumerate(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join(2 * TIMEOUT_S)
            assert not any(thread.is_alive() for thread in threads), "a client got stuck"

    def wait_for_answers(self, n: int) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while self.n_answered < n:
            assert time.monotonic() < deadline, f"{self.n_answered} replies"
            time.sleep(0.02)

    def _run(self, client: Client, number: int) -> None:
        while not (client.is_refused or self._stopped.is_set()):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
            try:
                connection.connect()
            except OSError:
                client.is_refused = True
            else:
                self._post_until_closed(client, connection, number)
            finally:
                connection.close()

    def _post_until_closed(self, client: Client, connection: http.client.HTTPConnection, number: int) -> None:
        is_fresh = True
        while not self._stopped.is_set():
            path, body = self._bodies[(number + len(client.answered)) % len(self._bodies)]
            try:
                connection.request("POST", path, body, HEADERS)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                client.is_refused = is_fresh
                client.lost += not is_fresh
                return
            client.answered.append(response.status)
            if response.will_close:
                return
            is_fresh = False
