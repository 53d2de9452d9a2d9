"""Measure this service beside its yardstick and its peers, and write the results: `make bench`."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks import endpoint, in_process, instructions, lambda_image, over_http, workers, wrk
from benchmarks.contenders import contenders
from benchmarks.growth import growth
from benchmarks.running import Pace, running
from benchmarks.sections import Section
from core.bundle import load_bundle
from tests.repository import BUNDLE, ROOT

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
LIBRARIES = ("fastapi", "starlette", "pydantic", "uvicorn", "onnxruntime", "numpy", "boto3")
PARTS = ("in-process", "instructions", "http", "endpoint", "growth", "workers", "lambda")


def main() -> None:
    """Run the chosen parts, show their tables, and write them to a file if all were run."""
    parser = argparse.ArgumentParser(
        prog="PYTHONPATH=ecs python -m benchmarks", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="which parts to run (all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each load, interleaved (5)")
    parser.add_argument("--seconds", type=float, default=3, help="length of each load in each round (3)")
    parser.add_argument("--out", type=Path, help="where to write the results (benchmarks/RESULTS.md, if all parts ran)")
    options = parser.parse_args()
    console, pace = Console(width=140), Pace(options.rounds, options.seconds)
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("error: the server and the load need a core each, and this machine gives us one")
    wrk.check_installed()
    notes: list[str] = []
    sections: list[Section] = []
    with tempfile.TemporaryDirectory() as folder, console.status("") as status:

        def on_step(step: str) -> None:
            status.update(step)

        for part in options.only:
            made = _PARTS[part](Path(folder), pace, on_step, notes)
            for section in made:
                section.show(console)
            sections += made
    out = options.out or (RESULTS if set(options.only) == set(PARTS) else None)
    if out is not None:
        out.write_text(_document(sections, notes, pace), encoding="utf-8")
        console.print(f"Written to {out}")


def _in_process(_folder: Path, _pace: Pace, on_step: Callable[[str], None], _notes: list[str]) -> list[Section]:
    on_step("in the process")
    app, service = in_process.silent_app()
    return [measure(app, service) for measure in (in_process.single, in_process.batches, in_process.explanations)]


def _instructions(folder: Path, _pace: Pace, on_step: Callable[[str], None], notes: list[str]) -> list[Section]:
    made, missing = instructions.sections(folder, on_step)
    notes += missing
    return made


def _http(folder: Path, pace: Pace, on_step: Callable[[str], None], notes: list[str]) -> list[Section]:
    bundle = load_bundle(BUNDLE)
    found, missing = contenders(bundle, folder)
    notes += [f"{each.name}: {each.about}." for each in found] + missing
    with ExitStack() as stack:
        servers = []
        for contender in found:
            on_step(f"starting {contender.name}")
            servers.append(stack.enter_context(running(contender, bundle, folder)))
        begun = over_http.start(servers)
        single, rates = over_http.single(servers, bundle, pace, on_step)
        steady = over_http.steady(servers, bundle, rates, pace, on_step)
        batches = over_http.batches(servers, bundle, pace, on_step)
        return [over_http.goals(rates), single, steady, batches, begun, over_http.memory(servers)]


def _endpoint(folder: Path, pace: Pace, on_step: Callable[[str], None], _notes: list[str]) -> list[Section]:
    return endpoint.sections(folder, pace, on_step)


def _growth(_folder: Path, _pace: Pace, on_step: Callable[[str], None], _notes: list[str]) -> list[Section]:
    return [growth(on_step)]


def _workers(folder: Path, pace: Pace, on_step: Callable[[str], None], _notes: list[str]) -> list[Section]:
    return [workers.section(load_bundle(BUNDLE), folder, pace, on_step)]


def _lambda(_folder: Path, _pace: Pace, on_step: Callable[[str], None], notes: list[str]) -> list[Section]:
    sections, missing = lambda_image.sections(on_step)
    notes += missing
    return sections


_PARTS = {
    "in-process": _in_process,
    "instructions": _instructions,
    "http": _http,
    "endpoint": _endpoint,
    "growth": _growth,
    "workers": _workers,
    "lambda": _lambda,
}


def _document(sections: list[Section], notes: list[str], pace: Pace) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    memory = psutil.virtual_memory().total / 2**30
    lines = [
        "# Benchmark results",
        "",
        "Written by `make bench`; what is measured and how is said in [the sources](.) and under each heading.",
        "",
        f"- Machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}.",
        f"- Python {platform.python_version()}, {libraries}; model {load_bundle(BUNDLE).version}.",
        f"- {pace.rounds} rounds of {pace.seconds:g} s, all servers in turn in each round.",
        *(f"- {note}" for note in notes),
        "",
    ]
    return "\n".join(lines) + "\n" + "\n".join(section.markdown() for section in sections)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
