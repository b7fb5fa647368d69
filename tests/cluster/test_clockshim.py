"""The clock that a test moves: only the wall moves, only in profile dev, and a bad file moves nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cluster.clockshim import VARIABLE, ShimmedClock, ShimRefusedError, clock_of
from cluster.clockwatch import skew_of_this_node
from cluster.seams import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NS = 1_000_000_000


class Stepped(ShimmedClock):
    """Looks at its file whenever it is asked: its boot clock leaps."""

    def __init__(self, path: Path) -> None:
        self._steps: Iterator[int] = iter(range(1, 1000))
        super().__init__(path)

    def boot(self) -> float:
        return float(next(self._steps))


def offset_s(clock: SystemClock) -> int:
    return round((clock.wall_ns() - SystemClock().wall_ns()) / NS)


def write(path: Path, text: str, at: int) -> None:
    path.write_text(text)
    os.utime(path, (at, at))


def test_the_wall_moves_by_what_the_file_says(tmp_path: Path) -> None:
    """Forwards, backwards, and back to nothing."""
    path = tmp_path / "clock"
    clock = Stepped(path)
    found = [offset_s(clock)]
    for at, text in enumerate(("31536000", "-3600", "0.0")):
        write(path, text, at)
        found.append(offset_s(clock))

    assert found == [0, 31536000, -3600, 0]


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "1e400", "\x00"])
def test_a_file_without_a_number_moves_nothing(tmp_path: Path, text: str) -> None:
    """What stood before goes on."""
    path = tmp_path / "clock"
    clock = Stepped(path)
    write(path, "60", 1)
    before = offset_s(clock)
    write(path, text, 2)

    assert (before, offset_s(clock)) == (60, 60)


def test_the_file_is_not_read_more_often_than_every_50_ms(tmp_path: Path) -> None:
    """Two readings in a row see one state of the file."""
    path = tmp_path / "clock"
    clock = ShimmedClock(path)
    clock.boot = lambda: 5.0  # type: ignore[method-assign] # time stands still
    first = offset_s(clock)
    write(path, "60", 1)

    assert (first, offset_s(clock)) == (0, 0)


def test_profile_dev_takes_the_clock_of_the_variable() -> None:
    """And nothing but the machine's without it."""
    assert isinstance(clock_of("dev", {VARIABLE: "/nowhere"}), ShimmedClock)
    assert type(clock_of("dev", {})) is SystemClock
    assert type(clock_of("production", {})) is SystemClock


def test_production_refuses_the_variable() -> None:
    """Even if it names no file that exists."""
    with pytest.raises(ShimRefusedError, match=VARIABLE):
        clock_of("production", {VARIABLE: ""})


@pytest.mark.parametrize(
    ("heard_s", "suspected_s", "expected_s"),
    [
        ([0, 0], 0, 0),
        ([-10, -10], 0, 10),  # both say that we are ahead
        ([10, 0], 0, 0),  # one peer is off, not we
        ([10, -10], 0, 0),
        ([0, 0], 10, 0),  # set right again
        ([-10], 0, 0),  # two clocks that differ do not say which is wrong
        ([-10], 10, 10),  # but a majority had said it before one of them went
        ([0], 10, 0),
        ([], 10, 10),
        ([], 0, 0),
        ([-10, -10, -10, 0], 0, 10),
    ],
)
def test_a_clock_is_judged_by_the_median_of_all_members(
    heard_s: list[int], suspected_s: int, expected_s: int
) -> None:
    """And a verdict stands until the members that are heard withdraw it."""
    found = skew_of_this_node([second * NS for second in heard_s], suspected_ns=suspected_s * NS)

    assert found == expected_s * NS
