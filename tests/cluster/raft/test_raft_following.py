"""A follower: comparing, appending, acknowledging (R1, R2, R4, R6, R7, R8)."""

from __future__ import annotations

import pytest

from cluster.errors import DamagedError
from cluster.journal.ballot import Ballot
from cluster.links.messages import NO_ENTRIES, Ack, Append, pack_entries
from cluster.state import transaction
from cluster.state.transaction import Transaction
from tests.cluster.raft.wiring import NO_OP_COMMAND, Node, an_entry, entry_one, fatal, lone, opened, sealed

LIFE = 1


def append(
    prev: int, prev_term: int, entries: list[tuple[int, bytes]], *, term: int = 5, commit: int = 1, round_: int = 1
) -> Append:
    """The leader n2 sends entries."""
    return Append(term, round_, commit, prev, prev_term, LIFE, pack_entries(entries) if entries else NO_ENTRIES)


def node_with(*terms: int) -> Node:
    """n1 whose log is entry 1 and no-ops of these terms."""
    entries = [(1, 0, entry_one())] + [(2 + at, term, NO_OP_COMMAND) for at, term in enumerate(terms)]
    node, _ = lone(start=opened(entries=entries))
    return node


def terms_of(node: Node) -> list[int]:
    return [term for _, _, term in node.log[1:]]


NO_OPS = [(5, NO_OP_COMMAND)]

COMPARISONS = [
    # log behind entry 1, prev, its term, entries, log afterwards, success, next index
    ([], 1, 0, [5], [0, 5], True, 3),
    ([5], 1, 0, [5], [0, 5], True, 3),
    ([5, 5], 1, 0, [5], [0, 5, 5], True, 3),
    ([4, 4], 1, 0, [5], [0, 5], True, 3),
    ([4, 4, 4], 2, 4, [4, 5], [0, 4, 4, 5], True, 5),
    ([], 4, 5, [5], [0], False, 2),
    ([4], 2, 5, [5], [0, 4], False, 2),
    ([4, 4, 4], 4, 5, [], [0, 4, 4, 4], False, 2),
    ([4, 4, 4], 0, 0, [], [0, 4, 4, 4], True, 1),
]


@pytest.mark.parametrize(("terms", "prev", "prev_term", "sent", "after", "success", "next_index"), COMPARISONS)
def test_a_log_is_compared_and_changed_only_where_it_conflicts(
    terms: list[int], prev: int, prev_term: int, sent: list[int], after: list[int], *, success: bool, next_index: int
) -> None:
    """R1 as a table: what stands stays, what conflicts is cut, what does not connect is refused with a hint."""
    node = node_with(*terms)
    node.hear("n2", append(prev, prev_term, [(term, NO_OP_COMMAND) for term in sent]))

    ack = node.said(Ack)[0]
    assert terms_of(node) == after
    assert (ack.success, ack.next_index) == (success, next_index)


def test_entries_that_stand_are_never_cut_and_written_again() -> None:
    """The library truncates on every message whose previous entry is not its last (S2)."""
    node = node_with(5, 5, 5)
    node.hear("n2", append(1, 0, NO_OPS))

    assert node.writer.operations == []


def test_a_committed_entry_is_never_cut() -> None:
    """A conflict there is a broken invariant, and the process must end."""
    node = node_with(5, 5)
    node.replica.commit_index = 3

    assert "committed" in fatal(lambda: node.hear("n2", append(1, 0, [(6, NO_OP_COMMAND)], term=6)))
    assert "committed" in fatal(lambda: node.hear("n2", append(3, 6, [], term=6)))


def test_a_second_leader_of_a_term_is_fatal() -> None:
    """Election safety is broken: nothing may be acknowledged any more."""
    node, clock = lone(peers=0)
    clock.now_s += 1.0
    node.replica.tick()
    node.sync()
    node.replica.tick()

    assert "second leader" in fatal(lambda: node.replica.on_append("n2", append(1, 0, [], term=1)))


@pytest.mark.parametrize(("commit", "expected"), [(1, 1), (3, 3), (9, 3)])
def test_commit_goes_no_further_than_what_this_message_compared(commit: int, expected: int) -> None:
    """R2: the own log goes on to 4, of another leader's time; only up to 3 was compared."""
    node = node_with(5, 5, 4)
    node.hear("n2", append(2, 5, NO_OPS, commit=commit))

    assert node.replica.commit_index == expected


def test_a_heartbeat_commits_no_tail_that_it_did_not_compare() -> None:
    """The library commits min(leader's commit, own last index) while a snapshot is sent (S1)."""
    node = node_with(4, 4, 4)
    node.hear("n2", append(0, 0, [], commit=4))

    assert node.replica.commit_index == 1


# ---- acknowledgements
def test_received_is_said_at_once_and_durable_later_in_a_second_ack_of_the_same_round() -> None:
    """One ack, two facts; the second anchors nothing."""
    node = node_with()
    node.hear("n2", append(1, 0, NO_OPS, round_=7))
    node.sync_log()
    first, second = node.said(Ack)

    assert (first.next_index, first.durable, first.round, first.own_round) == (3, 1, 7, True)
    assert (second.next_index, second.durable, second.round, second.own_round) == (3, 2, 7, False)


def test_a_durable_tail_of_another_leader_is_not_reported_before_it_was_compared() -> None:
    """R4: on its disk, but not yet this leader's."""
    node = node_with(4, 4, 4)
    node.hear("n2", append(1, 0, [(4, NO_OP_COMMAND)]))

    assert node.said(Ack)[0].durable == 2


def test_what_was_compared_is_forgotten_with_the_term() -> None:
    """R4: the next leader compares anew."""
    node = node_with(4, 4, 4)
    node.hear("n2", append(4, 4, []))
    before = node.replica.verified
    node.hear("n3", append(1, 0, [], term=6))

    assert (before, node.replica.verified, node.said(Ack)[-1].durable) == (4, 1, 1)


def test_a_second_ack_tells_only_of_progress() -> None:
    """A completion that moves nothing says nothing."""
    node = node_with()
    node.hear("n2", append(1, 0, NO_OPS))
    node.sync_log()
    node.sync_log()

    assert len(node.said(Ack)) == 2


def test_a_success_says_everything_that_was_compared_so_far() -> None:
    """A word that was lost is said again with every heartbeat."""
    node = node_with(5, 5)
    node.hear("n2", append(3, 5, []))
    node.hear("n2", append(0, 0, []))

    assert node.said(Ack)[-1].next_index == 4


def test_the_refusal_of_an_older_term_carries_round_0_and_the_newer_term() -> None:
    """R7: a leader that was reborn and leads again must not take it for an acknowledgement of its present round."""
    node, _ = lone(start=opened(ballot=Ballot(term=9, incarnation=1, born=True)))
    node.hear("n2", append(1, 0, NO_OPS, term=5, round_=900))
    ack = node.said(Ack)[0]

    assert (ack.term, ack.round, ack.success) == (9, 0, False)
    assert terms_of(node) == [0]


def test_an_ack_names_the_durable_incarnation() -> None:
    """A new number is not spoken before it is on the disk."""
    node = node_with()
    node.log.write_ballot(incarnation=50)
    node.hear("n2", append(1, 0, NO_OPS))
    before = node.said(Ack)[-1].incarnation
    node.sync_ballot()
    node.hear("n2", append(2, 5, []))

    assert (before, node.said(Ack)[-1].incarnation) == (1, 50)


# ---- opening before appending
def tampered() -> bytes:
    entry = bytearray(an_entry(5, 1))
    entry[-1] ^= 1
    return bytes(entry)


POISON = [
    ("does not open", tampered()),
    ("of another term", an_entry(4, 1)),
    ("not a transaction inside", sealed(Transaction(5, 1, 1, [], [], []), kind=3)),
    ("no known kind", b"\x09abc"),
    ("empty", b""),
    ("a no-op with a tail", NO_OP_COMMAND + b"x"),
]


@pytest.mark.parametrize(("why", "command"), POISON, ids=[why for why, _ in POISON])
def test_an_entry_that_does_not_open_is_not_appended_and_not_acknowledged(why: str, command: bytes) -> None:
    """R6: it drops the link, is counted, and does not touch the log, not even the good entries before it."""
    node = node_with()
    with pytest.raises(DamagedError):
        node.hear("n2", append(1, 0, [(5, an_entry(5, 2)), (5, command)]))

    assert terms_of(node) == [0], why
    assert (node.said(Ack), node.replica.damaged_entries, node.writer.operations) == ([], 1, [])


def test_entries_that_are_no_list_drop_the_link() -> None:
    """Whatever msgpack holds."""
    import msgspec

    node = node_with()
    with pytest.raises(DamagedError):
        node.hear("n2", Append(5, 1, 1, 1, 0, LIFE, msgspec.Raw(b"\xa3abc")))

    assert node.replica.damaged_entries == 1


def test_a_poisoned_entry_cuts_nothing() -> None:
    """A conflict that cannot be replaced stays."""
    node = node_with(4, 4)
    with pytest.raises(DamagedError):
        node.hear("n2", append(1, 0, [(5, tampered())]))

    assert terms_of(node) == [0, 4, 4]


def test_a_good_entry_is_opened_once() -> None:
    """What was opened for the acknowledgement is what is installed, also after a conflict was cut."""
    node = node_with(4, 4)
    node.hear("n2", append(1, 0, [(5, an_entry(5, 1))], commit=2))
    kept = node.replica._opened[2][1]
    calls = []
    node.replica._open = lambda *arguments: calls.append(arguments)  # type: ignore[assignment, method-assign]
    node.replica.applied_index = 1
    node.replica.state.apply(1, 0, transaction.Transaction(0, 0, 1, [], [], []))
    node.replica.apply_committed()

    assert isinstance(kept, Transaction)
    assert (calls, node.replica.applied_index, node.replica.state.applied_index) == ([], 2, 2)


# ---- bounded
def test_a_follower_whose_disk_is_behind_appends_nothing_more() -> None:
    """R8: it goes on hearing its leader and says what it has; its twin: once the disk has caught up it appends."""
    node = node_with()
    node.writer.backlog_bytes = node.replica.unsynced_bytes_max + 1
    node.hear("n2", append(1, 0, NO_OPS))
    behind = (terms_of(node), node.said(Ack)[-1].next_index, node.replica.leader)
    node.writer.backlog_bytes = 0
    node.hear("n2", append(1, 0, NO_OPS))

    assert behind == ([0], 2, "n2")
    assert (terms_of(node), node.said(Ack)[-1].next_index) == ([0, 5], 3)


def test_a_follower_behind_its_base_skips_what_the_base_covers() -> None:
    """Entries at and below the base are committed and the same everywhere."""
    entries = [(3 + at, 4, NO_OP_COMMAND) for at in range(1)]
    from cluster.state.machine import State
    from tests.cluster.raft.wiring import FakeClock, keyring

    state = State(keyring().digest_key)
    state.applied_index = 2
    start = opened(entries=entries, base=(2, 4))
    node = Node("n1", ["n2", "n3"], FakeClock(), start=start, state=state)
    node.hear("n2", append(0, 0, [(0, entry_one()), (4, NO_OP_COMMAND), (4, NO_OP_COMMAND), (5, NO_OP_COMMAND)]))

    assert [(index, term) for _, index, term in node.log[0:]] == [(2, 4), (3, 4), (4, 5)]
    assert node.said(Ack)[-1].next_index == 5
