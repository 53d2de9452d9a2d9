"""Answers requests turn after turn of the event loop, without sockets, for `instructions.py` to count what it takes."""

from __future__ import annotations

import gc
import sys

import uvloop

from benchmarks.in_process import KEY, silent_app
from benchmarks.peers import echo
from tests.one_turn import Connections, request_for
from tests.repository import ROOT


async def answer(name: str, n_connections: int, n_turns: int) -> None:
    """Let each of the connections ask once in each turn; every reply must be a 200."""
    app = echo.app if name == "echo" else silent_app()[0]
    headers = f"x-api-key: {KEY.decode()}", "content-type: application/json"
    body = (ROOT / "events" / "predict_fraud.json").read_bytes()
    requests = [request_for("/predict", *headers, body=body)] * n_connections
    connections = Connections(app, n_connections)
    gc.disable()
    for _ in range(n_turns):
        replies = await connections.ask(*requests)
        assert all(pieces[0].startswith(b"HTTP/1.1 200 ") for pieces in replies), replies
    connections.close()


if __name__ == "__main__":
    uvloop.run(answer(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
