"""The module that Lambda imports: nothing happens at import, everything once when the handler is looked up."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from core.errors import SettingsError
from handlers import api
from handlers.lambda_api import LambdaApi
from tests.processes import run_python
from tests.repository import BUNDLE

LOOK_UP = """
import handlers.api
assert "handler" not in vars(handlers.api)
first, second = handlers.api.handler, handlers.api.handler
assert first is second is vars(handlers.api)["handler"]
print(first({"warmup": True})["status"])
"""


def test_handler_is_built_once_by_the_environment() -> None:
    done = run_python("-c", LOOK_UP, API_KEY="k-1", MODEL_BUNDLE=str(BUNDLE))

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "warm"


def test_env_file_is_for_laptops_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AUTH_DISABLED=true\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError, match="API_KEY is not set"):
        api.build_handler()


def test_start_fails_with_the_sentence_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "k-1")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")

    with pytest.raises(SettingsError, match="LOG_LEVEL"):
        importlib.import_module("handlers.api").handler  # noqa: B018 - looking it up is the act


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'app'"):
        api.app  # noqa: B018


def test_handler_is_of_the_shipped_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "k-1")
    monkeypatch.setenv("MODEL_BUNDLE", str(BUNDLE))

    assert isinstance(api.build_handler(), LambdaApi)
