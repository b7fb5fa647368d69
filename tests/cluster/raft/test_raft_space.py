"""Full disks (K3): a leader without space offers leadership to followers that have some, and to nobody else."""

from __future__ import annotations

import pytest

from cluster.errors import OverloadedError
from tests.cluster.raft.wiring import Node, Wired, put


def full(wired: Wired, *names: str) -> None:
    """The disks of these nodes have no room for more; the leader has heard of it."""
    for name in names:
        wired[name].replica.on_space(ok=False)


def read(wired: Wired, node: Node) -> list[tuple[int, object]]:
    """A linearizable read at the node."""
    node.answers.reads.clear()
    node.replica.read_index(node.answers.read)
    wired.run(0.2)
    return list(node.answers.reads)


def test_a_leader_without_space_hands_over_to_a_follower_that_has_some() -> None:
    """Not to the other one, however complete its log is; its twin is every other transfer."""
    wired = Wired()
    wired.elect("n1")
    full(wired, "n2")
    wired.run(0.2)
    full(wired, "n1")
    wired.run(0.5)

    assert wired.leaders() == ["n3"]


def test_without_space_anywhere_the_leader_stays_and_no_term_is_lost() -> None:
    """For as long as it takes: writes are refused before anything is decided, reads are served."""
    wired = Wired()
    leader = wired.elect("n1")
    full(wired, "n2", "n3")
    wired.run(0.2)
    term = leader.replica.term
    full(wired, "n1")
    wired.run(5.0)
    with pytest.raises(OverloadedError):
        leader.replica.may_propose()
    reads = read(wired, leader)

    assert (wired.leaders(), leader.replica.term, leader.replica.transferring) == (["n1"], term, False)
    assert [error for _, error in reads] == [None]


def test_a_follower_that_has_not_written_the_whole_log_has_not_shown_its_space() -> None:
    """It may have met the end of its disk with the same entry, and not yet said so; its twin writes it, and leads."""
    wired = Wired()
    leader = wired.elect("n1")
    for node in wired.nodes.values():
        node.sync = node.sync_ballot  # type: ignore[method-assign] # the ballot's file has its room
    term = leader.replica.term
    leader.propose(put("met the end"))
    wired.run(0.2)
    full(wired, "n1")
    wired.run(3.0)
    stayed = (wired.leaders(), leader.replica.term)
    del wired["n3"].sync
    wired.run(0.5)

    assert stayed == (["n1"], term)
    assert wired.leaders() == ["n3"]


def test_the_leader_takes_writes_again_when_it_has_space() -> None:
    """Nobody restarts anything, and nothing is elected."""
    wired = Wired()
    leader = wired.elect("n1")
    full(wired, "n2", "n3")
    wired.run(0.2)
    term = leader.replica.term
    full(wired, "n1")
    wired.run(1.0)
    leader.replica.on_space(ok=True)
    leader.propose(put("again"))
    wired.run(0.2)

    assert [error for _, _, error in leader.answers.proposals] == [None]
    assert (wired.leaders(), leader.replica.term) == (["n1"], term)


def test_a_leader_that_stayed_hands_over_as_soon_as_a_follower_has_space() -> None:
    """The follower says so in its next acknowledgement."""
    wired = Wired()
    wired.elect("n1")
    full(wired, "n2", "n3")
    wired.run(0.2)
    full(wired, "n1")
    wired.run(1.0)
    before = wired.leaders()
    wired["n3"].replica.on_space(ok=True)
    wired.run(0.5)

    assert (before, wired.leaders()) == (["n1"], ["n3"])


def test_a_leader_that_stops_with_space_hands_over_to_one_without_if_there_is_no_other() -> None:
    """It prefers the other, if there is one: a full disk is better than no leader."""
    wired = Wired()
    leader = wired.elect("n1")
    full(wired, "n2")
    wired.run(0.2)
    preferred = leader.replica.transfer_target(None)
    full(wired, "n3")
    wired.run(0.2)

    assert preferred == "n3"
    assert leader.replica.transfer_target(None) in {"n2", "n3"}


def test_a_follower_that_does_not_say_has_space() -> None:
    """A member of the previous version; its twin: one that says it has none."""
    wired = Wired()
    leader = wired.elect("n1")
    assert {peer: progress.space_ok for peer, progress in leader.replica.progress.items()} == {"n2": True, "n3": True}
    full(wired, "n2")
    wired.run(0.2)

    assert {peer: progress.space_ok for peer, progress in leader.replica.progress.items()} == {"n2": False, "n3": True}
