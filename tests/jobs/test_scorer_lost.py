"""A scorer that gives no scores, or takes its process with it: the run waits, and ends with what is true."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from core.bundle import Bundle, load_bundle
from core.calibration import Scores
from core.errors import JobFailedError, ScorerUnavailableError
from core.jobs.formats.base import ChunkLimits
from core.jobs.local.folders import version_of
from core.jobs.local.run import Progress, Run, finished, score_file
from core.jobs.records import JobOptions
from core.preprocessing import FeatureMatrix
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from core.settings import Settings
from core.transactions import TransactionSchema
from tests.app_under_test import settings_of_tests
from tests.jobs.command import files_of
from tests.jobs.tables import encode, result_of, table

CRITICAL = 9.5
"""Rows with this value of `json` are those at which the scorer does what the test wants."""
DOWN, DEADLY, DEADLY_ONCE = "down", "deadly", "deadly-once"


class Switched(EmbeddedScorer):
    """The real scorer, but for what files in a folder tell it to do."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        super().__init__(bundle)
        self._folder = folder

    async def score(self, features: FeatureMatrix) -> Scores:
        if (features[:, 1] == CRITICAL).any():
            if (self._folder / DEADLY_ONCE).exists():
                (self._folder / DEADLY_ONCE).unlink()
                os._exit(1)
            if (self._folder / DEADLY).exists():
                os._exit(1)
            if (self._folder / DOWN).exists():
                raise ScorerUnavailableError("The endpoint cannot be reached.")
        return await super().score(features)


def build_switched(settings: Settings) -> ScoringService:
    bundle = load_bundle(settings.model_bundle)
    return ScoringService(bundle, Switched(bundle, settings.jobs_dir))


def run_of(folder: Path, tiny: Bundle, tiny_path: Path, out: str, patience_s: float = 30) -> Run:
    """Return a run over five chunks, the fourth of which is critical."""
    source = folder / "in.csv"
    if not source.exists():
        rows = table(500)
        for row in rows:
            row["json"] = min(row["json"], 9.0)
        rows[350]["json"] = CRITICAL
        source.write_bytes(encode(rows, "csv"))
    return Run(
        source=source,
        version=version_of(source),
        format="csv",
        options=JobOptions(),
        out=folder / out,
        build_service=build_switched,
        settings=settings_of_tests(model_bundle=tiny_path, jobs_dir=folder),
        schema=TransactionSchema(tiny.manifest.fields),
        bundle_sha256=tiny.digest,
        model_version=tiny.version,
        n_workers=1,
        patience_s=patience_s,
        limits=ChunkLimits(rows=100),
    )


def score(run: Run) -> list[Progress]:
    """Run to the end; return what was reported on the way."""
    reports: list[Progress] = []
    score_file(run, reports.append, lambda: None)
    return reports


def test_scorer_lost_for_good_fails_the_run_with_exact_counts_and_it_goes_on_later(
    tmp_path: Path, tiny: Bundle, tiny_path: Path
) -> None:
    score(run_of(tmp_path, tiny, tiny_path, "undisturbed"))
    run = run_of(tmp_path, tiny, tiny_path, "out", patience_s=0.5)
    (tmp_path / DOWN).touch()
    reports: list[Progress] = []

    with pytest.raises(JobFailedError) as raised:
        score_file(run, reports.append, lambda: None)

    assert raised.value.job_code == "upstream_unavailable"
    assert reports[-1].counts.read == reports[-1].counts.scored == 300
    assert finished(run.out) is None
    assert not list(run.out.glob("part-*"))
    (tmp_path / DOWN).unlink()
    assert [report.counts.read for report in score(run)] == [400, 500], "what was committed is not scored again"
    assert files_of(run.out) == files_of(tmp_path / "undisturbed")


def test_scorer_lost_for_a_while_is_waited_for(tmp_path: Path, tiny: Bundle, tiny_path: Path) -> None:
    run = run_of(tmp_path, tiny, tiny_path, "out")
    (tmp_path / DOWN).touch()
    reports: list[Progress] = []

    def bring_back() -> None:
        while len(reports) < 3:
            time.sleep(0.01)
        time.sleep(0.5)
        (tmp_path / DOWN).unlink()

    helper = threading.Thread(target=bring_back)
    helper.start()
    score_file(run, reports.append, lambda: None)
    helper.join()

    assert [row["status"] for row in result_of(run.out)[1]] == ["scored"] * 500


def test_process_that_dies_once_is_replaced(tmp_path: Path, tiny: Bundle, tiny_path: Path) -> None:
    run = run_of(tmp_path, tiny, tiny_path, "out")
    (tmp_path / DEADLY_ONCE).touch()

    assert [report.counts.read for report in score(run)] == [100, 200, 300, 400, 500]
    assert [row["transaction_id"] for row in result_of(run.out)[1]] == [f"t-{index}" for index in range(500)]


def test_chunk_that_kills_every_process_fails_the_run(tmp_path: Path, tiny: Bundle, tiny_path: Path) -> None:
    run = run_of(tmp_path, tiny, tiny_path, "out")
    (tmp_path / DEADLY).touch()

    with pytest.raises(JobFailedError) as raised:
        score(run)

    assert raised.value.job_code == "worker_lost"
    assert finished(run.out) is None


def test_input_changed_under_a_run_fails_it(tmp_path: Path, tiny: Bundle, tiny_path: Path) -> None:
    run = run_of(tmp_path, tiny, tiny_path, "out")

    def change(progress: Progress) -> None:
        with run.source.open("ab") as file:
            file.write(b"t-500,1,2,3,x\n")

    with pytest.raises(JobFailedError) as raised:
        score_file(run, change, lambda: None)

    assert raised.value.job_code == "input_changed"
    assert finished(run.out) is None


def test_one_folder_is_written_by_one_process_at_a_time(tmp_path: Path, tiny: Bundle, tiny_path: Path) -> None:
    run = run_of(tmp_path, tiny, tiny_path, "out")
    codes = []

    def try_too(progress: Progress) -> None:
        with pytest.raises(JobFailedError) as raised:
            score(run)
        codes.append(raised.value.job_code)

    score_file(run, try_too, lambda: None)

    assert codes == ["already_running"] * 5
