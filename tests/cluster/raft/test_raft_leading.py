"""A leader: sending, counting acknowledgements, committing (R3, R5), and its view of a follower (P1, P2)."""

from __future__ import annotations

import pytest

from cluster.errors import NotLeaderError, UnavailableError
from cluster.links.messages import Ack, Append, PreVoteAnswer, Vote, unpack_entries
from cluster.raft.chassis import FOLLOWER
from cluster.raft.progress import Mode, Progress
from tests.cluster.raft.wiring import NO_OP_COMMAND, FakeClock, Node, Wired, entry_one, fatal, lone, opened, put


def leader(*, peers: int = 2, durable: bool = True) -> tuple[Node, FakeClock]:
    """n1 leads term 1; its no-op is at 2; the test plays the followers."""
    node, clock = lone(peers=peers)
    clock.now_s += 1.0
    node.replica.tick()
    for peer in node.replica.peers:
        node.hear(peer, PreVoteAnswer(0, 1, granted=True))
    node.replica.tick()
    node.sync_ballot()
    for peer in node.replica.peers:
        node.hear(peer, Vote(1, granted=True))
    if durable:
        node.sync_log()
    assert node.replica.is_leader
    return node, clock


def ack(
    next_index: int, *, durable: int = 0, round_: int = 0, life: int = 1, success: bool = True, rejected: int = 0,
    term: int = 1, own_round: bool = True, recovering: bool = False,
) -> Ack:
    """A follower's word."""
    return Ack(term, round_, life, success, next_index, rejected, durable, own_round, recovering=recovering)


# ---- R5: commit
COMMITS = [
    # own durable, what each follower holds durably, peers, committed index
    (2, [0], 2, 1),
    (2, [2], 2, 2),
    (0, [2, 2], 2, 2),
    (0, [2], 2, 1),
    (2, [2, 2], 4, 2),
    (2, [2], 4, 1),
    (0, [2, 2, 2], 4, 2),
]


@pytest.mark.parametrize(("own", "held", "peers", "expected"), COMMITS)
def test_an_index_is_committed_when_a_majority_of_all_members_holds_it_durably(
    own: int, held: list[int], peers: int, expected: int
) -> None:
    """The leader counts as one of them, with its own disk; two followers commit without it."""
    node, _ = leader(peers=peers, durable=own > 0)
    for number, durable in enumerate(held):
        node.hear(f"n{number + 2}", ack(3, durable=durable))
    node.replica.tick()

    assert node.replica.commit_index == expected


def test_received_is_not_durable() -> None:
    """All have it, no disk has it."""
    node, _ = leader(durable=False)
    for peer in node.replica.peers:
        node.hear(peer, ack(3, durable=1))
    node.replica.tick()

    assert node.replica.commit_index == 1


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """It is committed with the first entry of the own term (thesis 3.6.2)."""
    clock = FakeClock()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one()), (2, 1, NO_OP_COMMAND)]), clock=clock)
    node.sync()
    clock.now_s += 1.0
    node.replica.tick()
    node.hear("n2", PreVoteAnswer(1, 2, granted=True))
    node.replica.tick()
    node.sync()
    node.hear("n2", Vote(2, granted=True))
    node.sync()
    node.hear("n2", ack(3, durable=2, term=2))
    node.replica.tick()
    before = node.replica.commit_index
    node.hear("n2", ack(4, durable=3, term=2))
    node.replica.tick()

    assert (before, node.replica.commit_index) == (1, 3)


def test_an_ack_beyond_the_own_log_commits_nothing_that_does_not_exist() -> None:
    """Whatever a follower says."""
    node, _ = leader()
    for peer in node.replica.peers:
        node.hear(peer, ack(500, durable=499))
    node.replica.tick()

    assert (node.replica.commit_index, node.replica.progress["n2"].match) == (2, 2)


# ---- R3: what counts
@pytest.mark.parametrize(
    "stray", [ack(3, durable=2, term=0), ack(3, durable=2, round_=999)], ids=["older term", "a round not begun"]
)
def test_a_stray_ack_does_not_count(stray: Ack) -> None:
    """Its twin is the table above (S3, R14)."""
    node, _ = leader()
    node.hear("n2", stray)
    node.replica.tick()

    assert (node.replica.commit_index, node.replica.progress["n2"].match) == (1, 0)


def test_an_ack_of_an_earlier_life_does_not_count() -> None:
    """The follower has lost its memory since."""
    node, _ = leader()
    node.hear("n2", ack(1, life=8, success=False, rejected=1))
    node.hear("n2", ack(3, durable=2, life=7))
    node.replica.tick()

    assert (node.replica.commit_index, node.replica.progress["n2"].match) == (1, 0)


def test_a_new_life_starts_from_nothing() -> None:
    """What the last one had received or made durable is forgotten; the first life heard of changes nothing."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=1, life=7))
    first = (node.replica.progress["n2"].match, node.replica.progress["n2"].durable)
    node.hear("n2", ack(2, life=8, round_=0))

    progress = node.replica.progress["n2"]
    assert first == (2, 1)
    assert (progress.match, progress.durable, progress.mode) == (1, 0, Mode.PROBE)


def test_a_round_is_confirmed_by_a_majority_once() -> None:
    """The time that counts is when it was sent, before its first message left."""
    node, clock = leader(peers=4)
    sent_s = node.replica._round_sent[-1][1]
    round_ = node.replica.round
    clock.now_s += 0.03
    node.hear("n2", ack(1, round_=round_))
    one = node.replica.majority_round
    node.hear("n3", ack(1, round_=round_, own_round=False))
    second_ack = node.replica.majority_round
    node.hear("n3", ack(1, round_=round_))

    assert (one, second_ack, node.replica.majority_round) == (0, 0, round_)
    assert node.replica.majority_sent_s == sent_s


def test_an_answer_with_a_higher_term_deposes() -> None:
    """Of any kind."""
    node, _ = leader()
    node.hear("n2", ack(1, term=9))

    assert (node.replica.role, node.replica.term) == (FOLLOWER, 9)


# ---- flow control
def appends(node: Node, peer: str = "n2") -> list[tuple[int, int]]:
    """(previous index, number of entries) of every Append to the peer."""
    return [(m.prev_index, len(unpack_entries(m.entries))) for m in node.said(Append, peer)]


def test_a_new_leader_probes_with_one_message() -> None:
    """Until it is answered only heartbeats follow, behind what the follower surely has."""
    node, clock = leader()
    node.sent.clear()
    for _ in range(3):
        clock.now_s += 0.06
        node.replica.tick()

    assert appends(node) == [(0, 0), (0, 0), (0, 0)]


def test_an_unanswered_probe_is_sent_again_after_six_heartbeats() -> None:
    """It was lost."""
    node, clock = leader()
    node.sent.clear()
    for _ in range(8):
        clock.now_s += 0.06
        node.replica.tick()

    assert (1, 1) in appends(node)


def test_an_answered_probe_opens_the_window() -> None:
    """From then on entries leave with the turn that brought them."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.replica.tick()
    node.sent.clear()
    node.propose()
    node.replica.tick()
    node.propose()
    node.replica.tick()

    assert appends(node) == [(2, 1), (3, 1)]


def test_writers_of_one_turn_share_one_message() -> None:
    """Group commit: encoded once, one append a follower."""
    node, _ = leader()
    for peer in node.replica.peers:
        node.hear(peer, ack(3, durable=2))
    node.replica.tick()
    node.sent.clear()
    for _ in range(5):
        node.propose()
    node.replica.tick()

    assert appends(node, "n2") == appends(node, "n3") == [(2, 5)]
    assert node.said(Append, "n2")[0].entries == node.said(Append, "n3")[0].entries


def test_the_window_is_bounded_in_bytes() -> None:
    """Of thirty entries a few leave; the rest waits for acknowledgements."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.replica.window_bytes_max = 2000
    node.replica.batch_bytes_max = 500
    node.sent.clear()
    for _ in range(30):
        node.propose(put("k", b"x" * 300))
        node.replica.tick()

    sent = sum(count for _, count in appends(node))
    assert node.replica.progress["n2"].in_flight_bytes < 3000
    assert 2 <= sent <= 6


def test_a_window_that_does_not_move_is_probed_again() -> None:
    """What was on its way was lost without a word."""
    node, clock = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.propose()
    node.replica.tick()
    node.sent.clear()
    for _ in range(8):
        clock.now_s += 0.06
        node.hear("n3", ack(1))
        node.hear("n2", ack(1))
        node.replica.tick()

    assert (2, 1) in appends(node)


def test_a_rejection_goes_back_in_one_step() -> None:
    """The follower says where to try (the library goes back one index a heartbeat, L10)."""
    node, _ = leader()
    for _ in range(20):
        node.log.add(b"\x01", node.log.last_index + 1, 1)
    progress = node.replica.progress["n2"]
    progress.next, progress.probed_s = 21, 1.0
    node.hear("n2", ack(5, success=False, rejected=20))

    assert (progress.next, progress.mode) == (5, Mode.PROBE)


@pytest.mark.parametrize("rejected", [2, 7])
def test_a_stale_rejection_changes_nothing(rejected: int) -> None:
    """Below what it has acknowledged since, or not the answer to the probe that is out (L1)."""
    node, _ = leader()
    for _ in range(20):
        node.log.add(b"\x01", node.log.last_index + 1, 1)
    progress = node.replica.progress["n2"]
    progress.match, progress.next, progress.probed_s = 3, 21, 1.0
    node.hear("n2", ack(1, success=False, rejected=rejected))

    assert progress.next == 21


def test_a_rejection_never_goes_back_below_what_was_acknowledged() -> None:
    """P1."""
    node, _ = leader()
    for _ in range(20):
        node.log.add(b"\x01", node.log.last_index + 1, 1)
    progress = node.replica.progress["n2"]
    progress.match, progress.next, progress.probed_s = 3, 21, 1.0
    node.hear("n2", ack(1, success=False, rejected=20))

    assert progress.next == 4


def test_a_link_that_broke_loses_what_was_on_its_way() -> None:
    """After it stands again the leader probes behind what was acknowledged."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.propose()
    node.replica.tick()
    node.replica.on_disconnected("n2")
    node.replica.send_round()
    node.replica.on_connected("n2")
    node.sent.clear()
    node.replica.tick()

    assert appends(node) == [(2, 1)]


def test_a_message_that_the_link_does_not_take_is_sent_again() -> None:
    """`send` says so; nothing counts as on its way."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    send, node.replica.send = node.replica.send, lambda _peer, _message: False
    node.propose()
    node.replica.tick()
    node.replica.send = send
    node.sent.clear()
    node.replica.tick()

    assert appends(node) == [(2, 1)]


def test_a_new_commit_index_leaves_with_the_next_turn() -> None:
    """Not with the next heartbeat."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.sent.clear()
    node.replica.tick()

    assert [m.commit_index for m in node.said(Append, "n2")] == [2]


def test_a_leader_that_no_majority_answers_steps_down() -> None:
    """Check-quorum, after election_max (L4); its twin: one of two answers is enough."""
    node, clock = leader()
    roles = []
    for step in range(40):
        clock.now_s += 0.05
        if step < 20:
            node.hear("n2", ack(3))
        node.replica.tick()
        roles.append(node.replica.is_leader)

    assert (roles[19], roles[30], roles[39]) == (True, True, False)


# ---- proposing
def test_nothing_is_proposed_before_the_no_op_is_applied() -> None:
    """A leader knows the whole log only then; its twin: afterwards it may."""
    node, _ = leader()
    with pytest.raises(UnavailableError):
        node.replica.may_propose()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()

    node.replica.may_propose()


def test_a_follower_refuses_with_the_leader_s_name() -> None:
    """NotLeaderError carries the hint."""
    wired = Wired()
    wired.elect("n2")
    with pytest.raises(NotLeaderError) as refused:
        wired["n1"].replica.may_propose()

    assert refused.value.hint == "n2"


def test_propose_appends_in_the_same_call() -> None:
    """K1: no queue between deciding and the log."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    index = node.propose()

    assert (index, node.log.last_index, node.writer.operations[-1][0]) == (3, 3, "append")


def test_appending_without_leading_is_fatal() -> None:
    """The caller has not asked."""
    wired = Wired()
    wired.elect("n2")

    assert "without leading" in fatal(lambda: wired["n1"].replica.append_entry(b"\x01"))


# ---- progress
def test_progress_never_goes_back_on_success() -> None:
    """P2: acknowledgements arrive in any order."""
    progress = Progress(next=10)
    for match in (5, 9, 3, 7):
        progress.acknowledged(match, 1.0)

    assert (progress.match, progress.next) == (9, 10)


def test_acknowledged_messages_leave_the_window() -> None:
    """And no others."""
    progress = Progress(next=1, mode=Mode.REPLICATE)
    for last, size in ((3, 100), (5, 200), (9, 400)):
        progress.sent(last, size, 1.0)
    progress.acknowledged(5, 2.0)

    assert (progress.in_flight_bytes, list(progress.in_flight), progress.next) == (400, [(9, 400)], 10)


def test_probing_begins_behind_what_was_acknowledged() -> None:
    """The window is empty."""
    progress = Progress(next=1, mode=Mode.REPLICATE)
    progress.sent(9, 400, 1.0)
    progress.acknowledged(4, 1.0)
    progress.probe()

    assert (progress.mode, progress.next, progress.in_flight_bytes, progress.probed_s) == (Mode.PROBE, 5, 0, -1.0)
