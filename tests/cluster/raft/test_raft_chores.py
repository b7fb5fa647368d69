"""Work that may wait: a loaded state is checked against its snapshot's digest, a replaced one is emptied later."""

from __future__ import annotations

from cluster.raft.chores import EMPTY_AFTER_S, checked, emptied
from cluster.state import records
from cluster.state.machine import State
from cluster.state.tables import Table
from cluster.state.transaction import Transaction
from tests.cluster.raft.test_raft_snapshots import compacted, heal
from tests.cluster.raft.wiring import FakeClock


def a_state() -> State:
    state = State(b"d" * 32)
    puts = [(int(Table.FACT), b"f%d" % number, records.encode(records.Fact(time_ns=number))) for number in range(9)]
    state.apply(1, 1, Transaction(1, 1, 1, [], puts, []))
    return state


def test_a_state_that_is_what_its_snapshot_says_is_left_alone() -> None:
    """Nothing is reported."""
    heard: list[str] = []
    steps = list(checked(a_state(), heard.append))

    assert (set(steps), heard) == ({False}, [])


def test_a_state_that_is_not_what_its_snapshot_says_is_reported() -> None:
    """Once; the member stops on it."""
    heard: list[str] = []
    state = a_state()
    state.digest ^= 1
    list(checked(state, heard.append))

    assert heard == ["a state that was loaded has not the digest of its snapshot"]


def test_a_replaced_state_is_emptied_when_nobody_can_read_it_any_more() -> None:
    """Until then the chore rests."""
    clock, state = FakeClock(), a_state()
    chore = emptied(state, clock)
    rests = [next(chore), next(chore)]
    held = state.get(Table.FACT, b"f1") is not None
    clock.now_s += EMPTY_AFTER_S
    work = list(chore)

    assert (rests, held) == ([True, True], True)
    assert set(work) == {False}
    assert all(not shard for shard in state.shards(Table.FACT))


def test_a_member_that_installed_a_snapshot_checks_it_and_is_then_at_rest() -> None:
    """The check runs behind the installation; a wrong digest ends the member."""
    wired = compacted()
    heal(wired)
    broken: list[str] = []
    wired["n3"].replica.on_broken = broken.append
    wired.run(1.0)
    follower = wired["n3"].replica

    assert (follower.installs, follower.busy, broken) == (1, False, [])


def test_an_installed_state_with_another_digest_ends_the_member() -> None:
    """The twin: found while it serves."""
    wired = compacted()
    follower = wired["n3"].replica
    broken: list[str] = []
    follower.on_broken = broken.append
    follower.on_state_replaced = lambda state: setattr(state, "digest", state.digest ^ 1)
    heal(wired)
    wired.run(1.0)

    assert broken[0] == "a state that was loaded has not the digest of its snapshot"
