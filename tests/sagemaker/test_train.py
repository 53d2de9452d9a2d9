"""`make train-sagemaker`: the job's request, and a bundle of what it leaves behind. The job itself is played here."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import numpy as np
import pytest
import xgboost as xgb
from botocore.validate import ParamValidator
from moto import mock_aws

from core.bundle import BOOSTER, load_bundle
from sagemaker import train
from training.data import DataFile, read_data
from training.documents import table_bytes
from training.imported import ArtefactError, fit_imported, load_booster, read_artefact
from training.pipeline import train_bundle
from training.run import DEFAULT_SEED, Options
from training.schema import CREDITCARD
from training.simulate import load_simulator
from training.split import split_table
from training.train import Parameters, booster_bytes

REGION = "us-east-1"
BUCKET = "rows-of-the-tests"
PARAMETERS = Parameters(max_rounds=60, min_rounds=10, patience=15)
OPTIONS = Options("creditcard", "creditcard-test", "simulated", n_rotations=1, parameters=PARAMETERS)
ROLE = "arn:aws:iam::123456789012:role/training"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"
JOB = train.Job("fraud-1", BUCKET, "p", IMAGE, ROLE, "ml.m5.large", DEFAULT_SEED)


@pytest.fixture(scope="module")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "transactions.csv"
    path.write_bytes(table_bytes(load_simulator(CREDITCARD).draw(2500, 60, 3), CREDITCARD, ".csv"))
    return path


@pytest.fixture(scope="module")
def data(data_path: Path) -> DataFile:
    return read_data(data_path, CREDITCARD)


def play_job(rows: bytes, settings: dict[str, str]) -> bytes:
    """Do what the built-in algorithm does with a channel and hyperparameters; return the model.tar.gz."""
    table = np.loadtxt(io.BytesIO(rows), delimiter=",", dtype=np.float32)
    chosen: dict[str, Any] = dict(settings)
    n_rounds = int(chosen.pop("num_round"))
    booster = xgb.train(chosen, xgb.DMatrix(table[:, 1:], table[:, 0]), n_rounds)
    return archive_of({BOOSTER: bytes(booster.save_raw("ubj"))})


def archive_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture(scope="module")
def artefact(data: DataFile) -> bytes:
    """What the job leaves behind for the training rows of the data."""
    rows = train.channel(split_table(data.table, CREDITCARD, DEFAULT_SEED))
    return play_job(rows, train.hyperparameters(PARAMETERS, DEFAULT_SEED))


def test_bundle_of_a_job_is_that_of_training_here_byte_by_byte(data: DataFile, artefact: bytes, tmp_path: Path) -> None:
    here = train_bundle(data, CREDITCARD, OPTIONS, tmp_path / "here")

    there = train_bundle(data, CREDITCARD, OPTIONS, tmp_path / "there", fit=fit_imported(read_artefact(artefact)))

    assert there.files == here.files
    assert there.digest == here.digest


def test_request_is_one_that_sagemaker_takes(data: DataFile) -> None:
    model = botocore.session.get_session().get_service_model("sagemaker").operation_model("CreateTrainingJob")
    for job in (JOB, train.Job(**{**vars(JOB), "kms_key": "key-1"})):
        request = job.request(PARAMETERS)
        assert not ParamValidator().validate(request, model.input_shape).has_errors()
        assert request["EnableNetworkIsolation"] is True
        assert ("VolumeKmsKeyId" in request["ResourceConfig"]) == (job.kms_key is not None)


def test_hyperparameters_are_those_of_training_here() -> None:
    here = PARAMETERS.for_xgboost(DEFAULT_SEED)
    there = train.hyperparameters(PARAMETERS, DEFAULT_SEED)

    assert there.pop("num_round") == str(PARAMETERS.max_rounds)
    assert there == {name: str(value) for name, value in here.items() if name != "disable_default_eval_metric"}


def test_channel_has_the_training_rows_and_no_other(data: DataFile) -> None:
    split = split_table(data.table, CREDITCARD, DEFAULT_SEED)
    lines = train.channel(split).decode().splitlines()

    assert len(lines) == len(split.train)
    assert [line.split(",")[0] == "1" for line in lines] == split.train.is_fraud.tolist()
    assert {line.count(",") for line in lines} == {len(CREDITCARD.feature_names)}


def test_wrong_artefacts_are_refused(artefact: bytes) -> None:
    booster = read_artefact(artefact)
    loaded = xgb.Booster()
    loaded.load_model(bytearray(booster))
    for archive in (
        b"", artefact[: len(artefact) // 2], b"PK\x03\x04", archive_of({}), archive_of({BOOSTER: booster, "more": b""}),
        archive_of({"model.bin": booster}), archive_of({BOOSTER: pickle.dumps(loaded)}),
    ):  # fmt: skip
        with pytest.raises(ArtefactError):
            read_artefact(archive)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_score": 0.1}, "from 1E-1"),
        ({"objective": "reg:squarederror"}, "grown for reg:squarederror"),
    ],
)
def test_booster_that_other_versions_would_misread_is_refused(changes: dict[str, Any], words: str) -> None:
    matrix = xgb.DMatrix(np.random.default_rng(1).normal(size=(50, 4)), np.arange(50) % 2)
    settings = {"objective": "binary:logistic", "base_score": 0.5, **changes}
    booster = booster_bytes(xgb.train(settings, matrix, 2))

    with pytest.raises(ArtefactError, match=words):
        load_booster(booster, 4)
    with pytest.raises(ArtefactError, match="4 features, the data have 5"):
        load_booster(booster, 5)


def test_damaged_booster_is_refused() -> None:
    with pytest.raises(ArtefactError, match="cannot read"):
        load_booster(b"{", 4)


# The command


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.session.Session]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        session = boto3.session.Session(region_name=REGION)
        session.client("s3").create_bucket(Bucket=BUCKET)
        yield session


@pytest.fixture
def arguments(data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    monkeypatch.setattr(train, "Options", lambda *_, **__: OPTIONS)

    def make(*more: str) -> list[str]:
        where = ["--bucket", BUCKET, "--image", IMAGE, "--role", ROLE, "--region", REGION]
        return [str(data_path), *where, "--out", str(tmp_path / "bundle"), *more]

    return make


def test_command_starts_a_job_and_makes_a_bundle_of_its_output(
    account: boto3.session.Session,
    arguments: Callable[..., list[str]],
    artefact: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """moto completes jobs at once, without a model: it is laid where the job says that it is."""
    fetch = train.fetch_artefact

    def lay_down_and_fetch(session: boto3.session.Session, name: str) -> bytes:
        job = session.client("sagemaker").describe_training_job(TrainingJobName=name)
        rows = session.client("s3").get_object(Bucket=BUCKET, Key=f"{train.DEFAULT_PREFIX}/{name}/train/train.csv")
        model = play_job(rows["Body"].read(), job["HyperParameters"])
        key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
        session.client("s3").put_object(Bucket=BUCKET, Key=key, Body=model)
        return fetch(session, name)

    monkeypatch.setattr(train, "fetch_artefact", lay_down_and_fetch)

    assert train.main(arguments()) == 0

    assert load_bundle(tmp_path / "bundle").version == OPTIONS.version
    [job] = account.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert job["TrainingJobName"].startswith("fraud-scoring-")


def test_command_without_a_finished_job_says_so(
    account: boto3.session.Session, arguments: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(arguments("--job", "nowhere")) == 1
    assert "nowhere" in capsys.readouterr().err


def test_dry_run_prints_the_request(
    arguments: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.boto3.session, "Session", None)
    assert train.main(arguments("--dry-run")) == 0
    assert f"RoleArn: {ROLE}\n" in capsys.readouterr().out


def test_data_that_cannot_be_trained_on_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("Time\n1\n")
    assert train.main([str(empty), "--bucket", BUCKET, "--image", IMAGE, "--role", ROLE]) == 2
    assert "missing columns" in capsys.readouterr().err
