"""`make deploy-lambda`: what is missing is one clear line, before anything is built or created."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.repository import ROOT
from tests.tools import tool

TIMEOUT_S = 60
NOWHERE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
SOMEWHERE = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ([], {}, "ENV must be one of samconfig.toml: dev, prod"),
        (["staging"], {}, "ENV must be one of samconfig.toml: dev, prod"),
        (["default"], {}, "ENV must be one of samconfig.toml: dev, prod"),
        (["dev"], {}, "no AWS region: set AWS_REGION, or AWS_PROFILE to a profile that has one"),
        (["dev"], {"AWS_REGION": "eu-west-1"}, "no AWS credentials: set AWS_PROFILE, or sign in with the AWS CLI"),
        (
            ["prod"],
            {**SOMEWHERE, "AWS_ENDPOINT_URL": "http://localhost:1"},
            "AWS cannot be asked about the credentials (EndpointConnectionError)",
        ),
    ],
)
def test_what_is_missing_is_told_in_one_line(arguments: list[str], variables: dict[str, str], message: str) -> None:
    built = ROOT / ".aws-sam" / "build.toml"
    before = built.stat().st_mtime_ns if built.exists() else None

    done = subprocess.run(  # noqa: S603 - our own script
        [tool("sam") / "bin" / "python", ROOT / "scripts" / "deploy_lambda.py", *arguments],
        env={"PATH": os.environ["PATH"], **NOWHERE, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {message}\n")
    assert (built.stat().st_mtime_ns if built.exists() else None) == before
