"""Upload the model of a bundle and bring the endpoint's stack up to date: `make deploy-endpoint`.

The archive lies under its digest, so that it is uploaded once and never overwritten. Another digest makes
CloudFormation build a new model and endpoint configuration; SageMaker then moves the endpoint over, and back if an
alarm goes off.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from core.bundle import Bundle, load_bundle
from core.errors import BundleError
from sagemaker.package_model import DEFAULT_BUNDLE, digest_of, package_model

TEMPLATE = Path(__file__).with_name("template.yaml")
DEFAULT_PREFIX = "fraud-scoring/models"
_EXIT_FAILED = 1
_EXIT_CONFIGURATION = 2


class DeployError(Exception):
    """The endpoint is not deployed; the text says why."""


@dataclass(frozen=True)
class Deployment:
    """What to bring about."""

    stack: str
    bucket: str
    prefix: str
    digest: str
    parameters: dict[str, str]

    @property
    def key(self) -> str:
        return f"{self.prefix}/{self.digest}/model.tar.gz"

    def stack_arguments(self) -> dict[str, Any]:
        """Return the arguments of `create_stack` and `update_stack`."""
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in sorted(self.parameters.items())]
        return {
            "StackName": self.stack,
            "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
            "Parameters": given,
            "Capabilities": ["CAPABILITY_IAM"],
        }


def plan(options: argparse.Namespace, bundle: Bundle, archive: bytes) -> Deployment:
    """Return what the options and the bundle ask for.

    Raises
    ------
    DeployError
        A parameter is not NAME=VALUE.
    """
    digest = digest_of(archive)
    parameters = {
        "EndpointName": options.endpoint,
        "ImageUri": options.image,
        "ModelBucket": options.bucket,
        "ModelPrefix": options.prefix,
        "ModelDigest": digest,
        "BundleVersion": bundle.version,
    }
    for text in options.parameter:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise DeployError(f"--parameter {text}: it should be NAME=VALUE")
        parameters[name] = value
    return Deployment(options.stack or options.endpoint, options.bucket, options.prefix, digest, parameters)


def describe(deployment: Deployment, archive: bytes) -> Iterator[str]:
    """Yield what would be done, line by line."""
    yield f"upload {len(archive)} bytes to s3://{deployment.bucket}/{deployment.key}, unless they are there"
    yield f"create or update the stack {deployment.stack} from {TEMPLATE.parent.name}/{TEMPLATE.name} with"
    yield from (f"  {name}={value}" for name, value in sorted(deployment.parameters.items()))


def upload(s3: Any, deployment: Deployment, archive: bytes) -> bool:  # noqa: ANN401 - boto3 has no types
    """Upload the archive unless it is there; tell whether that was needed."""
    where = {"Bucket": deployment.bucket, "Key": deployment.key}
    try:
        s3.head_object(**where)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
            raise
    else:
        return False
    checksum = base64.b64encode(hashlib.sha256(archive).digest()).decode()
    s3.put_object(**where, Body=archive, ChecksumSHA256=checksum)
    return True


def bring_up_to_date(cloudformation: Any, deployment: Deployment) -> dict[str, str]:  # noqa: ANN401 - boto3 has no types
    """Create or update the stack, wait for it, and return its outputs.

    Raises
    ------
    DeployError
        The stack did not come about; SageMaker goes back to the model that was there.
    """
    try:
        existing = cloudformation.describe_stacks(StackName=deployment.stack)["Stacks"][0]["StackStatus"]
    except ClientError:
        existing = None
    if existing == "ROLLBACK_COMPLETE":
        raise DeployError(f"the stack {deployment.stack} was never whole (ROLLBACK_COMPLETE): delete it first")
    action = "create" if existing is None else "update"
    try:
        getattr(cloudformation, f"{action}_stack")(**deployment.stack_arguments())
        cloudformation.get_waiter(f"stack_{action}_complete").wait(
            StackName=deployment.stack, WaiterConfig={"Delay": 10, "MaxAttempts": 540}
        )
    except ClientError as error:
        if "No updates are to be performed" not in error.response["Error"]["Message"]:
            raise
    except WaiterError as error:
        raise DeployError("\n  ".join(_failures(cloudformation, deployment.stack))) from error
    stack = cloudformation.describe_stacks(StackName=deployment.stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _failures(cloudformation: Any, stack: str) -> Iterator[str]:  # noqa: ANN401 - boto3 has no types
    yield f"the stack {stack} did not come about:"
    for event in reversed(cloudformation.describe_stack_events(StackName=stack)["StackEvents"]):
        if event["ResourceStatus"].endswith("FAILED"):
            yield f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy-endpoint", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bucket", required=True, help="S3 bucket for the model archives")
    parser.add_argument("--image", required=True, help="URI of AWS's image sagemaker-xgboost:3.0-5 in the region")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help=f"directory ({DEFAULT_BUNDLE})")
    parser.add_argument("--endpoint", default="fraud-scoring", help="name of the endpoint (fraud-scoring)")
    parser.add_argument("--stack", help="name of the stack (that of the endpoint)")
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help=f"prefix in the bucket ({DEFAULT_PREFIX})")
    parser.add_argument("--region", help="region (that of the AWS profile)")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help="of the template")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; nothing is sent to AWS")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Deploy; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        bundle = load_bundle(options.bundle)
        archive = package_model(bundle)
        deployment = plan(options, bundle, archive)
        if options.dry_run:
            print("\n".join(describe(deployment, archive)))
            return 0
        session = boto3.session.Session(region_name=options.region)
        is_new = upload(session.client("s3"), deployment, archive)
        print(f"{'uploaded' if is_new else 'found'} s3://{deployment.bucket}/{deployment.key}")
        outputs = bring_up_to_date(session.client("cloudformation"), deployment)
    except BundleError as error:
        print(f"deploy-endpoint: {error}", file=sys.stderr)
        return _EXIT_CONFIGURATION
    except (BotoCoreError, ClientError, DeployError) as error:
        print(f"deploy-endpoint: {error}", file=sys.stderr)
        return _EXIT_FAILED
    for name, value in outputs.items():
        print(f"{name}: {value}")
    print(f"set SAGEMAKER_ENDPOINT={options.endpoint}, then run make doctor")
    return 0


if __name__ == "__main__":
    sys.exit(main())
