"""Python processes of our own code, started as an operator would, with nothing of this process' environment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.repository import BUNDLE, ROOT, SOURCES

TIMEOUT_S = 30


def run_python(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python on our sources until it ends."""
    return subprocess.run(  # noqa: S603 - our own interpreter and arguments
        [sys.executable, *arguments],
        cwd=cwd or ROOT,
        env=environment_of(environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def environment_of(settings: dict[str, str]) -> dict[str, str]:
    """Return an environment in which ours is the only configuration."""
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(SOURCES), **settings}


@dataclass
class ServerProcess:
    """`ecs/server.py` while it runs; what it prints goes to files."""

    process: subprocess.Popen[bytes]
    port: int
    out: Path
    err: Path

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(by)
        return self.process.wait(TIMEOUT_S)


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[ServerProcess]:
    """Run the server in `folder` with the shipped bundle and these settings, until it can be reached."""
    port = int(settings.pop("PORT", free_port()))
    environment = environment_of({"MODEL_BUNDLE": str(BUNDLE), "PORT": str(port), **settings})
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        with no_signal_ignored():
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                [sys.executable, str(ROOT / "ecs" / "server.py")],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        try:
            wait_until_reachable(process, port, err)
            yield ServerProcess(process, port, out, err)
        finally:
            process.kill()
            process.wait()


@contextmanager
def no_signal_ignored() -> Iterator[None]:
    """Let what is started meanwhile hear SIGHUP and SIGINT, even if whoever started the tests has them ignored.

    `nohup` does it with the first, and a shell with the second, of what it starts in the background.
    """
    ignored = [each for each in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(each) is signal.SIG_IGN]
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    for each in ignored:
        signal.signal(each, signal.SIG_DFL)
    try:
        yield
    finally:
        for each in ignored:
            signal.signal(each, signal.SIG_IGN)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_reachable(process: subprocess.Popen[bytes], port: int, err: Path) -> None:
    """Return once the server can be reached; `err` is where it would say why it cannot."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, err.read_text()
            assert time.monotonic() < deadline, "the server cannot be reached"
            time.sleep(0.02)
        else:
            return
