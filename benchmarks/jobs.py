"""What a job costs beside the least that could be done: read the file with the same reader, predict it in one go.

    python -m benchmarks.jobs FILE.csv [--repeat N]

Prints rows per second of both, the job's share of the other, the memory of all its processes together, and whether
its scores are those of `/predict/batch` bit by bit on 10 000 rows.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from core.bundle import ONNX_MODEL, load_bundle
from core.jobs.formats.base import ChunkLimits
from core.jobs.formats.csv_lines import CsvFormat
from core.transactions import TransactionSchema

BUNDLE = Path("models/creditcard")
SAMPLE, BATCH = 10_000, 1000


def bare(path: Path) -> tuple[int, float]:
    """Read all rows, then one call of the model with as many threads as it likes; return rows and seconds."""
    bundle = load_bundle(BUNDLE)
    schema, reader = TransactionSchema(bundle.manifest.fields), CsvFormat()
    session = onnxruntime.InferenceSession(bundle.files[ONNX_MODEL], providers=["CPUExecutionProvider"])
    started = time.perf_counter()
    with path.open("rb") as file:
        table = reader.open(file, schema, None, ChunkLimits())
        values = [reader.rows(chunk.payload, table.layout, schema).transactions.values for chunk in table.chunks]
    features = bundle.preprocessor.transform(np.concatenate(values))
    margins = session.run(None, {session.get_inputs()[0].name: features})[0]
    return len(margins), time.perf_counter() - started


def job(path: Path, out: Path) -> tuple[float, float]:
    """Run the command; return seconds, its start included, and the most MiB of all its processes together."""
    command = [sys.executable, "-m", "core.jobs", "score", str(path), "--out", str(out), "--carry", "Time,Class"]
    started, most = time.perf_counter(), 0.0
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - our own interpreter
    while process.poll() is None:
        most = max(most, memory(process.pid))
        time.sleep(0.05)
    assert process.returncode == 0
    return time.perf_counter() - started, most


def memory(pid: int) -> float:
    """Return MiB of the process and its descendants; shared pages are shared out (PSS)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return own / 1024 + sum(memory(int(child)) for child in children)


def differences(path: Path, out: Path) -> int:
    """Return how many of the first rows `/predict/batch` scores otherwise, in a bit."""
    from fastapi.testclient import TestClient

    from core.bootstrap import build_app
    from core.settings import load_settings

    client = TestClient(build_app(load_settings(None, auth_disabled=True, log_level="ERROR")))
    with path.open(newline="") as file, (out / "part-000000.csv").open(newline="") as part:
        rows, scored = csv.reader(file), csv.DictReader(part)
        header = next(rows)[:-1]  # less the label
        n_different = 0
        for _ in range(SAMPLE // BATCH):
            text = io.StringIO()
            csv.writer(text).writerows([header, *(next(rows)[:-1] for _ in range(BATCH))])
            reply = client.post("/predict/batch", content=text.getvalue(), headers={"content-type": "text/csv"})
            for prediction in reply.json()["predictions"]:
                row = next(scored)
                same = (float(row["fraud_score"]), row["decision"]) == (
                    prediction["fraud_score"], prediction["decision"],
                )  # fmt: skip
                n_different += not same
    return n_different


def cpu_seconds() -> float:
    """Return what all processes that were started and have ended took of the cores: other work changes it less."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.bare:
        print(json.dumps(bare(asked.file)))
        return
    for _ in range(asked.repeat):
        before = cpu_seconds()
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "benchmarks.jobs", str(asked.file), "--bare"],
            check=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        n_rows, in_one_go = json.loads(done.stdout)
        between = cpu_seconds()
        with tempfile.TemporaryDirectory() as folder:
            took, most = job(asked.file, Path(folder))
            after = cpu_seconds()
            n_different = differences(asked.file, Path(folder))
        print(
            f"{n_rows:,} rows: bare {n_rows / in_one_go:,.0f} rows/s, job {n_rows / took:,.0f} rows/s "
            f"({in_one_go / took:.2f} of it), CPU {between - before:.1f} s and {after - between:.1f} s, "
            f"{most:.0f} MiB in all, {n_different} of {SAMPLE:,} scores differ"
        )


if __name__ == "__main__":
    main()
