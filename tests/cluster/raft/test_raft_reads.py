"""ReadIndex: what confirms a read, and what does not (X1-X5)."""

from __future__ import annotations

import pytest

from cluster.errors import OverloadedError, UnavailableError
from cluster.journal.ballot import Ballot
from cluster.links.messages import NO_ENTRIES, Append, ReadIndexAnswer, ReadIndexRequest
from tests.cluster.raft.test_raft_leading import ack, leader
from tests.cluster.raft.wiring import FakeClock, Node, Wired, lone, opened


def settled_leader(*, peers: int = 2) -> tuple[Node, FakeClock]:
    """n1 leads and has applied its no-op; every round so far is confirmed by n2."""
    node, clock = leader(peers=peers)
    for peer in node.replica.peers:
        node.hear(peer, ack(3, durable=2))
    node.replica.tick()
    for peer in node.replica.peers:
        node.hear(peer, ack(3, durable=2, round_=node.replica.round))
    node.replica.tick()
    assert node.replica.noop_applied
    return node, clock


def confirm(node: Node, *, round_: int | None = None) -> None:
    """n2 acknowledges a round, by default the newest."""
    node.hear("n2", ack(node.log.last_index + 1, durable=2, round_=round_ or node.replica.round))
    node.replica.tick()


def test_a_read_on_the_leader_waits_for_a_round_that_begins_after_it() -> None:
    """X2: the round that is out already confirms nothing."""
    node, _ = settled_leader()
    node.replica.send_round()
    node.replica.read_index(node.answers.read)
    confirm(node)
    before = list(node.answers.reads)
    confirm(node)

    assert (before, node.answers.reads) == ([], [(2, None)])


def test_reads_that_arrive_together_share_a_round() -> None:
    """One message a follower for all of them."""
    node, _ = settled_leader()
    node.sent.clear()
    for _ in range(50):
        node.replica.read_index(node.answers.read)
    node.replica.tick()
    confirm(node)

    assert len(node.answers.reads) == 50
    assert len(node.said(Append, "n2")) == 1


def test_a_leader_confirms_nothing_before_its_no_op_is_applied() -> None:
    """X1: until then it does not know what is committed."""
    node, _ = leader()
    node.replica.read_index(node.answers.read)
    node.replica.tick()
    node.hear("n2", ack(1, round_=node.replica.round))
    node.replica.tick()
    before = list(node.answers.reads)
    confirm(node)
    confirm(node)
    confirm(node)

    assert (before, node.answers.reads) == ([], [(2, None)])


def test_the_no_op_of_an_earlier_leadership_is_not_the_present_one() -> None:
    """Whoever is told of the new role sees a leader that may do nothing yet."""
    wired = Wired()
    node = wired.elect("n1")
    seen = []
    node.replica.on_lead = lambda leads: seen.append((leads, node.replica.noop_applied))
    node.replica.step_down()
    wired.elect("n1")
    told = list(seen)

    assert (False, False) in told
    assert (True, True) not in told
    assert node.replica.noop_applied


def test_a_read_waits_until_its_index_is_applied() -> None:
    """Confirmed is not applied."""
    node, _ = settled_leader()
    node.propose()
    node.sync_log()
    node.replica.tick()
    node.hear("n2", ack(4, durable=3))
    node.replica.advance_commit()
    node.replica.read_index(node.answers.read)
    node.replica.send_round()
    node.hear("n2", ack(4, durable=3, round_=node.replica.round))
    node.replica._serve_confirmed()
    before = (list(node.answers.reads), node.replica.commit_index, node.replica.applied_index)
    node.replica.tick()

    assert before == ([], 3, 2)
    assert node.answers.reads == [(3, None)]


def test_a_deposed_leader_s_reads_ask_the_next_leader() -> None:
    """They are not answered by what the old one knew."""
    wired = Wired()
    wired.elect("n1")
    wired.cut = {("n1", "n2"), ("n1", "n3"), ("n2", "n1"), ("n3", "n1")}
    wired["n1"].replica.read_index(wired["n1"].answers.read)
    wired.run(1.3)
    before = list(wired["n1"].answers.reads)
    wired.cut = set()
    wired.run(0.5)

    assert before == []
    assert [(index >= 3, error) for index, error in wired["n1"].answers.reads] == [(True, None)]


def test_a_read_moved_to_the_next_leader_keeps_its_time() -> None:
    """X4: a change of leaders does not make it wait twice as long."""
    wired = Wired()
    wired.elect("n1")
    wired.cut = {(a, b) for a in wired.names for b in wired.names}
    wired["n1"].replica.read_index(wired["n1"].answers.read)
    wired.run(1.9)
    before = list(wired["n1"].answers.reads)
    wired.run(0.2)

    assert before == []
    assert isinstance(wired["n1"].answers.reads[0][1], UnavailableError)


def test_a_read_that_no_leader_confirms_is_refused_in_time() -> None:
    """X4 on a follower; never answered stale."""
    node, clock = lone()
    node.replica.read_index(node.answers.read)
    clock.now_s += 1.9
    node.replica.tick()
    before = list(node.answers.reads)
    clock.now_s += 0.2
    node.replica.tick()

    assert (before, node.answers.reads[0][0]) == ([], 0)
    assert isinstance(node.answers.reads[0][1], UnavailableError)


def test_too_many_waiting_reads_are_refused_at_once() -> None:
    """X5; its twin: up to the bound they wait."""
    node, _ = lone()
    node.replica.reads_max = 3
    for _ in range(4):
        node.replica.read_index(node.answers.read)

    assert [type(error) for _, error in node.answers.reads] == [OverloadedError]


# ---- on a follower
def asking(*, life: int = 1) -> tuple[Node, FakeClock]:
    """n1 follows n2 in term 3 and has asked for one read."""
    node, clock = lone(start=opened(ballot=Ballot(incarnation=life, born=True)))
    node.hear("n2", Append(3, 1, 1, 1, 0, life, NO_ENTRIES))
    node.replica.read_index(node.answers.read)
    node.replica.tick()
    return node, clock


def test_reads_of_one_turn_share_a_request() -> None:
    """And a later turn asks anew."""
    node, _ = asking()
    for _ in range(5):
        node.replica.read_index(node.answers.read)
    node.replica.tick()

    assert node.said(ReadIndexRequest) == [ReadIndexRequest(3, 1, 1), ReadIndexRequest(3, 2, 1)]


def test_an_answer_covers_the_reads_registered_before_that_request() -> None:
    """X3: a read that came after it waits for the next answer."""
    node, _ = asking()
    node.replica.read_index(node.answers.read)
    node.hear("n2", ReadIndexAnswer(3, 1, 1, 1))
    first = len(node.answers.reads)
    node.replica.tick()
    node.hear("n2", ReadIndexAnswer(3, 2, 1, 1))

    assert (first, len(node.answers.reads)) == (1, 2)


def test_an_answer_to_an_earlier_life_covers_nothing() -> None:
    """X3: request numbers begin anew with every life."""
    node, _ = asking(life=8)
    node.hear("n2", ReadIndexAnswer(3, 1, 7, 1))
    before = list(node.answers.reads)
    node.hear("n2", ReadIndexAnswer(3, 1, 8, 1))

    assert (before, node.answers.reads) == ([], [(1, None)])


def test_an_answer_beyond_what_is_applied_waits() -> None:
    """The follower has to have it first."""
    node, _ = asking()
    node.hear("n2", ReadIndexAnswer(3, 1, 1, 4))

    assert node.answers.reads == []


def test_an_unanswered_request_is_repeated_under_a_new_number() -> None:
    """After a heartbeat; the old answer would still do."""
    node, clock = asking()
    clock.now_s += 0.06
    node.replica.tick()

    assert [request.id for request in node.said(ReadIndexRequest)] == [1, 2]


@pytest.mark.parametrize("term", [0, 2])
def test_a_leader_answers_requests_of_its_own_term_only(term: int) -> None:
    """A request of another term was meant for another leader."""
    node, _ = settled_leader()
    node.hear("n2", ReadIndexRequest(term, 1, 1))
    confirm(node)
    confirm(node)

    assert node.said(ReadIndexAnswer) == []


def test_a_leader_answers_a_request_when_a_round_begun_after_it_is_confirmed() -> None:
    """X1 and X2 for a follower's reads."""
    node, _ = settled_leader()
    node.replica.send_round()
    node.hear("n2", ReadIndexRequest(1, 9, 4))
    confirm(node)
    before = node.said(ReadIndexAnswer)
    confirm(node)

    assert (before, node.said(ReadIndexAnswer)) == ([], [ReadIndexAnswer(1, 9, 4, 2)])


def test_a_node_that_stops_answers_nobody_with_a_value() -> None:
    """Every waiting read is refused, once."""
    node, _ = settled_leader()
    node.replica.read_index(node.answers.read)
    node.replica.refuse_all_reads()
    node.replica.refuse_all_reads()

    assert [index for index, _ in node.answers.reads] == [0]
    assert node.answers.reads[0][1] is not None


def test_a_follower_reads_what_the_leader_acknowledged() -> None:
    """End to end: written through n1, read on n3."""
    wired = Wired()
    node = wired.elect("n1")
    node.propose()
    wired.run(0.1)
    wired["n3"].replica.read_index(wired["n3"].answers.read)
    wired.run(0.2)

    assert node.answers.proposals[0][2] is None
    assert wired["n3"].answers.reads[0][0] >= node.answers.proposals[0][0]
