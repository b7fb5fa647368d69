"""Disks that were put back (E6): what a node's peers remember of it, and what it does when they know more."""

from __future__ import annotations

import pytest

from cluster.journal.ballot import Ballot, next_life
from cluster.links.messages import (
    NO_ENTRIES,
    Ack,
    Append,
    PreVote,
    PreVoteAnswer,
    RequestVote,
    SnapshotAck,
    SnapshotPart,
    Vote,
)
from cluster.raft.chassis import FOLLOWER
from tests.cluster.raft.wiring import NO_OP_COMMAND, Node, Wired, entry_one, lone, opened, put

TWO = [(1, 0, entry_one()), (2, 4, NO_OP_COMMAND)]


def a_life(*incarnations: int, **fields: object) -> Ballot:
    """The ballot of a node that has had these lives."""
    ballot = Ballot(term=4, born=True)
    for incarnation in incarnations:
        ballot = next_life(ballot, incarnation)
    return Ballot(**({name: getattr(ballot, name) for name in ballot.__struct_fields__} | fields))  # type: ignore[arg-type]


LIVES = [
    ("the peer has heard of no life", 0, False, False),
    ("of one long before", 10, False, False),
    ("of the one before", 20, False, False),
    ("of this one", 30, False, False),
    ("of one that this ballot never held, before this one", 25, True, False),
    ("of one that this ballot never held, after this one", 40, True, True),
]


@pytest.mark.parametrize(("why", "life", "recovering", "another"), LIVES, ids=[row[0] for row in LIVES])
def test_a_ballot_without_a_life_that_a_peer_heard_of_was_put_back(
    why: str, life: int, *, recovering: bool, another: bool
) -> None:
    """The log is there and nobody voted in a later term: the life alone tells it, durably."""
    node, _ = lone(start=opened(entries=TWO, ballot=a_life(10, 20, 30)))
    said = node.replica.meet((4, 2), life)

    assert (said, node.replica.recovering) == (another, recovering), why
    assert any(ballot.recovering for _, ballot in node.writer.ballots) is recovering
    assert [ballot.incarnation for _, ballot in node.writer.ballots if ballot.incarnation > 30] == [41] * another


@pytest.mark.parametrize(("known", "whole"), [((4, 9), False), ((4, 2), True)])
def test_a_recovery_that_ends_just_when_a_peer_knows_more_does_not_end(
    known: tuple[int, int], *, whole: bool
) -> None:
    """Its last ballot is on its way to the disk; once a leader has made good what the peer knows of, it may."""
    node, _ = lone(start=opened(entries=TWO, ballot=a_life(10, 30, recovering=True)))
    node.replica.end_recovery()
    node.replica.meet(known, 10)
    node.sync_ballot()

    assert node.replica.recovering is not whole
    assert node.writer.ballots[-1][1].recovering is not whole


def test_a_life_that_comes_with_less_than_it_had_goes_on_as_another() -> None:
    """A machine put back with its memory: its leader counted what this very life held. Its twin: a life nobody knew."""
    node, _ = lone(start=opened(entries=TWO, ballot=a_life(30)))
    another = node.replica.meet((4, 9), 30)
    before = node.log.incarnation
    node.sync_ballot()
    fresh, _ = lone(start=opened(entries=TWO, ballot=a_life(30)))

    assert (another, before, node.log.incarnation) == (True, 30, 31)
    assert fresh.replica.meet((4, 9), 20) is False
    assert (fresh.replica.recovering, fresh.log.incarnation) == (True, 30)


def test_a_leader_forgets_what_a_life_held_that_was_put_back_in_memory() -> None:
    """Under its old number it would be counted for entries it no longer has, and never be sent them again."""
    wired = Wired()
    leader = wired.elect("n1")
    for number in range(5):
        leader.propose(put(f"k{number}"))
        wired.run(0.3)
    known = leader.log.known["n3"]
    kept = [(index, term, command) for command, index, term in wired["n3"].log[1:3]]
    put_back = wired.start("n3", opened(entries=kept, ballot=Ballot(term=1, incarnation=known[0], born=True)))
    stale = leader.replica.progress["n3"].durable
    assert put_back.replica.meet(known[1:], known[0]) is True
    put_back.sync()
    wired.run(2.0)

    assert stale == leader.log.last_index
    assert put_back.log.incarnation > known[0]
    assert put_back.log.last_index == leader.log.last_index
    assert put_back.replica.recovering is False
    assert put_back.replica.state.digest == leader.replica.state.digest


def test_a_node_that_was_made_whole_is_not_reminded_of_what_it_lost() -> None:
    """By a member that was away meanwhile, and knows an older life; its twin: a later life that it never had."""
    wired = Wired()
    leader = wired.elect("n1")
    leader.propose(put("k"))
    wired.run(1.5)
    known = leader.log.known["n3"]
    node = wired.start("n3", opened(ballot=next_life(Ballot(born=True, recovering=True), known[0] + 5)))
    before = node.replica.meet((0, 0), known[0]), node.replica.recovering
    wired.run(2.0)
    again = node.replica.meet((0, 0), known[0]), node.replica.recovering
    later = node.replica.meet((0, 0), known[0] + 6), node.replica.recovering

    assert (before, again, later) == ((False, True), (False, False), (True, True))


def votes_of(node: Node, term: int) -> list[bool]:
    """What the node answers to a pre-vote and to a vote in that term, by a candidate with a very long log."""
    node.sent.clear()
    node.hear("n2", PreVote(term - 1, 99, 9))
    node.hear("n2", RequestVote(term, 99, 9))
    node.sync()
    return [answer.granted for kind in (PreVoteAnswer, Vote) for answer in node.said(kind)]


def test_a_node_that_was_put_back_votes_for_nobody_until_a_leader_has_made_it_whole() -> None:
    """And does not stand; its twin is the same node before it hears what its peers know."""
    node, clock = lone(start=opened(entries=TWO, ballot=a_life(10, 20)))
    clock.now_s += 10
    before = votes_of(node, 5)
    again, clock = lone(start=opened(entries=TWO, ballot=a_life(10, 20)))
    again.replica.meet((4, 3), 10)
    again.sync()
    clock.now_s += 10
    after = votes_of(again, 5)
    for _ in range(50):
        clock.now_s += 1
        again.replica.tick()

    assert (before, after) == ([True, True], [False])
    assert (again.replica.role, again.said(PreVote), again.said(RequestVote)) == (FOLLOWER, [], [])


def test_a_node_that_was_put_back_says_so_to_its_leader_until_it_is_whole() -> None:
    """A leader hands over to nobody that may not lead; the end of it is durable before it is said."""
    wired = Wired()
    leader = wired.elect("n1")
    for number in range(5):
        leader.propose(put(f"k{number}"))
        wired.run(0.3)
    known = leader.log.known["n3"]
    seen = []
    node = wired.start("n3", opened(ballot=a_life(known[0] + 5, term=1)))
    node.replica.meet(known[1:], known[0])
    node.replica.on_ballot_durable(node.writer.ballots[-1][0])
    wired.slow = {"n3"}
    wired.run(1.0)  # E7
    for _ in range(30):
        wired.clock.now_s += 0.01
        wired.turn()
        seen.append(leader.replica.progress["n3"].recovering)
    target = leader.replica.transfer_target("n3")
    wired.slow = set()
    wired.run(1.0)

    assert True in seen
    assert seen[-1] is True
    assert target is None
    assert (leader.replica.progress["n3"].recovering, leader.replica.transfer_target("n3")) == (False, "n3")
    assert node.writer.ballots[-1][1].recovering is False


# ---- E7
def deposed_by_a_vote_that_is_lost() -> Wired:
    """n1 leads term 1, cut off; n3 made n2 the leader of term 2, lost its memory, and is linked to n1 alone."""
    wired = Wired()
    wired.elect("n1")
    first, second = wired["n1"], wired["n2"]
    wired.cut = {pair for other in ("n2", "n3") for pair in (("n1", other), (other, "n1"))}
    second.random.drawn, wired["n3"].random.drawn = 0.0, 0.99
    second.replica._enter()
    second.replica.postpone_election(wired.clock.boot())
    while not second.replica.is_leader:
        wired.clock.now_s += 0.005
        wired.turn()
    wired.cut = {("n1", "n2"), ("n2", "n1"), ("n3", "n2"), ("n2", "n3")}
    wired.start("n3", opened(ballot=next_life(Ballot(born=True, recovering=True, term=1), 99)))
    assert (first.replica.is_leader, first.replica.term, second.replica.term) == (True, 1, 2)
    return wired


def test_a_node_that_forgot_its_vote_keeps_no_leader_that_the_vote_deposed() -> None:
    """n1 would commit with n3 what n2 overwrites; its twin: a leader that has a majority without n3 makes it whole."""
    wired = deposed_by_a_vote_that_is_lost()
    first = wired["n1"]
    first.propose()
    wired.run(3.0)
    outcomes = list(first.answers.proposals)
    led = wired.leaders()
    wired.cut = set()
    wired.run(4.0)

    assert [error is None for _, _, error in outcomes] == [False]
    assert led == []
    assert len(wired.leaders()) == 1
    assert wired["n3"].replica.recovering is False


@pytest.mark.parametrize("found", ["at the start", "from a peer"])
def test_a_recovering_node_hears_no_leader_for_a_while(found: str) -> None:
    """Neither entries nor snapshots; its twin is a node that forgot nothing, and itself later."""
    recovering = found == "at the start"
    node, clock = lone(start=opened(ballot=a_life(20, recovering=recovering)))
    if not recovering:
        node.replica.meet((4, 9), 10)
    whole, _ = lone(start=opened(ballot=a_life(20)))
    append = Append(4, 1, 0, 0, 0, 20, NO_ENTRIES)
    part = SnapshotPart(4, 20, b"id", 9, 4, 100, 0, b"part")

    def says(to: Node) -> list[int]:
        to.sent.clear()
        to.hear("n2", append)
        to.hear("n2", part)
        return [len(to.said(Ack)), len(to.said(SnapshotAck))]

    at_once, of_whole = says(node), says(whole)
    clock.now_s += 2.0

    assert (at_once, of_whole, says(node)) == ([0, 0], [1, 1], [1, 1])


def test_who_voted_is_in_the_leader_s_ballot_as_soon_as_it_leads() -> None:
    """Not a second later: the voter's disk may be put back meanwhile."""
    wired = Wired()
    wired["n1"].replica._remembered_s = wired.clock.now_s + 100  # by time alone, not for long
    leader = wired.elect("n1")
    written = leader.writer.ballots[-1][1].peers

    assert max(term for _, term, _ in written.values()) == leader.replica.term
