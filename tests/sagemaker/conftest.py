"""An endpoint to call, and the environment in which boto3 finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.bundle import Bundle
from core.observability import EventLog
from core.scoring.sagemaker import Pace, SageMakerScorer
from core.scoring.sagemaker_client import EndpointOptions
from sagemaker.package_model import package_model
from tests.sagemaker_runtime.container import Container
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime, serving

MakeScorer = Callable[..., SageMakerScorer]


@pytest.fixture(scope="session")
def container(creditcard: Bundle) -> Container:
    """The container with the shipped model."""
    return Container(package_model(creditcard))


@pytest.fixture
def runtime(container: Container, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A healthy endpoint that hosts the shipped model."""
    with serving(Runtime({(REGION, ENDPOINT): container})) as served:
        point_boto3_at(served, monkeypatch)
        yield served


def point_boto3_at(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 find the runtime and made-up credentials, and nothing of the developer's."""
    for name, value in environment_for(runtime).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


def environment_for(runtime: Runtime) -> dict[str, str]:
    """Return the variables by which boto3 finds the runtime and made-up credentials."""
    return {
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": runtime.url,
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def make_scorer(runtime: Runtime, creditcard: Bundle) -> Iterator[MakeScorer]:
    """Return a function that makes scorers of the endpoint; arguments are those of `Pace`."""
    made: list[SageMakerScorer] = []

    def make(*, bundle: Bundle = creditcard, endpoint: dict[str, Any] | None = None, **pace: Any) -> SageMakerScorer:
        options = EndpointOptions(**{"name": ENDPOINT, "region": REGION, **(endpoint or {})})
        made.append(SageMakerScorer(bundle, options, Pace(**pace), EventLog("WARNING")))
        return made[-1]

    yield make
    for scorer in made:
        scorer.close()
