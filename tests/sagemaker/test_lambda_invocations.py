"""The function over an endpoint: between invocations Lambda freezes it, and its pooled connections die (T44)."""

from __future__ import annotations

import json
import time
from contextlib import closing

from core.bootstrap import build_app
from core.bundle import Bundle
from handlers.lambda_api import LambdaApi
from scripts.lambda_events import KEY, lambda_events
from tests.app_under_test import settings_of_tests
from tests.sagemaker_runtime import faults
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime

INVOCATIONS = 200
LONGEST_S = 1.0


def test_connections_that_died_between_invocations_are_not_the_callers_concern(
    runtime: Runtime, creditcard: Bundle
) -> None:
    event = lambda_events()["api_rest_predict_fraud.json"]
    settings = settings_of_tests(api_key=KEY, sagemaker_endpoint=ENDPOINT, aws_region=REGION)
    runtime.script = faults.always(faults.answers_and_closes)
    taken = []

    with closing(LambdaApi(build_app(settings))) as handler:
        answers = []
        for _ in range(INVOCATIONS):
            begun = time.perf_counter()
            answers.append(handler(event))
            taken.append(time.perf_counter() - begun)
            time.sleep(0.005)  # frozen; the endpoint closes meanwhile

    assert {answer["statusCode"] for answer in answers} == {200}
    assert {json.loads(answer["body"])["decision"] for answer in answers} == {"decline"}
    assert max(taken) < LONGEST_S
