"""A file was uploaded: the job that waited for it is started. Told more than once, it is started once."""

from __future__ import annotations

import re

from core.errors import JobFailedError
from core.jobs.aws.engine import StepFunctionsEngine
from core.jobs.aws.objects import Objects
from core.jobs.aws.store import DynamoStore

_KEY = re.compile(r"uploads/([A-Za-z0-9_-]{32})\.[a-z.]{1,16}")


class Uploads:
    """Starts the jobs of one deployment."""

    def __init__(self, store: DynamoStore, objects: Objects, engine: StepFunctionsEngine) -> None:
        self._store = store
        self._objects = objects
        self._engine = engine

    def arrived(self, key: str) -> None:
        """Start the job whose file is the object `key`, if it still waits to be started.

        Raises
        ------
        JobFailedError
            It is no upload, or not there any more.
        JobNotFoundError
            No job waits for it.
        JobStateError
            Another message about the same upload got there first; told again, there is nothing left to do.
        """
        found = _KEY.fullmatch(key)
        if found is None:
            raise JobFailedError("input_missing", "The object is no upload of a job.")
        job = self._store.find(found[1])
        if job.state == "awaiting_upload":
            there = self._objects.find(job.input.location)
            pinned = job.input.model_copy(update={"version": there.etag, "n_bytes": there.n_bytes})
            job = self._store.update(job, {"awaiting_upload"}, state="queued", input=pinned)
        if job.state == "queued":
            self._engine.start(job)
