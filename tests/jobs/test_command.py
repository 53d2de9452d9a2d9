"""The command line: whatever stops it, the same command goes on from there, to the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from core.jobs.records import FormatName
from tests.jobs.command import ROWS_PER_PART, command, files_of, score, start
from tests.jobs.tables import encode, result_of, table
from tests.processes import run_python


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_bytes(encode(table(2000), "csv"))
    return path


@dataclass
class SmallDisk:
    """A file system of its own, in memory."""

    folder: Path

    def resize(self, kib: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kib}k", self.folder], check=True)  # noqa: S603, S607


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=False, capture_output=True)  # noqa: S603, S607
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield SmallDisk(folder)
    subprocess.run(["umount", folder], check=True)  # noqa: S603, S607


@pytest.mark.parametrize("name", ["csv.gz", "parquet"])
def test_result_has_every_row_in_order_in_parts_of_bounded_size(
    name: FormatName, tiny_path: Path, tmp_path: Path
) -> None:
    rows = table(1100)
    rows[700]["log.amount"] = -5.0
    source, out = tmp_path / f"in.{name}", tmp_path / "out"
    source.write_bytes(encode(rows, name))

    done = score(tiny_path, source, out)

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1,100 rows: 1,099 scored, 1 rejected; 5 parts in {out}\n"
    manifest, found = result_of(out)
    assert [(row["transaction_id"], row["shop"]) for row in found] == [(r["transaction_id"], r["shop"]) for r in rows]
    assert [index for index, row in enumerate(found) if row["status"] != "scored"] == [700]
    assert found[700]["fraud_score"] is found[700]["decision"] is None
    assert [part.rows for part in manifest.parts] == [ROWS_PER_PART] * 4 + [100]
    assert sorted(files_of(out)) == sorted(["manifest.json", *(part.name for part in manifest.parts)])


def test_second_time_there_is_nothing_to_do_and_another_file_is_refused(
    source: Path, tiny_path: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "out", tmp_path / "other.csv"
    other.write_bytes(encode(table(10, seed=2), "csv"))
    first = score(tiny_path, source, out)
    before = files_of(out)

    again, another = score(tiny_path, source, out), score(tiny_path, other, out)

    assert (again.returncode, again.stdout) == (0, first.stdout.replace("\n", ", already there\n"))
    assert another.returncode == 1
    assert "result_exists" in another.stderr
    assert files_of(out) == before


def test_result_with_other_columns_is_not_taken_for_what_was_asked(
    source: Path, tiny_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert score(tiny_path, source, out).returncode == 0

    for more in (["--carry", "shop"], ["--reasons"]):
        other = score(tiny_path, source, out, *more)

        assert (other.returncode, other.stdout) == (1, "")
        assert "result_exists" in other.stderr


def test_option_that_was_mended_after_it_failed_needs_no_other_folder(
    source: Path, tiny_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    failed = score(tiny_path, source, out, "--carry", "shopp")
    assert (failed.returncode, "missing_columns" in failed.stderr) == (1, True)

    assert score(tiny_path, source, out).returncode == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a small disk")
@pytest.mark.parametrize("kib", [60, 400])
def test_full_disk_is_named_and_with_more_room_it_goes_on(
    kib: int, small_disk: SmallDisk, tiny_path: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "in.csv", small_disk.folder / "out"
    source.write_bytes(encode(table(20_000), "csv"))
    small_disk.resize(kib)

    failed = score(tiny_path, source, out)

    assert failed.returncode == 1
    assert "score: storage_failed: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not list(out.glob("manifest*"))
    small_disk.resize(20_000)
    assert score(tiny_path, source, out).returncode == 0
    assert [row["transaction_id"] for row in result_of(out)[1]] == [f"t-{index}" for index in range(20_000)]


def killed_at_random_points(bundle: Path, source: Path, folder: Path, n_kills: int, seed: int) -> int:
    """Kill the command again and again, and let it end at last; return how many of the kills hit it at work."""
    undisturbed, out = folder / "undisturbed", folder / "killed"
    assert score(bundle, source, undisturbed).returncode == 0
    generator, hits = random.Random(seed), 0
    for kill in range(n_kills):
        process = start(bundle, source, out)
        hits += wait_for_parts(process, out, generator.randrange(40))
        time.sleep(generator.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (out / "manifest.json").exists():
            # It was done, or as good as: begin anew, so that each kill has something to hit.
            assert {k: v for k, v in files_of(out).items() if not k.startswith(".")} == files_of(undisturbed)
            out = folder / f"killed-{kill}"
    assert score(bundle, source, out).returncode == 0
    assert files_of(out) == files_of(undisturbed)
    return hits


def wait_for_parts(process: subprocess.Popen[bytes], out: Path, n_more: int) -> bool:
    """Wait until so many more parts are written; tell whether the process was still at work then."""

    def n_parts() -> int:
        return len(list(out.rglob("part-*.csv")))

    goal = n_parts() + n_more
    while process.poll() is None and n_parts() < goal:
        time.sleep(0.002)
    return process.poll() is None


def test_killed_at_random_points_it_ends_with_the_same_bytes(source: Path, tiny_path: Path, tmp_path: Path) -> None:
    assert killed_at_random_points(tiny_path, source, tmp_path, n_kills=3, seed=2) > 0


@pytest.mark.soak
def test_killed_at_50_random_points_of_100_000_rows_it_ends_with_the_same_bytes(
    tiny_path: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(encode(table(100_000), "csv"))

    assert killed_at_random_points(tiny_path, source, tmp_path, n_kills=50, seed=2) >= 40


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline, "it does not come so far"
        time.sleep(0.01)


def wait_for(path: Path, pattern: str) -> None:
    wait_until(lambda: any(path.glob(pattern)))


def test_ctrl_c_stops_it_with_its_own_exit_code_and_it_goes_on(tiny_path: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out"
    source.write_bytes(encode(table(120_000), "csv"))
    process = start(tiny_path, source, out)
    wait_for(out, ".partial/part-*.csv")

    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130
    assert not list(out.glob("*"))[1:], "beside .partial there is nothing to be taken for a result"
    assert score(tiny_path, source, out).returncode == 0
    assert [row["transaction_id"] for row in result_of(out)[1]] == [f"t-{index}" for index in range(120_000)]


def test_ctrl_c_while_processes_start_is_heard_by_the_first_alone(tiny_path: Path, tmp_path: Path) -> None:
    source, errors = tmp_path / "in.csv", tmp_path / "errors"
    source.write_bytes(encode(table(20_000), "csv"))
    with errors.open("wb") as stderr:
        process = start(tiny_path, source, tmp_path / "out", stderr=stderr, start_new_session=True)
        # One of two keeps an eye on what the other processes leave behind.
        wait_until(lambda: len(psutil.Process(process.pid).children()) >= 2)
        time.sleep(0.2)  # they import what they need

        os.killpg(process.pid, signal.SIGINT)  # as a terminal does

        assert process.wait(20) == 130
    assert errors.read_text() == "score: stopped; the same command goes on from here\n"


def test_input_changed_between_two_attempts_fails(tiny_path: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out"
    source.write_bytes(encode(table(40_000), "csv"))
    process = start(tiny_path, source, out)
    wait_for(out, ".partial/part-*.csv")
    process.kill()
    process.wait()
    source.write_bytes(encode(table(40_000, seed=9), "csv"))

    done = score(tiny_path, source, out)

    assert done.returncode == 1
    assert "input_changed" in done.stderr
    assert not (out / "manifest.json").exists()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"json,class,log.amount,shop,transaction_id\n", "no_rows"),
        (b"json;class;log.amount\n1;2;3\n", "wrong_delimiter"),
    ],
)
def test_file_that_cannot_be_scored_fails_by_its_code_and_leaves_no_result(
    raw: bytes, code: str, tiny_path: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out"
    source.write_bytes(raw)

    done = score(tiny_path, source, out)

    assert done.returncode == 1
    assert f"score: {code}: " in done.stderr
    assert [name for name in files_of(out) if not name.startswith(".partial")] == []


def test_gzip_that_breaks_off_fails_after_its_last_row_and_leaves_no_result(tiny_path: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.csv.gz", tmp_path / "out"
    source.write_bytes(encode(table(3000), "csv.gz")[:-20])

    done = score(tiny_path, source, out)

    assert done.returncode == 1
    assert "input_truncated" in done.stderr
    assert [name for name in files_of(out) if not name.startswith(".partial")] == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["score"], 2, "FILE"),
        (["score", "missing.csv", "--out", "out"], 1, "input_missing"),
        (["score", "README.md", "--out", "out"], 1, "--format"),
        (["score", "README.md", "--out", "out", "--carry", "shop,status"], 2, "--carry: fraud_score, decision"),
        (
            ["score", "README.md", "--out", "out", "--rows-per-part", "x"],
            2,
            "--rows-per-part: should be a whole number",
        ),
        (["score", "README.md", "--out", "out", "--workers", "0"], 2, "--workers: should be a whole number"),
        (["score", "README.md", "--out", "out", "--patience", "nan"], 2, "--patience: should be a number of seconds"),
        (["score", "README.md", "--out", "out", "--patience", "-1"], 2, "--patience: should be a number of seconds"),
        (["score", "events/batch.csv", "--out", "README.md"], 1, "storage_failed: README.md is no folder"),
        (["score", "events/batch.csv", "--out", "models/creditcard"], 1, "manifest.json that is not of a result"),
        (["score", "events/batch.csv", "--out", "README.md/out"], 1, "storage_failed: "),
        (["score", "--help"], 0, "exit codes"),
    ],
)
def test_usage_is_explained(arguments: list[str], code: int, words: str, tiny_path: Path) -> None:
    done = run_python("-m", "core.jobs", *arguments, MODEL_BUNDLE=str(tiny_path))

    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_bundle_that_is_not_there_is_a_matter_of_configuration(source: Path, tmp_path: Path) -> None:
    done = run_python(*command(source, tmp_path / "out"), MODEL_BUNDLE=str(tmp_path / "none"))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("score: ")
