"""`python -m core.jobs score FILE --out DIR`: a file of any size becomes scores, without a server."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from core.bootstrap import build_service
from core.bundle import Bundle
from core.bundle_location import load_bundle_from
from core.errors import JobFailedError, StartupError
from core.explanation import MAX_REASONS, NO_BASELINE, NO_REASONS
from core.jobs.formats.base import ROWS_PER_CHUNK, ROWS_PER_EXPLAINED_CHUNK, ChunkLimits
from core.jobs.formats.choice import guess_format
from core.jobs.local.folders import version_of
from core.jobs.local.opening import cores
from core.jobs.local.run import Run, digest_of, finished, score_file
from core.jobs.progress import ProgressLine
from core.jobs.records import RESULT_COLUMNS, FormatName, JobOptions, result_columns
from core.jobs.results import MANIFEST, ResultManifest
from core.settings import load_settings
from core.transactions import ID_COLUMN, TransactionSchema

EXIT_FAILED, EXIT_CONFIGURATION, EXIT_INTERRUPTED = 1, 2, 130
_EPILOG = f"""\
DIR gets parts of at most {ROWS_PER_CHUNK} rows in the format of FILE, in its order, and {MANIFEST}, which is written
last: without it there is no result. Each row has the columns carried through, and {", ".join(RESULT_COLUMNS)}.
A row that cannot be scored keeps its place, and its status says why.

Ctrl-C, or a kill, loses no part that is written: the same command goes on from there.

exit codes: 0 done; 1 the file cannot be scored, or could not this time; 2 wrong usage or configuration; 130 Ctrl-C
"""


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core.jobs", description="Score files of transactions.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    score = commands.add_parser(
        "score",
        help="score a file into a folder",
        description="Score each row of FILE with the model of the settings, on all cores.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    score.add_argument("file", type=Path, metavar="FILE", help=".csv, .csv.gz, .jsonl or .parquet")
    score.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the result")
    score.add_argument(
        "--carry", type=_columns, metavar="COLUMNS",
        help="columns to carry through, separated by commas (transaction_id, if any)",
    )  # fmt: skip
    score.add_argument(
        "--reasons", action="store_true",
        help=f"add up to {MAX_REASONS} reasons to each row: hundreds of times as much work, "
             f"and parts of {ROWS_PER_EXPLAINED_CHUNK} rows at most",
    )  # fmt: skip
    score.add_argument("--format", choices=get_args(FormatName), help="of FILE (by its name)")
    score.add_argument("--workers", type=_positive, default=cores(), metavar="N", help="processes (one a core)")
    score.add_argument(
        "--rows-per-part", type=_positive, default=ROWS_PER_CHUNK, metavar="N", help=f"({ROWS_PER_CHUNK})"
    )
    score.add_argument("--patience", type=_seconds, default=600.0, metavar="SECONDS",
                       help="how long to wait for a scorer that gives no scores (600)")  # fmt: skip
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Score, and show how it goes; return the exit code."""
    asked = _arguments().parse_args(arguments)
    line = ProgressLine(sys.stderr)
    try:
        run = _plan(asked)
        there = _finished(run)
        manifest = there or score_file(run, lambda done: line.show(done.counts.read, done.share), lambda: None)
    except StartupError as error:
        sys.stderr.write(f"score: {error}\n")
        return EXIT_CONFIGURATION
    except JobFailedError as error:
        line.close()
        sys.stderr.write(f"score: {error.job_code}: {error}\n")
        return EXIT_FAILED
    except OSError as error:
        line.close()
        sys.stderr.write(f"score: storage_failed: {error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        line.close()
        sys.stderr.write("score: stopped; the same command goes on from here\n")
        return EXIT_INTERRUPTED
    line.close()
    sys.stdout.write(f"{_summary(manifest)} in {run.out}{', already there' if there else ''}\n")
    return 0


def _summary(manifest: ResultManifest) -> str:
    counts, n_parts = manifest.counts, len(manifest.parts)
    rows = f"{counts.read:,} row{'s' if counts.read > 1 else ''}"
    parts = f"{n_parts} part{'s' if n_parts > 1 else ''}"
    return f"{rows}: {counts.scored:,} scored, {counts.rejected:,} rejected; {parts}"


def _plan(asked: argparse.Namespace) -> Run:
    """Return the run that the arguments and the settings ask for.

    Raises
    ------
    StartupError, JobFailedError
    """
    if not asked.file.is_file():
        raise JobFailedError("input_missing", f"there is no file {asked.file}")
    if asked.out.exists() and not asked.out.is_dir():
        raise JobFailedError("storage_failed", f"{asked.out} is no folder")
    format_name = asked.format or guess_format(asked.file)
    if format_name is None:
        raise JobFailedError("unknown_format", f"the name of the file does not tell its format: give --format "
                             f"{', '.join(get_args(FormatName))}")  # fmt: skip
    # It serves nobody, and so needs no key; and it can wait for the endpoint, rather than make do with less.
    settings = load_settings(Path(".env"), auth_disabled=True, scorer_fallback="none")
    bundle = load_bundle_from(settings.model_bundle, expected_digest=settings.model_bundle_sha256)
    options = _options(asked, bundle)
    return Run(
        source=asked.file.resolve(),
        version=version_of(asked.file),
        format=format_name,
        options=options,
        out=asked.out,
        build_service=build_service,
        settings=settings,
        schema=TransactionSchema(bundle.manifest.fields),
        bundle_sha256=bundle.digest,
        model_version=bundle.version,
        n_workers=asked.workers,
        patience_s=asked.patience,
        limits=ChunkLimits(rows=asked.rows_per_part),
    )


def _columns(text: str) -> tuple[str, ...]:
    """Read the columns of `--carry`."""
    columns = tuple(text.split(","))
    try:
        JobOptions(carry=columns)
    except ValidationError as error:
        # Through argparse: it names the option, and exits as for any other wrong usage.
        raise argparse.ArgumentTypeError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return columns


def _options(asked: argparse.Namespace, bundle: Bundle) -> JobOptions:
    if asked.reasons and bundle.manifest.explanation is None:
        raise JobFailedError(NO_REASONS, NO_BASELINE)
    return JobOptions(reasons=asked.reasons, carry=asked.carry)


def _finished(run: Run) -> ResultManifest | None:
    """Return the manifest that is there already, if there is one; it must be what the run would give."""
    manifest = finished(run.out)
    if manifest is None:
        return None
    if (manifest.input.sha256, manifest.bundle_sha256) != (digest_of(run.source), run.bundle_sha256):
        raise JobFailedError("result_exists", f"{run.out} holds the result of another file or model")
    carried = [(), (ID_COLUMN,)] if run.options.carry is None else [run.options.carry]
    if manifest.columns not in [result_columns(each, reasons=run.options.reasons) for each in carried]:
        raise JobFailedError("result_exists", f"{run.out} holds a result with other columns")
    return manifest


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("should be a whole number, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError("should be a number of seconds, 0 or more")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
