"""`make run-sagemaker`: the API on this machine, scoring on a stand-in for a SageMaker endpoint; no AWS account needed.

The stand-in speaks the wire protocol of SageMaker Runtime and scores as the built-in XGBoost container does. It ends
with the API. Another endpoint in the environment is not called.
"""

from __future__ import annotations

import os
import subprocess
import sys

ENDPOINT = "fraud"
REGION = "us-east-1"


def main() -> None:
    """Start the stand-in, and become the API."""
    command = [sys.executable, "-m", "tests.sagemaker_runtime", "--endpoint", ENDPOINT, "--region", REGION]
    runtime = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    if runtime.stdin is None or runtime.stdout is None:
        raise AssertionError("both are pipes")
    url = runtime.stdout.readline().strip()
    if not url:
        sys.exit(runtime.wait())
    print(f"stand-in for SageMaker Runtime: {url}, endpoint {ENDPOINT}", flush=True)
    # The runtime ends when this pipe closes, which is when the process that this one becomes ends.
    os.set_inheritable(runtime.stdin.fileno(), True)
    addressed = {
        "SAGEMAKER_ENDPOINT": ENDPOINT,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
        "AWS_ACCESS_KEY_ID": "stand-in",
        "AWS_SECRET_ACCESS_KEY": "stand-in",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in ("AWS_PROFILE", "AWS_SESSION_TOKEN")}
    os.execve(sys.executable, [sys.executable, "ecs/local.py"], {**inherited, **addressed})  # noqa: S606


if __name__ == "__main__":
    main()
