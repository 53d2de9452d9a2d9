"""`load_bundle_from`: bundles in directories and in S3, the latter against moto."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from core import bundle_location
from core.bundle import Bundle
from core.bundle_location import load_bundle_from
from core.errors import BundleError, SettingsError
from core.settings import load_settings

URI = "s3://models/fraud/tiny"


@pytest.fixture(autouse=True)
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing-can-be-written"))
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="models")
        yield client


def upload(s3: Any, folder: Path, prefix: str = "fraud/tiny/") -> None:
    for path in folder.iterdir():
        s3.put_object(Bucket="models", Key=prefix + path.name, Body=path.read_bytes())


@pytest.mark.parametrize("uri", [URI, f"{URI}/"])
def test_bundle_in_s3_is_the_same_as_in_its_directory(s3: Any, tiny: Bundle, tiny_path: Path, uri: str) -> None:
    upload(s3, tiny_path)
    upload(s3, tiny_path, "fraud/tiny-2/")  # a neighbour whose name begins alike

    assert load_bundle_from(uri, expected_digest=tiny.digest) == load_bundle_from(tiny_path) == tiny


@pytest.mark.parametrize("fault", ["damaged", "pinned", "extra", "nested", "empty", "bucket", "too-many", "too-large"])
def test_bundle_that_is_not_what_it_should_be_is_refused(
    s3: Any, tiny_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault != "empty":
        upload(s3, tiny_path)
    more = {"damaged": "golden.json", "extra": "more.json", "nested": "a/b.json"}.get(fault)
    if more is not None:
        s3.put_object(Bucket="models", Key=f"fraud/tiny/{more}", Body=b"{}")
    if fault == "too-many":
        monkeypatch.setattr(bundle_location, "_MAX_FILES", 3)
    if fault == "too-large":
        monkeypatch.setattr(bundle_location, "_MAX_BYTES", 1000)

    with pytest.raises(BundleError):
        load_bundle_from(
            "s3://elsewhere/fraud/tiny" if fault == "bucket" else URI,
            expected_digest="0" * 64 if fault == "pinned" else None,
        )


def test_setting_takes_a_directory_or_a_uri() -> None:
    assert load_settings(None, auth_disabled=True, model_bundle="models/x").model_bundle == Path("models/x")
    assert load_settings(None, auth_disabled=True, model_bundle=URI).model_bundle == URI


@pytest.mark.parametrize("uri", ["s3://", "s3://models", "s3://models/", "s3://UPPER/x"])
def test_setting_refuses_what_looks_like_a_uri_and_is_none(uri: str) -> None:
    with pytest.raises(SettingsError, match="MODEL_BUNDLE"):
        load_settings(None, auth_disabled=True, model_bundle=uri)
