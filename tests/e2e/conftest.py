"""What the end-to-end tests share."""

from __future__ import annotations

import pytest

from tests.e2e.containers import IMAGE, build_image, engine_answers
from tests.e2e.needs import need


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers."""
    need(engine_answers(), "a Docker engine")


@pytest.fixture(scope="session")
def image(engine: None) -> str:
    """The image of the service, built from the work tree."""
    build_image()
    return IMAGE
