"""`Rate`: so many a minute for each name, exactly, in bounded memory."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from core.api import rates
from core.api.rates import Rate, neighbourhood


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [1_000_000.25]
    monkeypatch.setattr(rates.time, "monotonic", lambda: now[0])
    yield now


@pytest.mark.parametrize("per_minute", [1, 7, 20, 60, 1_000])
def test_take_gives_a_minutes_worth_at_once_and_says_when_there_is_more(clock: list[float], per_minute: int) -> None:
    rate = Rate(per_minute)

    assert [rate.take("a") for _ in range(per_minute)] == [0.0] * per_minute
    wait = rate.take("a")
    assert wait == pytest.approx(60 / per_minute, abs=1e-5)
    clock[0] += wait
    assert rate.take("a") == 0
    assert rate.take("a") > 0


def test_take_lets_a_steady_caller_at_the_rate_go_on_for_ever(clock: list[float]) -> None:
    rate = Rate(30)
    for _ in range(1_000):
        assert rate.take("a") == 0
        clock[0] += 2


def test_take_never_lets_more_than_twice_the_rate_through_in_any_minute(clock: list[float]) -> None:
    """The minute's worth that may come at once, and what was paid off meanwhile."""
    rate, generator, taken = Rate(20), random.Random(4), []
    for _ in range(5_000):
        clock[0] += generator.expovariate(3)
        if rate.take("a") == 0:
            taken.append(clock[0])
    most = max(sum(start <= each < start + 60 for each in taken) for start in taken)
    assert 20 < most <= 40
    assert len(taken) == pytest.approx((taken[-1] - taken[0]) / 3, rel=0.05)


def test_take_of_one_name_costs_no_other_and_a_refusal_costs_nothing(clock: list[float]) -> None:
    rate = Rate(1)
    assert (rate.take("a"), rate.take("b")) == (0, 0)
    for _ in range(100):
        assert rate.take("a") == pytest.approx(60)
    clock[0] += 60
    assert (rate.take("a"), rate.take("b")) == (0, 0)


def test_take_remembers_a_bounded_number_of_names_and_forgets_the_quietest(clock: list[float]) -> None:
    rate = Rate(1, max_names=100)
    for name in range(10_000):
        assert rate.take(f"{name}") == 0
        assert (rate.take("loud") == 0) is (name == 0)
    assert len(rate._paid_off) == 100


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_neighbourhood_is_the_network_of_an_ipv6_address(address: str, expected: str) -> None:
    assert neighbourhood(address) == expected
