"""Grow the booster in a SageMaker training job, and make a bundle of it: `make train-sagemaker`.

The rows are split and scaled here, as `make train` does it. The job, with the built-in XGBoost algorithm, sees the
training rows alone; the best round, the thresholds and all figures are found here, on rows that it never saw.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from core.errors import FraudScoringError
from core.preprocessing import Preprocessor
from core.scoring.sagemaker_wire import write_payload
from training.data import read_data
from training.errors import TrainingError
from training.features import fit_features
from training.imported import ArtefactError, fit_imported, read_artefact
from training.pipeline import train_bundle
from training.run import Options
from training.schema import CREDITCARD
from training.split import Split, split_table
from training.train import BASE_SCORE, Parameters

DEFAULT_PREFIX = "fraud-scoring/training"
_EXIT_FAILED = 1
_EXIT_CONFIGURATION = 2


@dataclass(frozen=True)
class Job:
    """A training job to start."""

    name: str
    bucket: str
    prefix: str
    image: str
    role: str
    instance_type: str
    seed: int
    kms_key: str | None = None

    @property
    def folder(self) -> str:
        return f"{self.prefix}/{self.name}"

    @property
    def data_key(self) -> str:
        return f"{self.folder}/train/train.csv"

    def request(self, parameters: Parameters) -> dict[str, Any]:
        """Return the arguments of `create_training_job`."""
        key = {"KmsKeyId": self.kms_key} if self.kms_key else {}
        volume_key = {"VolumeKmsKeyId": self.kms_key} if self.kms_key else {}
        source = {
            "S3DataType": "S3Prefix",
            "S3Uri": f"s3://{self.bucket}/{self.folder}/train/",
            "S3DataDistributionType": "FullyReplicated",
        }
        return {
            "TrainingJobName": self.name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": self.image, "TrainingInputMode": "File"},
            "HyperParameters": hyperparameters(parameters, self.seed),
            "InputDataConfig": [
                {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/{self.folder}/output", **key},
            "ResourceConfig": {
                "InstanceType": self.instance_type, "InstanceCount": 1, "VolumeSizeInGB": 10, **volume_key,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "EnableNetworkIsolation": True,
        }  # fmt: skip


def hyperparameters(parameters: Parameters, seed: int) -> dict[str, str]:
    """Return what `fit_booster` gives XGBoost, for the built-in algorithm; all rounds, since it saves every tree."""
    settings = {
        **parameters.grown_by(),
        "objective": "binary:logistic",
        "base_score": BASE_SCORE,
        "tree_method": "hist",
        "nthread": 1,
        "seed": seed,
        "num_round": parameters.max_rounds,
    }
    return {name: str(value) for name, value in settings.items()}


def channel(split: Split) -> bytes:
    """Return the training rows as the algorithm reads them: the label, then the features, without a header."""
    specs = fit_features(split.train.values, CREDITCARD)
    features = Preprocessor(CREDITCARD.fields, specs).transform(split.train.values)
    rows = write_payload(features).split(b"\n")
    return b"\n".join(b"%d,%b" % row for row in zip(split.train.is_fraud, rows, strict=True)) + b"\n"


def run_job(session: boto3.session.Session, job: Job, parameters: Parameters, rows: bytes) -> None:
    """Upload the rows, start the job and wait for its end.

    Raises
    ------
    ArtefactError
        The job failed.
    """
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": job.kms_key} if job.kms_key else {}
    session.client("s3").put_object(Bucket=job.bucket, Key=job.data_key, Body=rows, **encryption)
    sagemaker = session.client("sagemaker")
    sagemaker.create_training_job(**job.request(parameters))
    print(f"job {job.name} started", flush=True)
    try:
        sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=job.name)
    except WaiterError as error:
        reason = sagemaker.describe_training_job(TrainingJobName=job.name).get("FailureReason", str(error))
        raise ArtefactError(f"job {job.name}: {reason}") from error


def fetch_artefact(session: boto3.session.Session, name: str) -> bytes:
    """Return the model.tar.gz of a finished job.

    Raises
    ------
    ArtefactError
        The job has not completed.
    """
    description = session.client("sagemaker").describe_training_job(TrainingJobName=name)
    if description["TrainingJobStatus"] != "Completed":
        raise ArtefactError(f"job {name} is {description['TrainingJobStatus']}, not Completed")
    bucket, _, key = description["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    content: bytes = session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train-sagemaker", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="CSV file, plain or gzipped: Time, V1 to V28, Amount, Class")
    parser.add_argument("--bucket", required=True, help="S3 bucket for the rows and the model")
    parser.add_argument("--image", required=True, help="URI of AWS's image sagemaker-xgboost:3.0-5 in the region")
    parser.add_argument("--role", required=True, help="ARN of the role that the job takes")
    parser.add_argument("--out", type=Path, default=Path("models/creditcard"), help="directory of the bundle")
    parser.add_argument("--version", default="creditcard-sagemaker", help="version of the model")
    parser.add_argument("--job", help="name of a finished job, to make the bundle of it without another")
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help=f"prefix in the bucket ({DEFAULT_PREFIX})")
    parser.add_argument("--instance-type", default="ml.m5.large", help="kind of instance (ml.m5.large)")
    parser.add_argument("--kms-key", help="key for the rows, the instance's storage and the model")
    parser.add_argument("--region", help="region (that of the AWS profile)")
    parser.add_argument("--rotations", type=int, default=1, help="fifths to hold out in turn; trained here (1)")
    parser.add_argument("--dry-run", action="store_true", help="print the job's request; nothing is sent to AWS")
    return parser


def make_bundle(options: argparse.Namespace) -> None:
    """Do what the options ask for."""
    data = read_data(options.data, CREDITCARD)
    # The rows of the job are made before anything is chosen.
    training = Options("creditcard", options.version, n_rotations=options.rotations, choose_steps=False)
    name = options.job or f"fraud-scoring-{time.strftime('%Y-%m-%d-%H-%M-%S', time.gmtime())}"
    job = Job(
        name, options.bucket, options.prefix, options.image, options.role, options.instance_type, training.seed,
        options.kms_key,
    )  # fmt: skip
    if options.dry_run:
        print("\n".join(f"{name}: {value}" for name, value in job.request(training.parameters).items()))
        return
    session = boto3.session.Session(region_name=options.region)
    if options.job is None:
        run_job(session, job, training.parameters, channel(split_table(data.table, CREDITCARD, training.seed)))
    booster = read_artefact(fetch_artefact(session, name))
    bundle = train_bundle(data, CREDITCARD, training, options.out, fit=fit_imported(booster))
    print(f"{options.out}: {bundle.version}, sha256 {bundle.digest}")


def main(arguments: list[str] | None = None) -> int:
    """Train; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        make_bundle(options)
    except (BotoCoreError, ClientError, ArtefactError) as error:
        print(f"train-sagemaker: {error}", file=sys.stderr)
        return _EXIT_FAILED
    except (TrainingError, FraudScoringError) as error:
        print(f"train-sagemaker: {error}", file=sys.stderr)
        return _EXIT_CONFIGURATION
    return 0


if __name__ == "__main__":
    sys.exit(main())
