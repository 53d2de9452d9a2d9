"""`make deploy-endpoint`, on a simulated AWS account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from core.bundle import BOOSTER, Bundle
from sagemaker import deploy
from sagemaker.package_model import digest_of, package_model
from tests.repository import BUNDLE
from tests.sagemaker.other_models import bundle_with

# moto passes over alarms and auto scaling.
pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS:UserWarning")

REGION = "us-east-1"
BUCKET = "models-of-the-tests"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"
ARGUMENTS = ["--bucket", BUCKET, "--image", IMAGE, "--bundle", str(BUNDLE), "--region", REGION]
INSTANCE = ["--parameter", "Hosting=instance"]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.session.Session]:
    """An account with an empty bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        session = boto3.session.Session(region_name=REGION)
        session.client("s3").create_bucket(Bucket=BUCKET)
        yield session


def objects(account: boto3.session.Session) -> dict[str, bytes]:
    s3 = account.client("s3")
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def endpoint_config(account: boto3.session.Session) -> tuple[str, dict[str, Any]]:
    """Return the name of the endpoint's configuration, and the model that it hosts."""
    sagemaker = account.client("sagemaker")
    [listed] = sagemaker.list_endpoints()["Endpoints"]  # moto does not name it as the template says
    endpoint = sagemaker.describe_endpoint(EndpointName=listed["EndpointName"])
    assert endpoint["EndpointStatus"] == "InService"
    name = endpoint["EndpointConfigName"]
    [variant] = sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]
    return name, sagemaker.describe_model(ModelName=variant["ModelName"])


@pytest.mark.parametrize("hosting", [[], INSTANCE], ids=["serverless", "instance"])
def test_endpoint_hosts_the_model_of_the_bundle(
    account: boto3.session.Session, creditcard: Bundle, capsys: pytest.CaptureFixture[str], hosting: list[str]
) -> None:
    assert deploy.main([*ARGUMENTS, *hosting]) == 0

    archive = package_model(creditcard)
    key = f"fraud-scoring/models/{digest_of(archive)}/model.tar.gz"
    assert objects(account) == {key: archive}
    _, model = endpoint_config(account)
    assert model["PrimaryContainer"]["ModelDataUrl"] == f"s3://{BUCKET}/{key}"
    assert model["PrimaryContainer"]["Image"] == IMAGE
    assert "set SAGEMAKER_ENDPOINT=fraud-scoring" in capsys.readouterr().out


def test_same_bundle_again_changes_nothing(account: boto3.session.Session) -> None:
    assert deploy.main([*ARGUMENTS, *INSTANCE]) == 0
    before = endpoint_config(account)[0], objects(account)

    assert deploy.main([*ARGUMENTS, *INSTANCE]) == 0

    assert (endpoint_config(account)[0], objects(account)) == before


def test_other_model_is_uploaded_beside_the_first(
    account: boto3.session.Session, creditcard: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deploy.main([*ARGUMENTS, *INSTANCE]) == 0
    other = bundle_with(creditcard, creditcard.files[BOOSTER] + b"\n")
    monkeypatch.setattr(deploy, "load_bundle", lambda path: other)

    assert deploy.main([*ARGUMENTS, *INSTANCE]) == 0

    assert set(objects(account).values()) == {package_model(creditcard), package_model(other)}
    stack = account.client("cloudformation").describe_stacks(StackName="fraud-scoring")["Stacks"][0]
    given = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert given["ModelDigest"] == digest_of(package_model(other))


def test_dry_run_says_what_would_be_done_and_does_nothing(
    creditcard: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy.boto3.session, "Session", None)

    assert deploy.main([*ARGUMENTS, "--parameter", "Hosting=instance", "--dry-run"]) == 0

    said = capsys.readouterr().out
    digest = digest_of(package_model(creditcard))
    assert f"s3://{BUCKET}/fraud-scoring/models/{digest}/model.tar.gz" in said
    for line in (
        "Hosting=instance",
        f"ImageUri={IMAGE}",
        f"ModelDigest={digest}",
        f"BundleVersion={creditcard.version}",
    ):
        assert f"  {line}\n" in said


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        ([*ARGUMENTS, "--parameter", "Hosting"], "NAME=VALUE", 1),
        ([*ARGUMENTS, "--bundle", "nowhere"], "no model bundle at nowhere", 2),
        ([*ARGUMENTS, "--bucket", "of-somebody-else"], "NoSuchBucket", 1),
    ],
)
def test_what_stands_in_the_way_is_said(
    account: boto3.session.Session, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str, code: int
) -> None:
    assert deploy.main(arguments) == code
    assert words in capsys.readouterr().err


class StackThatFails:
    """CloudFormation with one stack, which ends as told."""

    def __init__(self, status: str | None) -> None:
        self.status = status

    def describe_stacks(self, **which: Any) -> dict[str, Any]:
        if self.status is None:
            raise deploy.ClientError({"Error": {"Code": "ValidationError", "Message": "no stack"}}, "DescribeStacks")
        return {"Stacks": [{"StackStatus": self.status}]}

    def create_stack(self, **arguments: Any) -> None:
        assert len(arguments["TemplateBody"]) <= 51_200

    def get_waiter(self, name: str) -> StackThatFails:
        return self

    def wait(self, **arguments: Any) -> None:
        raise deploy.WaiterError("StackCreateComplete", "it failed", {})

    def describe_stack_events(self, **which: Any) -> dict[str, Any]:
        return {
            "StackEvents": [
                {"LogicalResourceId": "Endpoint", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "alarm"},
                {"LogicalResourceId": "Model", "ResourceStatus": "CREATE_COMPLETE"},
            ]
        }


DEPLOYMENT = deploy.Deployment("fraud-scoring", BUCKET, "models", "0" * 64, {})


def test_failed_stack_is_explained_by_its_events() -> None:
    with pytest.raises(deploy.DeployError, match="Endpoint: alarm"):
        deploy.bring_up_to_date(StackThatFails(None), DEPLOYMENT)


def test_stack_that_was_never_whole_is_not_updated() -> None:
    with pytest.raises(deploy.DeployError, match="delete it first"):
        deploy.bring_up_to_date(StackThatFails("ROLLBACK_COMPLETE"), replace(DEPLOYMENT, stack="other"))


def test_template_lies_beside_the_script() -> None:
    assert deploy.TEMPLATE == Path(deploy.__file__).parent / "template.yaml"
