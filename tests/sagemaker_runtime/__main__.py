"""`python -m tests.sagemaker_runtime`: serve the model of a bundle until standard input ends or Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.bundle import load_bundle
from sagemaker.package_model import DEFAULT_BUNDLE, package_model
from tests.sagemaker_runtime.container import Container
from tests.sagemaker_runtime.server import ENDPOINT, REGION, Runtime, serving


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--endpoint", default=ENDPOINT)
    parser.add_argument("--region", default=REGION)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    container = Container(package_model(load_bundle(options.bundle)))
    runtime = Runtime({(options.region, options.endpoint): container}, latency_s=options.latency_ms / 1000)
    with serving(runtime, options.port):
        print(runtime.url, flush=True)  # noqa: T201 - whoever started it reads this line
        try:
            sys.stdin.read()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
