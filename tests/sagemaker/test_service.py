"""The service on an endpoint: readiness, the fallback, the log line, and how settings choose it all."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.api.app import create_app
from core.bootstrap import build_app, build_service
from core.bundle import Bundle
from core.errors import SettingsError
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from core.settings import Settings, load_settings
from sagemaker.package_model import package_model
from tests.app_under_test import settings_of_tests
from tests.contract.case import batch, json_batch, predict
from tests.contract.exchange import Request
from tests.contract.transports import InProcess
from tests.repository import BUNDLE, SOURCES
from tests.sagemaker.conftest import MakeScorer
from tests.sagemaker.other_models import booster_of_noise, bundle_with
from tests.sagemaker_runtime import faults
from tests.sagemaker_runtime.container import Container
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime

READY = Request("GET", "/health/ready")


def on_endpoint(**changes: Any) -> Settings:
    return settings_of_tests(sagemaker_endpoint=ENDPOINT, aws_region=REGION, **changes)


def transaction(bundle: Bundle, index: int = 0) -> str:
    return json.dumps({"transaction_id": "t-1", **bundle.golden.transactions[index]})


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# Readiness


def test_process_is_ready_once_the_endpoint_gave_the_golden_scores(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    app = create_app(ScoringService(creditcard, make_scorer()), settings_of_tests())
    with InProcess.open(app) as transport:
        runtime.script = faults.always(faults.UNAVAILABLE)
        assert transport.send(READY).json()["code"] == "upstream_unavailable"
        runtime.forget()
        assert transport.send(READY).status == 200
        assert runtime.rows == [len(creditcard.golden.raw_scores)]
        runtime.script = faults.always(faults.UNAVAILABLE)
        assert transport.send(READY).status == 200, "a fault of the endpoint takes no process out of service"


def test_process_is_not_ready_for_an_endpoint_with_another_model(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    other = bundle_with(creditcard, booster_of_noise(creditcard.preprocessor.n_features))
    runtime.containers[REGION, ENDPOINT] = Container(package_model(other))
    app = create_app(ScoringService(creditcard, make_scorer()), settings_of_tests())

    with InProcess.open(app) as transport:
        reply = transport.send(READY)

    assert (reply.status, reply.json()["code"]) == (503, "endpoint_misconfigured")
    assert "another model" in reply.json()["detail"]


# Fallback


def test_fallback_answers_for_an_endpoint_that_is_down_and_says_so(
    creditcard: Bundle,
    make_scorer: MakeScorer,
    runtime: Runtime,
    event_lines: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = ScoringService(creditcard, make_scorer(), EmbeddedScorer(creditcard))
    app = create_app(service, settings_of_tests(log_level="INFO"))
    runtime.script = faults.always(faults.UNAVAILABLE)

    with InProcess.open(app) as transport:
        one = transport.send(predict(transaction(creditcard))).json()
        many = transport.send(batch(json_batch([transaction(creditcard, n) for n in range(7)]))).json()
        assert transport.send(READY).status == 200
    requests = [line for line in lines(event_lines.getvalue()) if line["message"] == "request"]
    capsys.readouterr()
    app.state.metrics.flush()
    sums = lines(capsys.readouterr().out)

    assert one["degraded"] is True
    assert one["fraud_score"] == pytest.approx(creditcard.golden.fraud_scores[0], abs=1e-6)
    assert [each["degraded"] for each in many["predictions"]] == [True] * 7
    assert [(line["degraded"], line["error_code"], line["status"]) for line in requests] == [
        (True, "upstream_unavailable", 200)
    ] * 2
    assert [line["DegradedTransactions"] for line in sums if "DegradedTransactions" in line] == [[8.0]]
    assert [line["ScorerErrors"] for line in sums if "ScorerErrors" in line] == [[2.0]]


def test_answer_of_the_endpoint_itself_is_not_called_degraded(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, event_lines: io.StringIO
) -> None:
    service = ScoringService(creditcard, make_scorer(), EmbeddedScorer(creditcard))
    app = create_app(service, settings_of_tests(log_level="INFO"))

    with InProcess.open(app) as transport:
        reply = transport.send(predict(transaction(creditcard))).json()
        transport.send(batch(json_batch([transaction(creditcard, n) for n in range(7)])))
    logged = [line for line in lines(event_lines.getvalue()) if line["message"] == "request"]

    assert set(reply) == {"transaction_id", "fraud_score", "decision", "model_version"}
    assert [(line["scorer"], line["variant"]) for line in logged] == [("sagemaker", "AllTraffic")] * 2
    assert not any("degraded" in line for line in logged)


# Settings


def test_endpoint_in_the_settings_chooses_the_endpoint(runtime: Runtime, creditcard: Bundle) -> None:
    service = build_service(on_endpoint())
    assert service.scorer.name == "sagemaker"
    with InProcess.open(build_app(on_endpoint())) as transport:
        reply = transport.send(predict(transaction(creditcard)))
    assert reply.json()["fraud_score"] == pytest.approx(creditcard.golden.fraud_scores[0], abs=1e-6)
    assert runtime.hits == 1


def test_settings_choose_scorer_and_fallback(runtime: Runtime, creditcard: Bundle) -> None:
    assert build_service(settings_of_tests()).scorer.name == "embedded"
    assert build_service(on_endpoint(scorer="embedded")).scorer.name == "embedded"
    runtime.script = faults.always(faults.UNAVAILABLE)
    with InProcess.open(build_app(on_endpoint(scorer_fallback="embedded"))) as transport:
        assert transport.send(predict(transaction(creditcard))).json()["degraded"] is True


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"SCORER": "sagemaker"}, ["SAGEMAKER_ENDPOINT", "SCORER"]),
        ({"SCORER_FALLBACK": "embedded"}, ["SCORER_FALLBACK", "SAGEMAKER_ENDPOINT"]),
        ({"SAGEMAKER_TARGET_VARIANT": "blue"}, ["SAGEMAKER_TARGET_VARIANT", "SAGEMAKER_ENDPOINT"]),
        ({"SAGEMAKER_INFERENCE_COMPONENT": "a"}, ["SAGEMAKER_INFERENCE_COMPONENT", "SAGEMAKER_ENDPOINT"]),
        ({"SAGEMAKER_ENDPOINT": "-fraud"}, ["SAGEMAKER_ENDPOINT"]),
        ({"SAGEMAKER_ENDPOINT": "f" * 64}, ["SAGEMAKER_ENDPOINT"]),
        ({"AWS_REGION": "virginia"}, ["AWS_REGION"]),
        ({"SAGEMAKER_DEADLINE_S": "0"}, ["SAGEMAKER_DEADLINE_S"]),
    ],
)
def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: list[str]
) -> None:
    for name, value in {"AUTH_DISABLED": "true", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(None)
    assert all(name in str(caught.value) for name in named)


def test_region_comes_from_the_env_file_and_other_aws_settings_in_it_are_not_ours(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("AUTH_DISABLED=true\nAWS_REGION=eu-west-1\nAWS_ACCESS_KEY_ID=AKIATEST\n")
    assert load_settings(env_file).aws_region == "eu-west-1"


def test_no_region_anywhere_is_said_at_the_start(runtime: Runtime) -> None:
    with pytest.raises(SettingsError, match="AWS_REGION"):
        build_service(settings_of_tests(sagemaker_endpoint=ENDPOINT))


def test_model_of_one_feature_is_refused_at_the_start(creditcard: Bundle, make_scorer: MakeScorer) -> None:
    first = creditcard.manifest.features[:1]
    narrow = replace(creditcard, manifest=creditcard.manifest.model_copy(update={"features": first}))
    with pytest.raises(SettingsError, match="single feature"):
        make_scorer(bundle=narrow)


@pytest.mark.parametrize(
    ("scorer", "unused"), [("embedded", "boto3"), ("embedded", "pyresilience"), ("sagemaker", "onnxruntime")]
)
def test_service_loads_only_what_its_scorer_needs(runtime: Runtime, scorer: str, unused: str) -> None:
    code = (
        "import sys; from core.bootstrap import build_service; from core.settings import Settings;"
        f"build_service(Settings(_env_file=None, auth_disabled=True, model_bundle={str(BUNDLE)!r}, scorer={scorer!r},"
        f" sagemaker_endpoint='fraud', aws_region='us-east-1'));"
        f"sys.exit({unused!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(SOURCES)})  # noqa: S603
