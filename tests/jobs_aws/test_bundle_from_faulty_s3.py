"""A model bundle whose files break off on their way from S3 is read again, up to three times; then it is refused."""

from __future__ import annotations

import math
import uuid
from pathlib import Path

import boto3
import pytest

from core.bundle import Bundle
from core.bundle_location import load_bundle_from
from core.errors import BundleError
from tests.jobs_aws import faulty_s3
from tests.jobs_aws.deployment import REGION
from tests.jobs_aws.faulty_s3 import Fault


def only_of_objects(fault: Fault) -> Fault:
    def listed(handler: faulty_s3._Handler, body: bytes) -> None:
        if "list-type" not in handler.path:
            fault(handler, body)
            return
        handler.begin(200, len(body))
        handler.wfile.write(body)

    return listed


@pytest.mark.parametrize("n_faults", [0, 2, math.inf])
def test_file_that_breaks_off_is_read_again(
    aws: str, monkeypatch: pytest.MonkeyPatch, tiny: Bundle, tiny_path: Path, n_faults: float
) -> None:
    s3, bucket = boto3.client("s3"), f"models-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    for path in tiny_path.iterdir():
        s3.put_object(Bucket=bucket, Key=f"tiny/{path.name}", Body=path.read_bytes())
    with faulty_s3.faulty_s3(aws) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        proxy.fault, proxy.n_faults = only_of_objects(faulty_s3.break_off), 1 + n_faults  # the list is read first
        if n_faults < 3:
            assert load_bundle_from(f"s3://{bucket}/tiny") == tiny
            assert proxy.reads == 1 + n_faults + len(list(tiny_path.iterdir()))
        else:
            with pytest.raises(BundleError, match="cannot be read"):
                load_bundle_from(f"s3://{bucket}/tiny")
            assert proxy.reads == 1 + 3
