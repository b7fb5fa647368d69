"""The cluster's time: forward only, with the leader's own clock, toward the wall clock slowly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.state.stamp import next_stamp, reader_time

S = 1_000_000_000
YEAR = 365 * 86_400 * S
NOW = 1_763_973_513 * S


@pytest.mark.parametrize(
    ("elapsed_s", "wall_ns", "expected"),
    [
        (10, NOW + 10 * S, NOW + 10 * S),
        (10, NOW + 10 * S + 400_000_000, NOW + 10 * S + 400_000_000),
        (10, NOW + 10 * S - 400_000_000, NOW + 10 * S - 400_000_000),
        (10, NOW + YEAR, NOW + 10 * S + 500_000_000),
        (10, NOW - YEAR, NOW + 10 * S - 500_000_000),
        (0, NOW + YEAR, NOW + 1),
        (0, NOW - YEAR, NOW + 1),
        (-5, NOW, NOW + 1),
        (100, 0, NOW + 95 * S),
    ],
)
def test_a_stamp_moves_with_the_own_clock_and_slews_by_at_most_5_percent(elapsed_s, wall_ns, expected):
    """A wall clock that is right is followed; one that jumped a year is not."""
    assert expected == next_stamp(NOW, 1000.0, 1000.0 + elapsed_s, wall_ns)


@pytest.mark.parametrize(("wall_ns", "expected"), [(NOW, NOW), (0, 1), (-5, 1)])
def test_the_first_stamp_of_a_cluster_is_the_wall_clock(wall_ns, expected):
    """There is nothing else to start from; and it is never 0, which means none."""
    assert expected == next_stamp(0, 0.0, 1000.0, wall_ns)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 100), st.integers(-YEAR, 3 * YEAR)), min_size=1, max_size=30))
def test_stamps_only_rise_and_stay_within_5_percent_of_the_time_that_passed(steps):
    """Whatever the wall clock says at each step."""
    stamp, boot_s = NOW, 0.0
    for number, (elapsed_s, wall_offset_ns) in enumerate(steps, 1):
        before = stamp
        stamp = next_stamp(stamp, boot_s, max(boot_s, boot_s + elapsed_s), NOW + wall_offset_ns)
        boot_s = max(boot_s, boot_s + elapsed_s)
        assert stamp > before
        assert abs(stamp - NOW - boot_s * S) <= 0.05 * boot_s * S + 10 * number


@pytest.mark.parametrize(
    ("heard_s", "boot_s", "expected"), [(5.0, 7.5, NOW + 2_500_000_000), (5.0, 5.0, NOW), (5.0, 4.0, NOW)]
)
def test_a_reader_adds_its_own_clocks_time_to_the_stamp(heard_s, boot_s, expected):
    """And never goes behind it."""
    assert expected == reader_time(NOW, heard_s, boot_s)
