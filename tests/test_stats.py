"""Statistics: known numbers come out of made-up rows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hakmem import stats
from hakmem.store import Result
from results import result


def rows(variant: str, label: str, values: list[float]) -> list[Result]:
    return [
        replace(result(), variant=variant, label=label, round=index, ns_per_op=value)
        for index, value in enumerate(values)
    ]


def test_summary_has_median_variation_and_time_less_null() -> None:
    found = stats.cells(rows("a", "r", [10.0, 12.0, 50.0]) + rows("null", "r", [4.0, 4.0, 5.0]))
    summary = stats.summarise(found)["a", "r"]
    assert summary.ns_per_op == 12.0 and summary.net_ns == 8.0 and summary.rounds == 3
    assert summary.cv == pytest.approx(0.9391, abs=0.0001)
    assert stats.summarise(stats.cells(rows("a", "r", [1.0])))["a", "r"].net_ns is None


def test_ratios_are_paired_within_rounds() -> None:
    slow_and_fast_minutes = [1.0, 2.0, 4.0, 8.0, 16.0]
    found = stats.cells(
        rows("libc", "r", slow_and_fast_minutes) + rows("a", "r", [0.5 * ns for ns in slow_and_fast_minutes])
    )
    ratio = stats.ratio(found, "a", "libc", "r")
    assert ratio == stats.Ratio(0.5, 0.5, 0.5)
    assert not ratio.tied


def test_interval_holds_the_value_and_is_reproducible() -> None:
    base = [float(ns) for ns in range(10, 30)]
    found = stats.cells(
        rows("libc", "r", base)
        + rows("a", "r", [ns * (0.95 if index % 2 else 1.05) for index, ns in enumerate(base)])
    )
    first = stats.ratio(found, "a", "libc", "r")
    assert first is not None and first.low <= first.value <= first.high
    assert first.tied and first == stats.ratio(found, "a", "libc", "r")


def test_geometric_mean_over_rows_uses_rounds_that_all_rows_have() -> None:
    found = stats.cells(
        rows("libc", "r", [1.0, 1.0])
        + rows("libc", "s", [1.0, 1.0])
        + rows("a", "r", [2.0, 2.0])
        + rows("a", "s", [8.0])
    )
    mean = stats.geometric_mean(found, "a", "libc", ["r", "s"])
    assert mean is not None and mean.value == pytest.approx(4.0)
    assert stats.geometric_mean(found, "a", "libc", ["r", "t"]) is None


def test_noise_floor_is_the_widest_difference_of_a_pair() -> None:
    found = stats.cells(
        rows("libc", "r", [10.0])
        + rows("libc#2", "r", [10.5])
        + rows("libc", "s", [10.0])
        + rows("libc#2", "s", [9.0])
    )
    assert stats.row_noise(found, {"libc#2": "libc"}, ["r", "s"]) == pytest.approx(1 / 0.9 - 1)
    assert math.isnan(stats.row_noise(found, {"a#2": "a"}, ["r"]))


def test_within_the_noise_is_a_tie() -> None:
    found = stats.cells(rows("a", "r", [10.0] * 5) + rows("b", "r", [10.2] * 5) + rows("c", "r", [12.0] * 5))
    assert stats.ties(found, ["c", "b", "a"], ["r"], 0.03) == ["a", "b"]
    assert stats.ties(found, ["c", "b", "a"], ["r"], 0.001) == ["a"]
    assert stats.ties(found, [], ["r"], 0.03) == []


def test_ranks_are_compared_and_not_values() -> None:
    assert stats.rank_correlation([(1.0, 10.0), (2.0, 11.0), (3.0, 500.0)]) == pytest.approx(1.0)
    assert stats.rank_correlation([(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]) == pytest.approx(-1.0)
    assert stats.rank_correlation([(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0)]) == pytest.approx(0.6)
    assert stats.rank_correlation([(1.0, 2.0), (2.0, 1.0)]) is None


@pytest.mark.parametrize("rounds", [6, 7, 8, 10, 20, 41])
def test_a_rows_interval_misses_the_median_in_5_of_100_races(rounds: int) -> None:
    draw = np.random.default_rng(rounds)
    hit = draw.uniform(0.0, 0.5, (4000, rounds)) * draw.choice(
        [-1.0, 0.0, 1.0], (4000, rounds), p=[0.1, 0.8, 0.1]
    )
    missed = 0
    for logs in draw.normal(0.0, 0.05, (4000, rounds)) + hit:
        low, high = stats.median_interval(logs)
        assert min(logs) <= low <= np.median(logs) <= high <= max(logs)
        missed += not low <= 0.0 <= high
    assert 0.03 < missed / 4000 < 0.065


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_few_rounds_give_the_smallest_and_the_largest(rounds: int) -> None:
    logs = np.array([0.3, -0.2, 0.1, 0.7, 0.5])[:rounds]
    assert stats.median_interval(logs) == (min(logs), max(logs))


def test_a_rows_interval_is_between_the_order_statistics_of_the_sign_test() -> None:
    # Of ten the second and the third lie around the median in 97.9 and 89.1 of 100 races
    low, high = stats.median_interval(np.arange(10.0))
    assert 1.0 < low < 2.0 and low + high == pytest.approx(9.0)
    exact = scipy_stats.quantile_test(np.arange(10.0), p=0.5).confidence_interval(0.95)
    assert exact.low <= low and high <= exact.high
