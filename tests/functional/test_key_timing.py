"""How long a wrong key takes to be refused tells nothing of how much of it was right (T35)."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from collections.abc import Iterator

import pytest

from core.api.auth import ApiKeys

KEY = "5dc1f0aa93b7e2c40b52a7de7f90c1d3"
N_WRONG = 20_000
TELLING_T = 4.5
"""Of Welch's t: the usual limit in tests for leaks."""


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def wrong_keys(lots: random.Random) -> list[tuple[int, bytes]]:
    """Return wrong keys of one length, and how many characters of each are right: none, or all but the last.

    They are copied at the end, in their random order: else where they lie in memory would tell them apart.
    """
    rights = lots.choices([0, 31], k=N_WRONG)
    made = [f"{KEY[:n]}g{f'{lots.getrandbits(128):032x}'[n + 1 :]}".encode() for n in rights]
    return list(zip(rights, (bytes(each) for each in [bytearray(each) for each in made]), strict=True))


def welch_t(some: list[int], others: list[int]) -> float:
    """Return Welch's t of two samples, each without its slowest tenth: interruptions by other processes."""
    first, second = (sorted(each)[: len(each) * 9 // 10] for each in (some, others))
    spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    return (statistics.fmean(first) - statistics.fmean(second)) / math.sqrt(spread)


@pytest.mark.soak
@pytest.mark.usefixtures("no_collections")
def test_time_taken_does_not_tell_how_much_of_a_key_was_right() -> None:
    """In the process, where nothing of a network hides a difference; whoever comes first is drawn by lot."""
    keys = ApiKeys([KEY, "another-key-that-is-active"])
    took: dict[int, list[int]] = {0: [], 31: []}
    for n_right, wrong in wrong_keys(random.Random(35)):
        begun = time.perf_counter_ns()
        caller = keys.identify(wrong)
        took[n_right].append(time.perf_counter_ns() - begun)
        assert caller is None
    t = welch_t(took[0], took[31])
    print(f"\n{N_WRONG} wrong keys, 0 or 31 of 32 characters right: Welch's t = {t:.2f}")
    assert abs(t) < TELLING_T
