"""Keys change under traffic: nobody who did right meets a 401, and who was revoked does within a minute."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.api import auth
from core.bootstrap import build_app
from core.settings import load_settings
from tests.contract.rows import shipped_rows
from tests.contract.transports import Socket
from tests.processes import run_python, serving
from tests.repository import BUNDLE, ROOT
from tests.traffic import Client

BODY = json.dumps(shipped_rows().fraud).encode()


def wait_until(condition: Callable[[], bool], within_s: float) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within_s, "it did not happen in time"
        time.sleep(within_s / 100)
    return time.monotonic() - begun


def status_of(port: int, key: str) -> int:
    client = Client(port, BODY, key)
    try:
        return client.ask().status
    finally:
        client.close()


def rotate(port: int, path: Path, n_rounds: int, *, within_s: float, down_s: float) -> list[float]:
    """Rotate the key of a client that goes on asking; return after how many seconds each old key was refused."""
    key, stop, statuses, revoked = "key-0", threading.Event(), [], []
    asking = Client(port, BODY, key)

    def ask_all_the_time() -> None:
        while not stop.wait(0.01):
            asking.headers["x-api-key"] = key
            statuses.append(asking.ask().status)

    thread = threading.Thread(target=ask_all_the_time)
    thread.start()
    try:
        for i in range(1, n_rounds + 1):
            old, new = key, f"key-{i}"
            path.write_text(f"{old}\n{new}\n")
            wait_until(lambda new=new: status_of(port, new) == 200, within_s)
            key = new
            time.sleep(0.1)  # the request under way still has the old one
            path.write_text(new)
            revoked.append(wait_until(lambda old=old: status_of(port, old) == 401, within_s))
        path.unlink()
        time.sleep(down_s)
        assert status_of(port, key) == 200
    finally:
        stop.set()
        thread.join()
        asking.close()
    assert len(statuses) > 20
    assert set(statuses) == {200}
    path.write_text("key-last")
    wait_until(lambda: status_of(port, "key-last") == 200, within_s)
    return revoked


def test_rotation_under_traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary form: keys are read anew every 0.3 s in place of 30."""
    monkeypatch.setattr(auth, "REFRESH_S", 0.3)
    monkeypatch.setattr(auth, "RETRY_S", 0.1)
    path = tmp_path / "keys"
    path.write_text("key-0")
    settings = load_settings(None, api_keys_file=path, model_bundle=BUNDLE, auth_failures_per_minute=0)
    with Socket.open_uvicorn(build_app(settings)) as opened:
        assert len(rotate(opened.port, path, 3, within_s=10, down_s=1)) == 3


@pytest.mark.soak
def test_rotation_at_its_real_pace(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("key-0")
    with serving(tmp_path, API_KEYS_FILE=str(path), AUTH_FAILURES_PER_MINUTE="0") as server:
        revoked = rotate(server.port, path, 10, within_s=60, down_s=300)
    print(f"10 rotations; an old key was refused after {min(revoked):.1f} to {max(revoked):.1f} s")
    assert len(revoked) == 10


def test_start_file_without_keys_is_one_line(tmp_path: Path) -> None:
    done = run_python(
        str(ROOT / "ecs" / "server.py"), cwd=tmp_path, API_KEYS_FILE="no-such-file", MODEL_BUNDLE=str(BUNDLE), PORT="0"
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fraud-scoring: API_KEYS_FILE: no-such-file cannot be read (FileNotFoundError)\n"
