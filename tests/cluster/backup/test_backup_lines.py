"""Which line of history is meant: never the wrong one by silence."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.backup.chain import RestoreError, Run
from cluster.backup.format import Kind
from cluster.backup.lines import end_of, lines, newest
from cluster.backup.sinks.base import Generation, Stored


def stored(kind: Kind, first: int, last: int) -> Stored:
    return Stored(kind, first, last, 1, last, b"", 0, True, kind == Kind.BASE, 1, b"", b"", False, f"{kind}{first}")


def run(first: int, last: int) -> Run:
    batches = [stored(Kind.BATCH, first + 1, last)] if last > first else []
    return Run([stored(Kind.BASE, first, first)], batches)


def line(
    name: bytes, first: int, last: int, parent: bytes = b"", at: int = 0, began: int = 0
) -> tuple[Generation, list[Run]]:
    return Generation(name, parent, at, began), [run(first, last)]


A = line(b"a", 2, 100, began=1)  # stamps are indexes: written last at 100
CONTINUES = line(b"b", 104, 150, b"a", 100, began=101)
EARLIER = line(b"c", 54, 200, b"a", 50, began=102)
BESIDE = line(b"f", 54, 200, b"a", 50, began=60)
UNLED = line(b"d", 104, 104, b"a", 100, began=103)


@pytest.mark.parametrize("later", [CONTINUES, EARLIER])
def test_a_line_that_another_took_the_place_of_is_not_meant(later: Any) -> None:
    """From its end or from an earlier point: nothing was written to it since."""
    assert newest(lines([A, later])).id == later[0].generation
    assert newest(lines([A])).id == b"a"


def test_lines_that_went_on_side_by_side_must_be_told_apart_by_name() -> None:
    """The former one was written after the other began; or two began from it."""
    with pytest.raises(RestoreError, match="several lines"):
        newest(lines([A, BESIDE]))
    with pytest.raises(RestoreError, match="several lines"):
        newest(lines([A, CONTINUES, EARLIER]))


def test_a_line_nobody_has_led_is_not_restored_by_silence() -> None:
    """It would be a second cluster from the same backup; `unled` says that this is meant."""
    found = lines([A, UNLED])
    with pytest.raises(RestoreError, match="has not served yet"):
        newest(found)

    assert newest(found, unled=True).id == b"d"


def test_nothing_is_no_line() -> None:
    """Neither no generation, nor one of which nothing can be restored."""
    with pytest.raises(RestoreError, match="nothing"):
        newest(lines([(Generation(b"a", b"", 0, 1), [])]))


def test_what_two_sinks_show_is_one_line() -> None:
    """That of the sink that reaches further."""
    [found] = lines([line(b"a", 2, 90), A])

    assert found.last == 100


def test_the_end_of_a_line_is_where_its_family_was_written_last() -> None:
    """By time, whoever began from whom; a line that nobody led adds nothing."""
    found = lines([A, CONTINUES, line(b"e", 154, 180, b"b", 150, began=151), UNLED])
    first = found[0]

    assert end_of(first, found).id == b"e"
    assert end_of(first, lines([A, UNLED])).id == b"a"
    assert end_of(found[-1], found).id == found[-1].id
