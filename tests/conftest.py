"""What tests of every kind share."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_lambda_powertools import Logger
from hypothesis import HealthCheck, settings

from core.bundle import Bundle, load_bundle
from core.observability import SERVICE, EventLog, LineHandler
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from core.settings import Settings
from tests.repository import BUNDLE, ROOT
from tests.tiny_bundle import FIELDS, write_tiny_bundle

# The same examples on every run, however busy the machine is, and no folder for them.
settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the developer has configured out of the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session", autouse=True)
def log_of_the_session() -> None:
    """Let the log write to the session's output: the first `EventLog` takes it, and a test's own is closed after it."""
    EventLog("INFO")


@pytest.fixture(scope="session")
def creditcard() -> Bundle:
    """The shipped bundle."""
    return load_bundle(BUNDLE)


@pytest.fixture(scope="session")
def service(creditcard: Bundle) -> ScoringService:
    """The service of the shipped bundle, with its real model."""
    return ScoringService(creditcard, EmbeddedScorer(creditcard))


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the small bundle of another shape."""
    path = tmp_path_factory.mktemp("tiny")
    write_tiny_bundle(path)
    return path


@pytest.fixture(scope="session")
def tiny_optional(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small bundle, with one field that may be left out: 2.5 stands for it."""
    path = tmp_path_factory.mktemp("tiny-optional")
    write_tiny_bundle(path, fields=[{**FIELDS[0], "if_missing": 2.5}, *FIELDS[1:]])
    return load_bundle(path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what talks to an endpoint under deadlines: on a busy machine a deadline can pass by no fault of ours."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "sagemaker"):
            item.add_marker("timed")


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Bundle:
    """The small bundle of another shape."""
    return load_bundle(tiny_path)


@pytest.fixture
def event_lines() -> Iterator[io.StringIO]:
    """What the product's log writes meanwhile, through its own formatter."""
    EventLog("INFO")  # the handler is there from the first one on
    Logger(service=SERVICE).remove_keys(["cold_start", "function_request_id"])  # of a handler tested before
    logger = logging.getLogger(SERVICE)
    handler = LineHandler(io.StringIO())
    handler.setFormatter(logger.handlers[0].formatter)
    logger.addHandler(handler)
    yield handler.stream
    logger.removeHandler(handler)
