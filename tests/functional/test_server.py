"""`ecs/server.py` as a process: it starts with one command, refuses in one line, and stops without losing work."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.app_under_test import KEY
from tests.contract.case import KEY_HEADER
from tests.contract.exchange import Reply, Request
from tests.contract.rows import shipped_rows
from tests.contract.transports import Socket, read_reply
from tests.processes import environment_of, free_port, run_python, serving, wait_until_reachable
from tests.repository import BUNDLE, ROOT
from tests.tiny_bundle import write_tiny_bundle

SERVER = str(ROOT / "ecs" / "server.py")
BODY = json.dumps(shipped_rows().fraud).encode()
READY, HEALTH = Request("GET", "/health/ready"), Request("GET", "/health")


class RequestInFlight:
    """A /predict whose body is only half sent: by its `100 Continue` the server said that it waits for the rest."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), 20)
        head = [
            b"POST /predict HTTP/1.1",
            b"host: localhost",
            b"content-type: application/json",
            b"x-api-key: " + KEY.encode(),
            b"expect: 100-continue",
            b"content-length: %d" % len(BODY),
        ]
        self._connection.sendall(b"\r\n".join([*head, b"", b""]))
        assert self._connection.recv(100).startswith(b"HTTP/1.1 100")
        self._connection.sendall(BODY[:100])

    def close(self) -> None:
        self._connection.close()

    def finish(self) -> Reply:
        self._connection.sendall(BODY[100:])
        with self._connection:
            return read_reply(self._connection, "POST")


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_the_request_in_flight_finish_and_exits_with_0(tmp_path: Path, by: signal.Signals) -> None:
    with serving(tmp_path, API_KEY=KEY) as server:
        in_flight = RequestInFlight(server.port)
        server.process.send_signal(by)
        wait_until_refused(server.port)

        reply = in_flight.finish()

        assert (reply.status, reply.json()["decision"]) == (200, "decline")
        assert server.process.wait(20) == 0
        assert server.err.read_text() == ""


def wait_until_refused(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    raise AssertionError("the server still takes connections")


def test_signal_with_drain_reports_not_ready_while_it_goes_on_serving(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEY=KEY, DRAIN_SECONDS="1.5") as server:
        ask = Socket(server.port).send
        assert ask(READY).status == 200
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)

        ready, health = ask(READY), ask(HEALTH)
        predicted = ask(Request("POST", "/predict", (KEY_HEADER, (b"content-type", b"application/json")), BODY))

        assert (ready.status, ready.json()["code"]) == (503, "shutting_down")
        assert (health.status, predicted.status) == (200, 200)
        assert server.process.wait(20) == 0


def test_second_signal_does_not_wait_for_the_drain(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEY=KEY, DRAIN_SECONDS="30") as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        started = time.monotonic()

        assert server.stop() == 0

        assert time.monotonic() - started < 5


def test_second_signal_cuts_off_what_is_in_flight_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEY=KEY) as server, ExitStack() as in_flight:
        for _ in range(3):
            in_flight.enter_context(closing(RequestInFlight(server.port)))
        server.process.send_signal(signal.SIGTERM)
        wait_until_refused(server.port)
        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(20) == 1
        assert server.err.read_text() == ""


@pytest.mark.timed
def test_request_that_outlasts_the_wait_for_it_is_cut_off_and_the_exit_code_says_so(tmp_path: Path) -> None:
    with (
        serving(tmp_path, API_KEY=KEY, BODY_TIMEOUT_S="120") as server,
        closing(RequestInFlight(server.port)),
    ):
        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(40) == 1


def test_server_whose_stdout_is_gone_answers_and_stops_as_always(tmp_path: Path) -> None:
    port, err = free_port(), tmp_path / "stderr"
    environment = environment_of({"MODEL_BUNDLE": str(BUNDLE), "API_KEY": KEY, "PORT": str(port)})
    with (
        err.open("wb") as stderr,
        subprocess.Popen(  # noqa: S603 - our own server
            [sys.executable, SERVER], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=stderr
        ) as process,
    ):
        wait_until_reachable(process, port, err)
        assert process.stdout is not None
        process.stdout.close()
        ask = Socket(port).send
        asked = Request("POST", "/predict", (KEY_HEADER, (b"content-type", b"application/json")), BODY)

        assert [ask(asked).status for _ in range(3)] == [200, 200, 200]

        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_reply_does_not_name_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEY=KEY) as server:
        assert Socket(server.port).send(HEALTH).header("server") is None


def refused(tmp_path: Path, **settings: str) -> str:
    """Start a server that must not start; return the one line that it leaves."""
    settings = {"API_KEY": KEY, "MODEL_BUNDLE": str(BUNDLE), "PORT": str(free_port()), **settings}
    done = run_python(SERVER, cwd=tmp_path, **settings)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("fraud-scoring: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    return done.stderr


def test_start_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        line = refused(tmp_path, PORT=port)

    assert f"cannot listen on 127.0.0.1:{port} (Address already in use): set PORT or HOST" in line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"MODEL_BUNDLE": "no/such"}, "no model bundle at no/such (No such file or directory); set MODEL_BUNDLE"),
        ({"MODEL_BUNDLE_SHA256": "0" * 64}, "this is not the bundle that MODEL_BUNDLE_SHA256 names"),
        ({"API_KEY": ""}, "API_KEY is not set"),
        ({"PORT": "eighty"}, "PORT: input should be a valid integer"),
        ({"HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1:"),
        ({"HOST": "a host"}, "HOST: string should match pattern"),
        ({"LOG_LEVEL": "chatty", "DOCS": "maybe"}, "LOG_LEVEL: input should be 'DEBUG'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_start_wrong_setting_is_one_line(tmp_path: Path, settings: dict[str, str], expected: str) -> None:
    assert expected in refused(tmp_path, **settings)


def test_start_unknown_setting_in_the_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_KEYS=4111-1111\n")

    line = refused(tmp_path)

    assert "API_KEYS: unknown setting in the .env file; did you mean API_KEY?" in line
    assert "4111" not in line


@pytest.mark.parametrize("onnx", [b"garbage", b"\x08\x09" + b"\x3a\xff" * 50])
def test_start_model_that_cannot_be_loaded_is_one_line(tmp_path: Path, onnx: bytes) -> None:
    write_tiny_bundle(tmp_path / "bundle", onnx=onnx)

    line = refused(tmp_path, MODEL_BUNDLE=str(tmp_path / "bundle"))

    assert "ONNX Runtime cannot load model.onnx" in line


def test_start_damaged_bundle_is_one_line(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    with (tmp_path / "bundle" / "golden.json").open("ab") as file:
        file.write(b" ")

    assert "golden.json does not match its sha256" in refused(tmp_path, MODEL_BUNDLE=str(tmp_path / "bundle"))


def test_start_reads_the_file_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_KEY=from-the-file\n")
    with serving(tmp_path) as server:
        reply = Socket(server.port).send(Request("GET", "/model", ((b"x-api-key", b"from-the-file"),)))
        assert reply.status == 200
        assert {path.name for path in tmp_path.iterdir()} == {".env", "stdout", "stderr"}  # nothing else is written
