"""`SecretsManagerKeys` against moto: the layouts of the secret, and what is said when it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from core.errors import KeySourceError
from core.secrets_manager import SecretsManagerKeys

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield


def secret_of(text: str) -> str:
    created = boto3.client("secretsmanager", region_name=REGION).create_secret(Name="keys", SecretString=text)
    return str(created["ARN"])


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("k-1", ("k-1",)),
        (" k-1, k-2,", ("k-1", "k-2")),
        ('{"shop": "k-1", "bank": "k-2,k-3"}', ("k-1", "k-2", "k-3")),
        ('{"shop": "k-1", "since": 2026}', ("k-1",)),
        ("123456", ("123456",)),
    ],
)
def test_fetch_reads_the_keys_from_text_and_from_an_object(text: str, keys: tuple[str, ...]) -> None:
    assert SecretsManagerKeys(secret_of(text)).fetch() == keys


def test_fetch_region_is_that_of_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever the process runs in; also where it knows of none."""
    arn = secret_of("k-1")
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert SecretsManagerKeys(arn).fetch() == ("k-1",)


def test_fetch_sees_a_key_that_was_rotated() -> None:
    arn = secret_of("old")
    source = SecretsManagerKeys(arn)
    assert source.fetch() == ("old",)

    boto3.client("secretsmanager", region_name=REGION).put_secret_value(SecretId=arn, SecretString="old,new")

    assert source.fetch() == ("old", "new")


@pytest.mark.parametrize("text", [" ", ",,", "{}", '{"since": 2026}'])
def test_fetch_secret_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(KeySourceError, match="the secret holds no key"):
        SecretsManagerKeys(secret_of(text)).fetch()


def test_fetch_secret_that_does_not_exist_is_refused_in_one_line() -> None:
    with pytest.raises(KeySourceError) as caught:
        SecretsManagerKeys(f"arn:aws:secretsmanager:{REGION}:123456789012:secret:none-123456").fetch()

    assert str(caught.value) == "API_KEYS_SECRET_ARN: the secret cannot be read (ResourceNotFoundException)"
