"""This service beside its peers over HTTP: throughput, latency, CPU, memory, start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

from benchmarks import open_loop, wrk
from benchmarks.contenders import ECHO, OURS
from benchmarks.running import OnStep, Pace, Running, bare_rate, load_of, rows_for
from benchmarks.sections import Section, median, ratio, spread
from benchmarks.transactions import transactions
from core.bundle import Bundle

CONNECTIONS = (1, 16, 64)
BATCHES = (100, 1000, 5000)
OPEN_LOOP_SHARE = 0.5
"""Of what the closed loop reached with 16 connections."""


def start(servers: Sequence[Running]) -> Section:
    """Return how long each server took from its start to its first answer, and what memory it then held."""
    section = Section("Start and memory at rest", ("server", "start to first answer, s", "resident, MB"))
    for server in servers:
        section.rows.append((server.contender.name, f"{server.start_to_answer_s:.2f}", f"{server.resident_mb():.0f}"))
    return section


def single(servers: Sequence[Running], bundle: Bundle, pace: Pace, on_step: OnStep) -> tuple[Section, dict[str, float]]:
    """Return the table of `POST /predict`, and the median rate of each server with 16 connections."""
    loads: dict[tuple[str, int], list[wrk.Load]] = defaultdict(list)
    cpu: dict[tuple[str, int], list[float]] = defaultdict(list)
    for turn, connections in product(range(pace.rounds), CONNECTIONS):
        for server in servers:
            on_step(f"single, round {turn + 1} of {pace.rounds}, {connections} connections: {server.contender.name}")
            load, seconds = load_of(
                server, server.contender.single, rows_for(server.contender, bundle)[:1], connections, pace.seconds
            )
            loads[server.contender.name, connections].append(load)
            cpu[server.contender.name, connections].append(seconds / load.requests * 1e6)
    section = Section(
        "Single transactions: POST /predict",
        (
            "server, connections",
            "requests/s",
            "of the echo's",
            "p50, ms",
            "p99, ms",
            "p99 of the echo's",
            "CPU, µs a request",
        ),
        "Closed loop, one worker on one core, the load on the other. Medians of the rounds, and their range.",
    )
    for connections, server in product(CONNECTIONS, servers):
        name = server.contender.name
        runs, echo = loads[name, connections], loads[ECHO, connections]
        p99 = median([run.p99_ms for run in runs])
        section.rows.append((
            f"{name}, {connections}",
            spread([run.rate for run in runs]),
            ratio(median([run.rate for run in runs]) / median([run.rate for run in echo])),
            f"{median([run.p50_ms for run in runs]):.2f}",
            spread([run.p99_ms for run in runs], 2),
            ratio(p99 / median([run.p99_ms for run in echo])),
            f"{median(cpu[name, connections]):.0f}",
        ))  # fmt: skip
    rates = {
        server.contender.name: median([run.rate for run in loads[server.contender.name, 16]]) for server in servers
    }
    return section, rates


def steady(servers: Sequence[Running], bundle: Bundle, rates: dict[str, float], pace: Pace, on_step: OnStep) -> Section:
    """Return latencies under a constant rate of arrivals, counted from when each request was due."""
    section = Section(
        "Single transactions at half capacity, open loop",
        ("server", "arrivals/s", "answered", "p50, ms", "p99, ms"),
        "Requests arrive at a constant rate, half of the server's own in the closed loop (the generator, in Python, "
        "manages about 3,000 a second), and wait counts from when a request was due.",
    )
    for server in servers:
        name = server.contender.name
        on_step(f"open loop: {name}")
        rate = min(OPEN_LOOP_SHARE * rates[name], open_loop.MOST_ARRIVALS)
        form = server.contender.single
        body = form.write(rows_for(server.contender, bundle)[:1])
        seen = open_loop.run(server.port, form.path, form.headers, body, rate=rate, seconds=3 * pace.seconds)
        section.rows.append((name, f"{rate:,.0f}", f"{seen.answered:.1%}", f"{seen.p50_ms:.2f}", f"{seen.p99_ms:.2f}"))
    return section


def batches(servers: Sequence[Running], bundle: Bundle, pace: Pace, on_step: OnStep) -> Section:
    """Return the table of batches."""
    rates: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    bare: dict[int, list[float]] = defaultdict(list)
    for turn, size in product(range(pace.rounds), BATCHES):
        on_step(f"batches, round {turn + 1} of {pace.rounds}, {size} rows: the bare model")
        bare[size].append(bare_rate(bundle, transactions(size), pace.seconds))
        for server in servers:
            rows = rows_for(server.contender, bundle, transactions(size))
            for form in server.contender.batches:
                on_step(
                    f"batches, round {turn + 1} of {pace.rounds}, {size} rows: {server.contender.name}, {form.name}"
                )
                load, _ = load_of(server, form, rows, 1, pace.seconds)
                rates[server.contender.name, form.name, size].append(load.rate * size)
    section = Section(
        "Batches",
        ("server, form, rows", "rows/s", "of the bare model's"),
        "One connection. The bare model is ONNX Runtime on the same rows as a float32 matrix in memory, one thread, as "
        "long as each server and in turn with them; ratios are the medians of those of the rounds. Rows/s: "
        + ", ".join(f"{spread(each)} at {size}" for size, each in bare.items())
        + ".",
    )
    for size in BATCHES:
        for (name, form_name, rows), runs in rates.items():
            if rows == size:
                ratios = [rate / yardstick for rate, yardstick in zip(runs, bare[size], strict=True)]
                section.rows.append((f"{name}, {form_name}, {size}", spread(runs), ratio(median(ratios))))
    return section


def memory(servers: Sequence[Running]) -> Section:
    """Return the memory after all of the load."""
    section = Section("Memory after the load", ("server", "resident, MB"))
    section.rows += [(server.contender.name, f"{server.resident_mb():.0f}") for server in servers]
    return section


def goals(rates: dict[str, float]) -> Section:
    """Return how many times as many single transactions a second this service answers."""
    section = Section(
        "In short: single transactions, 16 connections", ("beside", "this service answers, times as many")
    )
    section.rows += [(name, ratio(rates[OURS] / rate)) for name, rate in rates.items() if name != OURS]
    return section
