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
NOW_S = 1_800_000_000
SEGMENT_BYTES = 64 * 1024


def life(disk: SystemDisk) -> Ballot:
    """The ballot of the next life."""
    return open_journal(disk, segment_bytes=SEGMENT_BYTES, wall_ns=NOW_S * 1_000_000_000, snapshot=None).ballot


def test_the_first_lives_of_a_new_cluster_are_counted_from_one(tmp_path: Path) -> None:
    """Promise, store, final, and two starts."""
    disk = SystemDisk(tmp_path)
    state = InitState(disk)
    state.promise(7)
    state.store(Store(7, b"envelope", Bootstrap(1, b"g" * 16, b"entry")))
    state.finish(CLUSTER)
    lives = [life(disk), life(disk)]

    assert [(one.incarnation, one.recovering) for one in lives] == [(1, False), (2, False)]


def test_a_lost_member_counts_its_lives_from_the_time_it_was_found_empty(tmp_path: Path) -> None:
    """So they are higher than all before, and it is recovering, durably."""
    disk = SystemDisk(tmp_path)
    InitState(disk).finish(CLUSTER, lost_at_s=NOW_S)
    found = read_ballot(disk)
    lives = [life(disk), life(disk)]

    assert found is not None
    assert (found[1].incarnation, found[1].recovering) == (NOW_S, True)
    assert [(one.incarnation, one.recovering) for one in lives] == [(NOW_S + 1, True), (NOW_S + 2, True)]


def test_a_member_that_is_told_again_keeps_its_life(tmp_path: Path) -> None:
    """And one that belongs to another cluster refuses."""
    disk = SystemDisk(tmp_path)
    state = InitState(disk)
    state.finish(CLUSTER)
    before = read_ballot(disk)
    state.finish(CLUSTER, lost_at_s=NOW_S)

    assert read_ballot(disk) == before
    with pytest.raises(AlreadyInitialisedError):
        state.finish(b"d" * 16, lost_at_s=NOW_S)
