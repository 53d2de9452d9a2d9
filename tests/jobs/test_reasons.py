"""Reasons in a result: those of `/predict`, whatever the format, the engine, or the number of attempts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.bundle import Bundle, load_bundle
from core.errors import JobFailedError
from core.jobs.formats.base import ROWS_PER_EXPLAINED_CHUNK, ChunkLimits
from core.jobs.local.run import score_file
from core.jobs.records import JobOptions
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from core.transactions import TransactionSchema, tabulate
from tests.jobs.command import files_of, score
from tests.jobs.conftest import Place
from tests.jobs.tables import FORMATS, FormatName, encode, result_of, table
from tests.jobs.test_api import FILE, client_of, post, put_input, wait_for
from tests.jobs.test_scorer_lost import DOWN, run_of
from tests.tiny_bundle import write_tiny_bundle

BAD = 70


def reasons_of(bundle: Bundle, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the reasons of one transaction, asked for alone."""
    service = ScoringService(bundle, EmbeddedScorer(bundle))
    assert service.explainer is not None
    fields = {name: row[name] for name in TransactionSchema(bundle.manifest.fields).names}
    transaction = TransactionSchema(bundle.manifest.fields).parse_one(fields)
    [prediction] = asyncio.run(service.explain_many(tabulate([transaction]), service.explainer))
    return [reason.as_dict() for reason in prediction.reasons or ()]


@pytest.mark.parametrize("name", FORMATS)
def test_command_gives_each_scored_row_the_reasons_of_predict(
    name: FormatName, tiny: Bundle, tiny_path: Path, tmp_path: Path
) -> None:
    rows = table(260)
    rows[BAD]["log.amount"] = -5.0
    source, out, without = tmp_path / f"in.{name}", tmp_path / "out", tmp_path / "without"
    source.write_bytes(encode(rows, name))

    done = score(tiny_path, source, out, "--reasons")
    score(tiny_path, source, without)

    assert done.returncode == 0, done.stderr
    manifest, found = result_of(out)
    assert manifest.columns[-2:] == ("status", "reasons")
    texts = [row.pop("reasons") for row in found]
    assert found == result_of(without)[1], "and nothing else is changed by them"
    assert not texts.pop(BAD)
    rows.pop(BAD)
    as_text = name != "jsonl"
    for row, text in zip(rows, texts, strict=True):
        assert (json.loads(text) if as_text else text) == reasons_of(tiny, row)
        assert not as_text or ", " not in text
    refused = score(tiny_path, source, out)
    assert refused.returncode == 1
    assert "result_exists" in refused.stderr


def test_run_that_is_taken_up_again_gives_the_same_bytes(tmp_path: Path, tiny: Bundle, tiny_path: Path) -> None:
    asked = JobOptions(reasons=True)
    score_file(replace(run_of(tmp_path, tiny, tiny_path, "undisturbed"), options=asked), lambda _: None, lambda: None)
    run = replace(run_of(tmp_path, tiny, tiny_path, "out", patience_s=0.5), options=asked)
    (tmp_path / DOWN).touch()
    with pytest.raises(JobFailedError):
        score_file(run, lambda _: None, lambda: None)
    (tmp_path / DOWN).unlink()
    with pytest.raises(JobFailedError) as raised:  # what is done has reasons: a run without them is another one
        score_file(replace(run, options=JobOptions()), lambda _: None, lambda: None)
    assert raised.value.job_code == "input_changed"

    score_file(run, lambda _: None, lambda: None)

    assert files_of(run.out) == files_of(tmp_path / "undisturbed")


def test_chunks_with_reasons_are_short(tmp_path: Path, tiny: Bundle, tiny_path: Path) -> None:
    run = replace(run_of(tmp_path, tiny, tiny_path, "out"), limits=ChunkLimits())

    assert run.chunk_limits == ChunkLimits()
    assert replace(run, options=JobOptions(reasons=True)).chunk_limits.rows == ROWS_PER_EXPLAINED_CHUNK


def test_job_of_the_api_has_reasons(place: Place) -> None:
    put_input(place, 120)
    client = client_of(place)
    job = post(client, {**FILE, "reasons": True}).json()

    done = wait_for(client, job["status_url"], "completed", "failed")

    assert done["state"] == "completed", done
    rows = result_of((place.folder / done["result"]).parent)[1]
    assert [json.loads(row["reasons"]) for row in rows] == [reasons_of(place.tiny, row) for row in table(120)]


def test_model_without_a_baseline_refuses_at_once(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    write_tiny_bundle(path, explanation=None)
    put_input(place, 10)
    place.tiny, place.tiny_path = load_bundle(path), path
    client = client_of(place, runs=False)

    refused = post(client, {**FILE, "reasons": True}, "night-1")
    accepted = post(client, FILE, "night-1")
    command = score(path, place.folder / "inputs" / "march" / "rows.csv", tmp_path / "out", "--reasons")

    assert (refused.status_code, accepted.status_code) == (422, 202)
    [issue] = refused.json()["errors"]
    assert (issue["loc"], issue["code"]) == (["body", "reasons"], "not_available")
    assert (command.returncode, "not_available" in command.stderr) == (1, True)
    assert not (tmp_path / "out").exists()
