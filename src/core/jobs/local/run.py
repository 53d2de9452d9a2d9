"""One file scored into one folder, from where the last attempt stopped, to a manifest that is written last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import ValidationError

from core.errors import JobFailedError
from core.jobs.formats.base import ChunkLimits, Table
from core.jobs.formats.choice import format_of
from core.jobs.local.folders import PARTIAL, only_process, sync_folder, version_of, write_durably
from core.jobs.local.ledger import Ledger
from core.jobs.local.pool import WorkerPool
from core.jobs.local.worker import Assignment, BuildService, WorkOrder
from core.jobs.records import FormatName, JobCounts, JobOptions, result_columns
from core.jobs.results import MANIFEST, InputDigest, Part, ResultManifest, total
from core.settings import Settings
from core.transactions import TransactionSchema

_LEDGER, _LOCK = "ledger.sqlite3", "lock.sqlite3"


@dataclass(frozen=True)
class Run:
    """What to score, with what, and where to."""

    source: Path
    version: str
    """`version_of` the source when the run was asked for."""
    format: FormatName
    options: JobOptions
    out: Path
    build_service: BuildService
    settings: Settings
    schema: TransactionSchema
    bundle_sha256: str
    model_version: str
    n_workers: int
    patience_s: float
    limits: ChunkLimits = field(default_factory=ChunkLimits)
    niceness: int = 0

    @property
    def chunk_limits(self) -> ChunkLimits:
        return self.limits.explained() if self.options.reasons else self.limits

    def plan(self) -> str:
        """Return all that the bytes of the result depend on, the input's by its version."""
        return json.dumps({
            "version": self.version,
            "format": self.format,
            "carry": self.options.carry,
            "reasons": self.options.reasons,
            "bundle_sha256": self.bundle_sha256,
            "limits": asdict(self.chunk_limits),
        })  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """How far a run is, after a commit."""

    counts: JobCounts
    share: float
    """Of the input, in [0, 1]."""


Report = Callable[[Progress], None]


def finished(out: Path) -> ResultManifest | None:
    """Return the manifest of the result in the folder; None if there is no result yet.

    Raises
    ------
    JobFailedError
        The manifest there is of something else.
    """
    try:
        return ResultManifest.model_validate_json((out / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise JobFailedError("result_exists", f"The folder has a {MANIFEST} that is not of a result.") from None


def score_file(run: Run, report: Report, check: Callable[[], None]) -> ResultManifest:
    """Score the file, or what is left of it, and return the manifest of the result; the folder has none yet.

    `report` hears of each commit; `check` is called often, and stops the run by raising: so it can be taken up again.

    Raises
    ------
    JobFailedError
    """
    partial = run.out / PARTIAL
    partial.mkdir(parents=True, exist_ok=True)
    with only_process(partial / _LOCK) as alone:
        if not alone:
            raise JobFailedError("already_running", "Another process writes to this folder.")
        ledger = Ledger(partial / _LEDGER)
        try:
            if ledger.begin(run.plan()) != run.plan():
                text = (
                    "The input, the options or the model are not those that this folder was begun with. "
                    f"Another folder, or this one without its {PARTIAL}, begins anew."
                )
                raise JobFailedError("input_changed", text)
            manifest = _score(run, ledger, report, check)
            _publish(run, manifest)
        finally:
            ledger.close()
    with contextlib.suppress(OSError):
        shutil.rmtree(partial)  # what is left is no part of the result
    return manifest


def _score(run: Run, ledger: Ledger, report: Report, check: Callable[[], None]) -> ResultManifest:
    with ThreadPoolExecutor(1) as threads, run.source.open("rb") as file:
        digest = threads.submit(digest_of, run.source)
        table = format_of(run.format).open(file, run.schema, run.options.carry, run.chunk_limits)
        parts = _commit_all(run, table, ledger, report, check)
        sha256 = digest.result()
    _check_unchanged(run)
    if not parts:
        raise JobFailedError("no_rows", "The file has a header and no rows.")
    return ResultManifest(
        input=InputDigest(format=run.format, n_bytes=run.source.stat().st_size, sha256=sha256),
        format=run.format,
        columns=result_columns(table.layout.carry, reasons=run.options.reasons),
        counts=total(parts),
        parts=tuple(parts),
        model_version=run.model_version,
        bundle_sha256=run.bundle_sha256,
    )


def _commit_all(run: Run, table: Table, ledger: Ledger, report: Report, check: Callable[[], None]) -> list[Part]:
    """Score each chunk that is not committed yet; return the parts of all, in order."""
    committed = ledger.committed()
    parts = {position: part for position, (_, part) in committed.items()}
    shares: dict[int, float] = {}
    furthest = 0.0

    def left_to_do() -> Iterator[Assignment]:
        position = -1
        for position, chunk in enumerate(table.chunks):
            _check_unchanged(run)
            shares[position] = chunk.progress
            if position not in committed:
                yield Assignment(position, chunk.payload)
            elif hashlib.sha256(chunk.payload).hexdigest() != committed[position][0]:
                raise _changed()
        if len(committed) > position + 1:
            raise _changed()

    order = WorkOrder(
        run.build_service, run.settings, run.bundle_sha256, run.format, table.layout,
        run.options.reasons, run.out / PARTIAL, run.patience_s, run.niceness,
    )  # fmt: skip
    with WorkerPool(order, run.n_workers) as pool:
        for done in pool.run(left_to_do(), check):
            ledger.commit(done.position, done.payload_sha256, done.part)
            parts[done.position] = done.part
            furthest = max(furthest, shares[done.position])  # of two chunks under way, the later may be done first
            report(Progress(total(list(parts.values())), furthest))
    return [parts[position] for position in sorted(parts)]


def _publish(run: Run, manifest: ResultManifest) -> None:
    """Put the parts where they belong, then the manifest; may be cut off anywhere and done again."""
    for part in manifest.parts:
        written = run.out / PARTIAL / part.name
        if written.exists():
            written.replace(run.out / part.name)
    sync_folder(run.out)
    write_durably(run.out / MANIFEST, manifest.to_bytes())


def _check_unchanged(run: Run) -> None:
    try:
        unchanged = version_of(run.source) == run.version
    except OSError:
        unchanged = False
    if not unchanged:
        raise _changed()


def _changed() -> JobFailedError:
    return JobFailedError("input_changed", "The input was changed, moved or removed while it was being scored.")


def digest_of(path: Path) -> str:
    """Return the sha256 of the file."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()
