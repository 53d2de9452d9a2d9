"""One process of this service, and two side by side: what a neighbour costs."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contenders import ours
from benchmarks.running import LOAD_CORE, SERVER_CORE, OnStep, Pace, Running, load_of, rows_for, running
from benchmarks.sections import Section, median, spread
from benchmarks.wrk import Load
from core.bundle import Bundle

CONNECTIONS = 16
"""To each process."""
_CORES = SERVER_CORE, LOAD_CORE


def section(bundle: Bundle, folder: Path, pace: Pace, on_step: OnStep) -> Section:
    """Return the table of one process and of two, with as many connections to each."""
    loads: dict[int, list[list[Load]]] = defaultdict(list)
    cpu: dict[int, list[float]] = defaultdict(list)
    with ExitStack() as stack, ThreadPoolExecutor(len(_CORES)) as at_once:
        servers = []
        for core in _CORES:
            on_step(f"starting process {len(servers) + 1}")
            own = folder / f"worker-{core}"
            own.mkdir()
            servers.append(stack.enter_context(running(ours(own), bundle, own, core)))

        def load(server: Running, core: int) -> tuple[Load, float]:
            rows = rows_for(server.contender, bundle)[:1]
            return load_of(server, server.contender.single, rows, CONNECTIONS, pace.seconds, core)

        for turn in range(pace.rounds):
            for n in (1, 2):
                on_step(f"workers, round {turn + 1} of {pace.rounds}: {n}")
                # Each is loaded from the core of the other.
                seen = list(at_once.map(load, servers[:n], _CORES[::-1][:n]))
                loads[n].append([each for each, _ in seen])
                cpu[n].append(sum(seconds for _, seconds in seen) / sum(each.requests for each, _ in seen) * 1e6)
    made = Section(
        "Workers: POST /predict",
        ("processes", "requests/s together", "p99, ms", "CPU, µs a request"),
        f"{CONNECTIONS} connections to each. There are two cores: of two processes each shares its own with the load "
        "of the other, so the rate tells less than the CPU, which is what a neighbour costs.",
    )
    for n, runs in loads.items():
        rates = [sum(each.rate for each in run) for run in runs]
        made.rows.append((
            f"{n}",
            spread(rates),
            f"{median([max(each.p99_ms for each in run) for run in runs]):.2f}",
            f"{median(cpu[n]):.0f}",
        ))  # fmt: skip
    return made
