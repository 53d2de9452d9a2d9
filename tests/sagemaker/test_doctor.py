"""The doctor names each misconfiguration that is seeded here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import xgboost as xgb

from core import doctor
from core.bundle import Bundle
from core.doctor import examine
from core.scoring.sagemaker_client import EndpointOptions
from sagemaker.package_model import package_model
from tests.processes import run_python
from tests.repository import BUNDLE
from tests.sagemaker.conftest import environment_for
from tests.sagemaker.other_models import booster_of_noise, bundle_with
from tests.sagemaker_runtime import faults
from tests.sagemaker_runtime.container import Container
from tests.sagemaker_runtime.server import DENIED_KEY, ENDPOINT, REGION, UNKNOWN_KEY, Runtime, serving

HEALTHY = EndpointOptions(ENDPOINT, REGION)


def host(runtime: Runtime, bundle: Bundle, booster: bytes) -> None:
    runtime.containers[REGION, ENDPOINT] = Container(package_model(bundle_with(bundle, booster)))


def test_endpoint_with_the_model_of_the_bundle_is_found_healthy(runtime: Runtime, creditcard: Bundle) -> None:
    assert examine(HEALTHY, creditcard) is None
    assert runtime.hits == 1


def test_other_model_is_named(runtime: Runtime, creditcard: Bundle) -> None:
    host(runtime, creditcard, booster_of_noise(creditcard.preprocessor.n_features))

    finding = examine(HEALTHY, creditcard)

    assert finding is not None
    assert finding.startswith("other model: ")
    assert creditcard.version in finding


@pytest.mark.parametrize("difference", [-7, -1, 1, 13])
def test_other_column_count_is_named_with_both_numbers(runtime: Runtime, creditcard: Bundle, difference: int) -> None:
    ours = creditcard.preprocessor.n_features
    host(runtime, creditcard, booster_of_noise(ours + difference))

    assert examine(HEALTHY, creditcard) == (
        f"other column count: its model takes {ours + difference} columns, that of {creditcard.version} {ours}"
    )


def test_regression_model_is_another_model(runtime: Runtime, creditcard: Bundle) -> None:
    generator = np.random.default_rng(1)
    n_features = creditcard.preprocessor.n_features
    matrix = xgb.DMatrix(generator.normal(size=(100, n_features)), generator.normal(100, 1, size=100))
    host(runtime, creditcard, bytes(xgb.train({"nthread": 1}, matrix, 2).save_raw("json")))

    assert "other model" in str(examine(HEALTHY, creditcard))


def test_wrong_region_is_named_with_the_right_one(runtime: Runtime, creditcard: Bundle) -> None:
    assert examine(EndpointOptions(ENDPOINT, "eu-west-1"), creditcard) == (
        "wrong region: there is none of this name in eu-west-1, but in us-east-1: set AWS_REGION"
    )


def test_missing_endpoint_is_named(runtime: Runtime, creditcard: Bundle) -> None:
    assert str(examine(EndpointOptions("fraud-2", REGION), creditcard)).startswith("no such endpoint in us-east-1")


@dataclass(frozen=True)
class Seed:
    """One misconfiguration: the environment that makes it, and words that name it."""

    environment: dict[str, str]
    words: tuple[str, ...]
    options: EndpointOptions = HEALTHY


SEEDS = {
    "no permission": Seed({"AWS_ACCESS_KEY_ID": DENIED_KEY}, ("missing permission", "sagemaker:InvokeEndpoint")),
    "unknown key": Seed({"AWS_ACCESS_KEY_ID": UNKNOWN_KEY}, ("no credentials that AWS knows",)),
    "no key": Seed({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, ("no credentials that AWS knows",)),
    "no variant": Seed({}, ("SAGEMAKER_TARGET_VARIANT",), EndpointOptions(ENDPOINT, REGION, target_variant="blue")),
}


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)
def test_seeded_misconfiguration_is_named(
    runtime: Runtime, creditcard: Bundle, monkeypatch: pytest.MonkeyPatch, seed: Seed
) -> None:
    for name, value in seed.environment.items():
        monkeypatch.setenv(name, value)

    finding = str(examine(seed.options, creditcard))

    assert all(word in finding for word in seed.words), finding


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.MODEL_ERROR, "the container failed"),
        (faults.NOT_READY, "still being loaded"),
        (faults.THROTTLED, "rate of calls"),
        (faults.INTERNAL_FAILURE, "InternalFailure"),
        (faults.closes, "nothing answers there"),
    ],
)
def test_failing_endpoint_is_described_without_quoting_it(
    runtime: Runtime, creditcard: Bundle, fault: faults.Fault, words: str
) -> None:
    runtime.script = faults.always(fault)

    finding = str(examine(HEALTHY, creditcard))

    assert words in finding
    assert "secret" not in finding


def test_address_where_nothing_listens_is_named(
    runtime: Runtime, creditcard: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Runtime({})) as stopped:
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", stopped.url)

    assert "nothing answers there" in str(examine(HEALTHY, creditcard))


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(runtime: Runtime) -> Run:
    """Return a function that runs the command in a process of its own; it gives exit code, output and errors."""

    def command(**settings: str) -> tuple[int, str, str]:
        done = run_python("-m", "core.doctor", MODEL_BUNDLE=str(BUNDLE), **environment_for(runtime), **settings)
        return done.returncode, done.stdout, done.stderr

    return command


def test_command_says_that_all_is_well(run: Run, creditcard: Bundle) -> None:
    n_cases = len(creditcard.golden.raw_scores)

    assert run(SAGEMAKER_ENDPOINT=ENDPOINT, AWS_REGION=REGION) == (
        0,
        f"endpoint {ENDPOINT}: hosts {creditcard.version}; {n_cases} golden cases agree to 1e-6\n",
        "",
    )


def test_command_names_the_fault_and_fails(run: Run) -> None:
    code, out, err = run(SAGEMAKER_ENDPOINT="fraud-2", AWS_REGION=REGION)
    assert (code, err) == (doctor.EXIT_SICK, "")
    assert out.startswith("endpoint fraud-2: no such endpoint")


def test_command_without_an_endpoint_says_what_to_set(run: Run) -> None:
    assert run() == (doctor.EXIT_CONFIGURATION, "", "doctor: SAGEMAKER_ENDPOINT is not set\n")
