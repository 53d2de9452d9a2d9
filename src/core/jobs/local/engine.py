"""Runs jobs on this machine, one after the other: each with a process a core, below the priority of requests."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from core.bundle_location import load_bundle_from
from core.errors import BundleError, FieldIssue, InvalidTransactionError, JobFailedError, JobStateError
from core.jobs.engines import UploadTarget
from core.jobs.formats.base import ChunkLimits
from core.jobs.formats.choice import format_of
from core.jobs.local.folders import PARTIAL, find_below, only_process, version_of
from core.jobs.local.run import Progress, Run, finished, score_file
from core.jobs.local.store import SqliteJobStore
from core.jobs.local.upload import UPLOADED, Upload
from core.jobs.local.worker import BuildService
from core.jobs.records import UPLOAD, Job, JobInput, JobProblem, JobRequest, JobState
from core.jobs.results import MANIFEST, ResultManifest
from core.observability import EventLog
from core.settings import Settings
from core.transactions import TransactionSchema

INPUTS, JOBS = "inputs", "jobs"
"""Below the jobs folder: the files that callers may name, and a folder for each job."""
_RESULT = "result"
_LOOK_EVERY_S, _CHECK_EVERY_S = 2.0, 0.5
_NICENESS = 10
_RUNNABLE: tuple[JobState, ...] = ("running", "queued")


@dataclass(frozen=True)
class LocalSettings:
    """How this machine runs jobs."""

    folder: Path
    n_workers: int
    max_upload_bytes: int
    patience_s: float
    limits: ChunkLimits = ChunkLimits()


class LocalEngine:
    """Runs the jobs of a store from a thread of its own, from when it is opened until it is closed."""

    inputs = f"the path of a file below the folder `{INPUTS}` of `JOBS_DIR`"

    def __init__(
        self,
        local: LocalSettings,
        store: SqliteJobStore,
        settings: Settings,
        build_service: BuildService,
    ) -> None:
        """Take what workers need to build services of their own."""
        self._local = local
        self._store = store
        # A job can wait for the endpoint; it need not make do with less.
        self._settings = settings.model_copy(update={"scorer_fallback": "none"})
        self._build_service = build_service
        self._log = EventLog(settings.log_level)
        self._work = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run_jobs, name="jobs", daemon=True)

    def open(self) -> None:
        """Begin to run jobs: first those that the last process left unfinished."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the chunks under way at the latest; the next process goes on from there."""
        self._closing.set()
        self._work.set()
        if self._thread.is_alive():
            self._thread.join()

    def locate(self, request: JobRequest, job_id: str) -> JobInput:
        try:
            format_of(request.format)
        except JobFailedError as error:
            raise _invalid("format", error.job_code, f"{error}") from None
        if request.input == UPLOAD:
            return JobInput(location=f"{JOBS}/{job_id}/{UPLOADED}", format=request.format)
        path = find_below(self._local.folder / INPUTS, request.input)
        if path is None:
            raise _invalid("input", "input_missing", "There is no such file below the folder of inputs.")
        location = path.relative_to(self._local.folder.resolve()).as_posix()
        size = path.stat().st_size
        return JobInput(location=location, format=request.format, version=version_of(path), n_bytes=size)

    def start(self, job: Job) -> None:
        self._work.set()

    def cancel(self, job: Job) -> None:
        """What runs will notice by the record; what was sent for it is not needed any more."""
        self._forget_upload(job)

    def refresh(self, job: Job) -> Job:
        return job

    def upload_target(self, job: Job) -> UploadTarget:
        return UploadTarget(
            url=f"/jobs/{job.id}/input",
            headers={"content-type": "application/octet-stream"},
            max_bytes=self._local.max_upload_bytes,
        )

    def receive(self, job: Job) -> Upload:
        local = self._local
        return Upload(local.folder, f"{JOBS}/{job.id}", job.input.format, local.max_upload_bytes)

    def _folder(self, job: Job) -> Path:
        return self._local.folder / JOBS / job.id

    def _run_jobs(self) -> None:
        while not self._closing.is_set():
            try:
                # Of several servers over one folder, one runs the jobs; should it die, another does.
                with only_process(self._local.folder / "lock.sqlite3") as alone:
                    while alone and not self._closing.is_set():
                        self._run_next()
            except (OSError, sqlite3.Error) as error:  # the disk may be full, or away for a moment
                self._log.unexpected("jobs folder failed", error)
            self._closing.wait(_LOOK_EVERY_S)

    def _run_next(self) -> None:
        """Run the job whose turn it is, or wait for one."""
        job = self._store.oldest(_RUNNABLE[:1]) or self._store.oldest(_RUNNABLE[1:])
        if job is not None:
            self._run(job)
        else:
            self._work.wait(_LOOK_EVERY_S)
            self._work.clear()

    def _run(self, job: Job) -> None:
        """Run one job to its end, whichever it is."""
        try:
            job = self._store.update(job, _RUNNABLE, state="running", started=job.started or time.time())
            manifest = finished(self._folder(job) / _RESULT) or self._score(job)
            self._store.update(
                job, {"running"}, state="completed", finished=time.time(), counts=manifest.counts, progress=1.0,
                result=f"{JOBS}/{job.id}/{_RESULT}/{MANIFEST}",
            )  # fmt: skip
            self._forget_upload(job)
        except BundleError as error:
            self._end(job, JobProblem(code="model_unavailable", text=f"{error}"))
        except JobFailedError as error:
            self._end(job, JobProblem(code=error.job_code, text=f"{error}"))
        except _StoppedError:
            return
        except (OSError, sqlite3.Error) as error:
            self._log.unexpected("jobs folder failed", error)
            self._end(job, JobProblem(code="storage_failed", text="The jobs folder cannot be read or written."))
        except JobStateError:
            self._discard(job)
        except Exception as error:  # noqa: BLE001 - one job that meets a bug must not end all others
            self._log.unexpected("job failed", error)
            self._end(job, JobProblem(code="internal_error", text="A bug: the log has the place."))

    def _score(self, job: Job) -> ResultManifest:
        looked = time.monotonic()

        def check() -> None:
            nonlocal looked
            if self._closing.is_set():
                raise _StoppedError
            if time.monotonic() - looked > _CHECK_EVERY_S:
                looked = time.monotonic()
                self._store.update(job, {"running"})  # unless it was cancelled

        def report(progress: Progress) -> None:
            self._store.update(job, {"running"}, counts=progress.counts, progress=progress.share)

        return score_file(self._plan(job), report, check)

    def _plan(self, job: Job) -> Run:
        local = self._local
        # Once more, and not by the name alone: what is there may have become a link since.
        path = find_below(local.folder, job.input.location)
        if path is None or job.input.version is None:
            raise JobFailedError("input_changed", "The input was moved or removed before it was scored.")
        # As it is now: the process that serves may have exchanged its model since the engine was opened.
        bundle = load_bundle_from(self._settings.model_bundle, expected_digest=self._settings.model_bundle_sha256)
        if bundle.digest != job.bundle_sha256:
            raise JobFailedError("model_changed", "The model was replaced before the job was done.")
        return Run(
            source=path,
            version=job.input.version,
            format=job.input.format,
            options=job.options,
            out=self._folder(job) / _RESULT,
            build_service=self._build_service,
            settings=self._settings,
            schema=TransactionSchema(bundle.manifest.fields),
            bundle_sha256=bundle.digest,
            model_version=bundle.version,
            n_workers=local.n_workers,
            patience_s=local.patience_s,
            limits=local.limits,
            niceness=_NICENESS,
        )

    def _end(self, job: Job, problem: JobProblem) -> None:
        try:
            self._store.update(job, {"running"}, state="failed", finished=time.time(), error=problem)
        except JobStateError:
            self._log.info("job was cancelled")
        self._discard(job)

    def _forget_upload(self, job: Job) -> None:
        for path in self._folder(job).glob(f"{UPLOADED}*"):
            path.unlink(missing_ok=True)

    def _discard(self, job: Job) -> None:
        """Remove what a job that ended without a result has written."""
        self._forget_upload(job)
        shutil.rmtree(self._folder(job) / _RESULT / PARTIAL, ignore_errors=True)


class _StoppedError(Exception):
    """This process stops; the job does not."""


def _invalid(field: str, code: str, message: str) -> InvalidTransactionError:
    return InvalidTransactionError([FieldIssue(("body", field), code, message)])
