"""A member whose folder was lost begins a life that its peers cannot take for an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.files import Bootstrap
from cluster.initialise import AlreadyInitialisedError, InitState, Store
from cluster.journal.ballot import Ballot, read_ballot
from cluster.raft.boot import open_journal
from cluster.seams import SystemDisk

if TYPE_CHECKING:
    from pathlib import Path

CLUSTER = b"c" * 16
BEGUN_S, LOST_S = 1_800_000_000, 1_800_086_400
SEGMENT_BYTES = 64 * 1024


def life(disk: SystemDisk, now_s: int) -> Ballot:
    """The ballot of a life that begins then."""
    return open_journal(disk, segment_bytes=SEGMENT_BYTES, wall_ns=now_s * 1_000_000_000, snapshot=None).ballot


def test_a_lost_members_life_is_higher_than_all_before(tmp_path: Path) -> None:
    """Init, three starts, an empty folder, two starts: five numbers that grow, the last two recovering."""
    before, after = SystemDisk(tmp_path / "before"), SystemDisk(tmp_path / "after")
    state = InitState(before)
    state.promise(7)
    state.store(Store(7, b"envelope", Bootstrap(1, b"g" * 16, b"entry")))
    state.finish(CLUSTER)
    lives = [life(before, BEGUN_S + number) for number in range(3)]
    InitState(after).finish(CLUSTER, recovering=True)
    found = read_ballot(after)
    lives += [life(after, LOST_S), life(after, LOST_S)]
    numbers = [one.incarnation for one in lives]

    assert found is not None
    assert found[1].recovering is True  # durable before the first life
    assert sorted(set(numbers)) == numbers
    assert [one.recovering for one in lives] == [False, False, False, True, True]


def test_a_member_that_is_told_again_keeps_its_ballot(tmp_path: Path) -> None:
    """And one that belongs to another cluster refuses."""
    disk = SystemDisk(tmp_path)
    state = InitState(disk)
    state.finish(CLUSTER)
    before = read_ballot(disk)
    state.finish(CLUSTER, recovering=True)

    assert read_ballot(disk) == before
    with pytest.raises(AlreadyInitialisedError):
        state.finish(b"d" * 16, recovering=True)
