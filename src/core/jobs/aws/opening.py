"""Settings -> the engine in AWS, its records and its objects."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import SettingsError
from core.jobs.aws.clients import make_client
from core.jobs.aws.engine import StepFunctionsEngine
from core.jobs.aws.ledger import Ledger
from core.jobs.aws.objects import Objects
from core.jobs.aws.store import DynamoStore
from core.jobs.engines import Jobs
from core.settings import Settings


@dataclass(frozen=True)
class JobResources:
    """What every step has: the records, what is known of the batches, and the objects."""

    store: DynamoStore
    ledger: Ledger
    objects: Objects
    bucket: str
    machine_arn: str

    def engine(self) -> StepFunctionsEngine:
        """Return the engine that starts the state machine."""
        client = make_client("stepfunctions")
        return StepFunctionsEngine(client, self.machine_arn, self.objects, self.ledger, self.bucket)


def connect(settings: Settings) -> JobResources:
    """Return the resources that the settings name.

    Raises
    ------
    SettingsError
        One of them is not named.
    """
    table, bucket, machine_arn = settings.jobs_table, settings.jobs_bucket, settings.jobs_state_machine_arn
    if table is None or bucket is None or machine_arn is None:
        raise SettingsError("JOBS_ENGINE=aws needs JOBS_TABLE, JOBS_BUCKET and JOBS_STATE_MACHINE_ARN")
    dynamodb = make_client("dynamodb")
    store, ledger = DynamoStore(dynamodb, table), Ledger(dynamodb, table)
    return JobResources(store, ledger, Objects(make_client("s3")), bucket, machine_arn)


def open_engine(settings: Settings) -> Jobs:
    """Return what runs and remembers jobs in AWS; nothing is asked of AWS yet.

    Raises
    ------
    SettingsError
    """
    there = connect(settings)
    return Jobs(there.engine(), there.store)
