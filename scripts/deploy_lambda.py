"""Build and deploy the Lambda stack of one environment of samconfig.toml, and print its URL and a request to paste.

Nothing is built or created before the environment, the region and the credentials were found good. Run by
`make deploy-lambda ENV=dev`, in the environment of the SAM CLI.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import tomlkit
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parent.parent
SAM = ROOT / ".tools" / "sam" / "bin" / "sam"
PYTHON = ROOT / ".venv" / "bin" / "python"


class DeployError(Exception):
    """Why nothing was deployed, in one line."""


def read_target(environment: str) -> dict[str, Any]:
    """Return what samconfig.toml says of deploying to `environment`."""
    config = tomlkit.parse((ROOT / "samconfig.toml").read_text(encoding="utf-8")).unwrap()
    targets = {
        name: commands["deploy"]["parameters"]
        for name, commands in config.items()
        if isinstance(commands, dict) and "deploy" in commands
    }
    if environment not in targets:
        raise DeployError(f"ENV must be one of samconfig.toml: {', '.join(targets)}")
    target: dict[str, Any] = targets[environment]
    return target


def check_account(session: boto3.Session) -> str:
    """Return the account that would be deployed to."""
    if session.region_name is None:
        raise DeployError("no AWS region: set AWS_REGION, or AWS_PROFILE to a profile that has one")
    if session.get_credentials() is None:
        raise DeployError("no AWS credentials: set AWS_PROFILE, or sign in with the AWS CLI")
    try:
        return str(session.client("sts").get_caller_identity()["Account"])
    except ClientError as error:
        raise DeployError(f"AWS refuses the credentials ({error.response['Error']['Code']})") from error
    except BotoCoreError as error:
        raise DeployError(f"AWS cannot be asked about the credentials ({type(error).__name__})") from error


def run(*command: str | Path, **variables: str) -> None:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise DeployError(f"{' '.join(map(str, command[:2]))} failed with exit code {done.returncode}")


def outputs_of(session: boto3.Session, stack: str) -> dict[str, str]:
    [found] = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def deploy(environment: str, *more: str) -> None:
    target = read_target(environment)
    # boto3 and the SAM CLI know the other name only.
    region = os.environ.get("AWS_REGION") or boto3.Session().region_name
    session = boto3.Session(region_name=region)
    account = check_account(session)
    stack = target["stack_name"]
    print(f"deploying {stack} to {region} of account {account}", flush=True)
    parameters = dict(pair.split("=", 1) for pair in target["parameter_overrides"])
    run(SAM, "build", "--config-env", environment, LAMBDA_ARCHITECTURE=parameters["Architecture"])
    run(PYTHON, "layers/sizes.py")
    run(SAM, "deploy", "--config-env", environment, *more, AWS_DEFAULT_REGION=str(region))
    outputs = outputs_of(session, stack)
    print(f"\nURL   {outputs.get('Url', '')}\nkeys  {outputs.get('ApiKeysSecret', '')}\n\n{outputs.get('Curl', '')}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "environment",
        nargs="?",
        default="",
        help="dev, prod, ...: a table of samconfig.toml; what follows is for sam deploy",
    )
    options, more = parser.parse_known_args()
    try:
        deploy(options.environment, *more)
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
