"""`python -m core.doctor`: compares the endpoint with the bundle on the golden cases, and says what is wrong.

Exit code 0: the endpoint hosts the bundle's model. 1: it does not, or cannot be asked. 2: the settings or the bundle
are not usable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.bundle import GOLDEN_TOLERANCE, Bundle
from core.bundle_location import load_bundle_from
from core.errors import ScorerError, StartupError
from core.preprocessing import FeatureMatrix
from core.scoring.sagemaker import endpoint_options
from core.scoring.sagemaker_client import Answer, Endpoint, EndpointOptions, new_session
from core.scoring.sagemaker_connection import TimeLimits
from core.scoring.sagemaker_errors import InvocationError
from core.scoring.sagemaker_symptoms import Symptom, other_regions, symptom_of
from core.settings import load_settings

EXIT_SICK = 1
EXIT_CONFIGURATION = 2
_PATIENCE_S = 20.0
_CONNECT_TIMEOUT_S = 3.0
_REGIONS_AT_A_TIME = 8
_MAX_COLUMNS = 4096

_ADVICE = {
    Symptom.CREDENTIALS: "no credentials that AWS knows: set an AWS profile or a role, and check when they expire",
    Symptom.PERMISSION: "missing permission: allow sagemaker:InvokeEndpoint on the endpoint's ARN",
    Symptom.VARIANT: "it has no such variant or component: check SAGEMAKER_TARGET_VARIANT and "
    "SAGEMAKER_INFERENCE_COMPONENT",
    Symptom.UNREACHABLE: "nothing answers there: check AWS_REGION, the network and the proxy",
    Symptom.SLOW: f"no answer within {_PATIENCE_S:.0f} s",
    Symptom.NOT_READY: "the model is still being loaded: try again in a minute",
    Symptom.THROTTLED: "it refuses the present rate of calls: raise its concurrency",
    Symptom.MODEL_FAILED: "the container failed on rows of the right width: see its log",
    Symptom.OTHER: "the service refused the call",
}


def examine(options: EndpointOptions, bundle: Bundle) -> str | None:
    """Return what is wrong with the endpoint, in words; None: it answers as the bundle says.

    Raises
    ------
    SettingsError
        No client can be made.
    """
    options = replace(options, connect_timeout_s=_CONNECT_TIMEOUT_S)
    endpoint = Endpoint(options, max_calls=1)
    try:
        return _compare(endpoint, bundle)
    except InvocationError as error:
        return _explain(error, endpoint, options, bundle)
    except ScorerError as error:
        return f"other model: its answer is not one score for each row ({error})"
    finally:
        endpoint.close()


def _compare(endpoint: Endpoint, bundle: Bundle) -> str | None:
    scores = _ask(endpoint, bundle.golden_features()).scores
    is_wrong = ~(np.abs(scores - np.array(bundle.golden.raw_scores)) <= GOLDEN_TOLERANCE)
    if not is_wrong.any():
        return None
    # A model of more columns takes those that are missing for unknown, and scores all the same.
    return _other_width(endpoint, bundle) or (
        f"other model: {is_wrong.sum()} of {len(scores)} golden cases have another score than in {bundle.version}"
    )


def _ask(endpoint: Endpoint, features: FeatureMatrix) -> Answer:
    now = time.monotonic()
    return endpoint.invoke(features, TimeLimits(now + _PATIENCE_S, now + _PATIENCE_S))


def _explain(error: InvocationError, endpoint: Endpoint, options: EndpointOptions, bundle: Bundle) -> str:
    symptom = symptom_of(error)
    if symptom is Symptom.NO_ENDPOINT:
        return _where_it_is(endpoint.region, options, bundle)
    finding = _other_width(endpoint, bundle) if symptom is Symptom.MODEL_FAILED else None
    return finding or f"{_ADVICE[symptom]} ({error.reason})"


def _other_width(endpoint: Endpoint, bundle: Bundle) -> str | None:
    width, ours = _widest_accepted(endpoint, bundle), bundle.preprocessor.n_features
    if width in (None, ours):
        return None
    return f"other column count: its model takes {width} columns, that of {bundle.version} {ours}"


def _widest_accepted(endpoint: Endpoint, bundle: Bundle) -> int | None:
    """Return how many columns the endpoint's model takes: the container refuses rows that are wider, and only those."""
    row = bundle.golden_features()[:1]

    def accepts(width: int) -> bool:
        columns = np.resize(row, (1, width)) if width > row.shape[1] else row[:, :width]
        try:
            _ask(endpoint, columns.astype(np.float32))
        except InvocationError as error:
            if symptom_of(error) is Symptom.MODEL_FAILED:
                return False
            raise
        return True

    try:
        return _last_true(accepts, _MAX_COLUMNS)
    except (InvocationError, ScorerError):
        return None


def _last_true(holds: Callable[[int], bool], limit: int) -> int | None:
    """Return the largest number from 2 on for which `holds`, which does up to some number and not beyond."""
    low, high = 1, 2
    while high < limit and holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low if 1 < low < limit - 1 else None


def _where_it_is(region: str, options: EndpointOptions, bundle: Bundle) -> str:
    """Tell an endpoint of another region from one that is nowhere."""
    row, session = bundle.golden_features()[:1], new_session()

    def answers(endpoint: Endpoint) -> bool:
        try:
            _ask(endpoint, row)
        except InvocationError as error:
            return symptom_of(error) is Symptom.MODEL_FAILED
        except ScorerError:
            return True
        finally:
            endpoint.close()
        return True

    endpoints = [
        Endpoint(replace(options, region=other), max_calls=1, session=session) for other in other_regions(region)
    ]
    with ThreadPoolExecutor(_REGIONS_AT_A_TIME) as threads:
        answered = list(threads.map(answers, endpoints))
    found = [endpoint.region for endpoint, has_answered in zip(endpoints, answered, strict=True) if has_answered]
    if found:
        return f"wrong region: there is none of this name in {region}, but in {', '.join(found)}: set AWS_REGION"
    return f"no such endpoint in {region}, nor in any region that these credentials reach: check SAGEMAKER_ENDPOINT"


def main() -> int:
    """Print the finding; return the exit code."""
    try:
        settings = load_settings(Path(".env"), auth_disabled=True)  # it serves nobody, and needs no key
        bundle = load_bundle_from(settings.model_bundle, expected_digest=settings.model_bundle_sha256)
        options = endpoint_options(settings)
        finding = examine(options, bundle)
    except StartupError as error:
        sys.stderr.write(f"doctor: {error}\n")
        return EXIT_CONFIGURATION
    if finding is not None:
        sys.stdout.write(f"endpoint {options.name}: {finding}\n")
        return EXIT_SICK
    n_cases = len(bundle.golden.raw_scores)
    sys.stdout.write(f"endpoint {options.name}: hosts {bundle.version}; {n_cases} golden cases agree to 1e-6\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
