"""Between log and state: proposals and their answers, the overlay, digests, the stamp (K2, A1-A5)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from cluster.errors import OverloadedError, TooLargeError, UnavailableError, UnknownOutcomeError
from cluster.links.messages import NO_ENTRIES, Ack, Append, Diverged
from cluster.state import records
from cluster.state.tables import Table
from cluster.state.transaction import BYTES_MAX, RECORDS_MAX, Draft
from cluster.state.view import look
from tests.cluster.raft.test_raft_leading import ack, leader
from tests.cluster.raft.wiring import Node, Wired, put

KEY = b"k".ljust(17, b"\0")


def errors_of(node: Node) -> list[type | None]:
    return [None if error is None else type(error) for _, _, error in node.answers.proposals]


def many(count: int) -> Draft:
    """A draft of so many records."""
    draft = Draft()
    for number in range(count):
        draft.put(Table.ENTRY, b"k%016d" % number, records.Entry(salt_id=1))
    return draft


# ---- K2, A3: answers
def test_a_proposal_is_answered_once_it_is_applied() -> None:
    """With its index; on every node the record stands."""
    wired = Wired()
    node = wired.elect("n1")
    index = node.propose()
    before = list(node.answers.proposals)
    wired.run(0.1)

    assert before == []
    assert [(at, outcome is not None, error) for at, outcome, error in node.answers.proposals] == [(index, True, None)]
    assert all(look(wired[n].replica.state, Table.ENTRY, records.Entry, KEY) for n in wired.names)


@pytest.mark.parametrize("loss", ["step down", "higher term"])
def test_a_leader_that_loses_its_role_answers_unknown_once(loss: str) -> None:
    """Committed or not, it cannot say; nothing is answered twice afterwards."""
    wired = Wired()
    node = wired.elect("n1")
    wired.cut = {("n2", "n1"), ("n3", "n1")}
    node.propose()
    node.propose()
    wired.turn()
    if loss == "step down":
        node.replica.step_down()
    else:
        node.hear("n2", ack(1, term=99))
    wired.cut = set()
    wired.run(2.0)

    assert errors_of(node) == [UnknownOutcomeError, UnknownOutcomeError]


def test_an_entry_of_a_lost_leader_that_is_committed_later_answers_nobody() -> None:
    """Its callback has heard unknown; the record stands all the same."""
    wired = Wired()
    node = wired.elect("n1")
    node.propose()
    wired["n1"].replica.tick()
    wired.deliver()
    node.replica.step_down()
    wired.run(2.5)

    assert errors_of(node) == [UnknownOutcomeError]
    assert look(wired["n2"].replica.state, Table.ENTRY, records.Entry, KEY) is not None


def test_an_expectation_that_fails_on_a_leader_is_a_bug_that_is_not_hidden() -> None:
    """Unknown to the client, reported, and the leader steps down."""
    wired = Wired()
    node = wired.elect("n1")
    node.propose(put("k", expected_index=77))
    wired.run(0.1)

    assert errors_of(node) == [UnknownOutcomeError]
    assert len(node.broken) == 1
    assert not node.replica.is_leader or node.replica.term > 1


@pytest.mark.parametrize(
    "draft",
    [
        put("k", b"x" * (BYTES_MAX + 1)),
        many(RECORDS_MAX + 1),
    ],
    ids=["too many bytes", "too many records"],
)
def test_a_transaction_that_is_too_large_is_refused_with_nothing_appended(draft: Draft) -> None:
    """Its twin is every other test here."""
    wired = Wired()
    node = wired.elect("n1")
    before = node.log.last_index
    with pytest.raises(TooLargeError):
        node.replica.propose(draft, node.answers.proposal)

    assert (node.log.last_index, node.answers.proposals) == (before, [])


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [("space_ok", False, "full"), ("proposals_max", 0, "waiting"), ("unsynced_bytes_max", -1, "behind")],
)
def test_overload_refuses_before_anything_is_decided(field: str, value: object, sentence: str) -> None:
    """Disk full, journal behind, too many waiting."""
    wired = Wired()
    node = wired.elect("n1")
    node.replica.may_propose()
    setattr(node.replica, field, value)

    with pytest.raises(OverloadedError, match=sentence):
        node.replica.may_propose()


def test_a_leader_without_space_hands_over() -> None:
    """Another disk may have room."""
    wired = Wired()
    wired.elect("n1").replica.on_space(ok=False)
    wired.run(0.5)

    assert wired.leaders() in (["n2"], ["n3"])


# ---- A2: overlay
def test_the_overlay_shows_what_is_proposed_and_the_state_does_not() -> None:
    """And nothing of it is left once it is applied."""
    wired = Wired()
    node = wired.elect("n1")
    node.propose()
    seen = (
        look(node.replica.overlay, Table.ENTRY, records.Entry, KEY) is not None,
        look(node.replica.state, Table.ENTRY, records.Entry, KEY),
    )
    wired.run(0.1)

    assert seen == (True, None)
    assert look(node.replica.state, Table.ENTRY, records.Entry, KEY) is not None


def test_the_overlay_is_dropped_whole_with_the_role() -> None:
    """What was only proposed is nowhere to be seen."""
    wired = Wired()
    node = wired.elect("n1")
    node.propose()
    node.replica.step_down()

    assert look(node.replica.overlay, Table.ENTRY, records.Entry, KEY) is None


# ---- answers that propose nothing
def test_a_refusal_leaves_when_what_it_was_decided_on_is_applied_and_a_later_round_is_confirmed() -> None:
    """It must not depend on an entry that never commits."""
    wired = Wired()
    node = wired.elect("n1")
    node.propose()
    node.replica.settle(node.answers.proposal)
    before = list(node.answers.proposals)
    wired.run(0.2)

    assert before == []
    assert errors_of(node) == [None, None]
    assert node.answers.proposals[1][0] == node.answers.proposals[0][0]


def test_a_refusal_whose_leader_is_deposed_becomes_unavailable() -> None:
    """Nothing was proposed, so nothing is unknown."""
    wired = Wired()
    node = wired.elect("n1")
    wired.cut = {(a, b) for a in wired.names for b in wired.names}
    node.propose()
    node.replica.settle(node.answers.proposal)
    wired.run(3.0)

    assert errors_of(node) == [UnknownOutcomeError, UnavailableError]


# ---- A4: digests
def test_a_follower_with_another_state_at_the_same_index_is_told_to_stop() -> None:
    """The leader and a majority agree; its twin: equal states say nothing."""
    wired = Wired()
    node = wired.elect("n1")
    wired["n3"].replica.state.digest ^= 1
    node.propose()
    wired.run(1.5)

    assert ([wired[n].broken != [] for n in wired.names]) == [False, False, True]


def test_equal_states_break_nobody() -> None:
    """For as long as they are compared."""
    wired = Wired()
    node = wired.elect("n1")
    for number in range(20):
        node.propose(put(f"k{number}"))
        wired.run(0.3)

    assert [wired[n].broken for n in wired.names] == [[], [], []]


def test_a_leader_that_differs_from_a_majority_stops() -> None:
    """The majority is right."""
    wired = Wired()
    node = wired.elect("n1")
    node.replica.state.digest ^= 1
    node.propose()
    wired.run(1.5)

    assert (node.broken != [], wired["n2"].broken, wired["n3"].broken) == (True, [], [])


def test_one_follower_alone_is_not_believed_without_a_majority() -> None:
    """Two members that differ do not say which of them is wrong."""
    wired = Wired()
    node = wired.elect("n1")
    wired.cut = {("n2", "n1"), ("n1", "n2"), ("n2", "n3"), ("n3", "n2")}
    wired["n3"].replica.state.digest ^= 1
    node.propose()
    wired.run(1.5)

    assert [wired[n].broken for n in wired.names] == [[], [], []]


@pytest.mark.parametrize(("peer", "term"), [("n3", 1), ("n2", 0)], ids=["not the leader", "older term"])
def test_only_the_leader_of_this_term_can_say_that_a_state_is_wrong(peer: str, term: int) -> None:
    """Anybody else is not heard."""
    wired = Wired()
    wired.elect("n2")
    wired["n1"].hear(peer, Diverged(term, 2))

    assert wired["n1"].broken == []


def test_a_digest_is_looked_up_once_a_question() -> None:
    """Whether the index was applied before or after it was asked for."""
    wired = Wired()
    node = wired.elect("n1")
    node.propose()
    wired.run(1.5)
    node.sent.clear()
    looks = []
    follower = wired["n2"].replica
    digest_at = follower.digest_at
    follower.digest_at = lambda index: looks.append(index) or digest_at(index)  # type: ignore[func-returns-value]
    asked = follower._digest_asked
    for round_ in range(5):
        wired["n2"].hear(
            "n1", Append(node.replica.term, 900 + round_, 1, 0, 0, 1, NO_ENTRIES, digest_index=asked)
        )

    assert looks == []
    assert wired["n2"].said(Ack)[-1].digest_index == asked


def test_a_transaction_that_the_state_would_refuse_is_never_proposed() -> None:
    """A name that is longer than a record's may be: refused, and the leader goes on."""
    wired = Wired()
    node = wired.elect("n1")
    wired.run(0.2)
    before = node.replica.log.last_index
    draft = Draft()
    draft.put(Table.ENTRY, b"m" * 3000, b"x")
    with pytest.raises(TooLargeError):
        node.replica.propose(draft, node.answers.proposal)

    assert (node.replica.log.last_index, node.replica.is_leader) == (before, True)


# ---- A5: time
def test_stamps_never_go_back_whatever_the_wall_clock_does() -> None:
    """They follow the own clock, at most 5 % off."""
    wired = Wired()
    node = wired.elect("n1")
    wall = wired.clock.wall_ns
    stamps = []
    for shift_s in (0, 3600, -3600, 31_536_000):
        wired.clock.wall_ns = lambda shift_s=shift_s: wall() + shift_s * 10**9  # type: ignore[misc, method-assign]
        wired.clock.now_s += 1.0
        stamps.append(node.replica.next_stamp())
    steps_s = [(b - a) / 1e9 for a, b in pairwise(stamps)]

    assert all(0.94 < step_s < 1.06 for step_s in steps_s)


def test_a_new_leader_s_stamp_goes_on_from_the_newest_one_heard() -> None:
    """Also if nothing was applied since."""
    wired = Wired()
    first = wired.elect("n1")
    wired.run(1.0)
    newest = first.replica.next_stamp()
    first.replica.transfer_leadership("n2")
    wired.run(0.5)

    assert wired.leaders() == ["n2"]
    assert wired["n2"].replica.next_stamp() > newest


def test_a_reader_s_time_is_the_leader_s_stamp_plus_its_own_time_since() -> None:
    """Never its own wall clock."""
    wired = Wired()
    node = wired.elect("n1")
    wired.run(0.2)
    follower = wired["n2"].replica
    wired.clock.wall_ns = lambda: 0  # type: ignore[method-assign]
    ahead_ns = follower.now_ns()
    wired.clock.now_s += 0.5
    later_ns = follower.now_ns()

    assert abs(later_ns - ahead_ns - 500_000_000) < 1_000_000
    assert abs(node.replica.next_stamp() - later_ns) < 60_000_000


def test_time_goes_on_for_a_leader_that_stepped_down() -> None:
    """From its own last word, though it hears nobody: what expires meanwhile has expired."""
    wired = Wired()
    node = wired.elect("n1")
    wired.run(1.0)
    last_ns = node.replica.next_stamp()
    node.replica.step_down()
    wired.clock.now_s += 30.0

    assert abs(node.replica.now_ns() - last_ns - 30 * 10**9) < 1_000_000


# ---- applying in slices
def test_applying_is_bounded_in_time_a_turn() -> None:
    """The rest is applied in the next turns."""
    node, clock = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    for number in range(20):
        node.propose(put(f"k{number}"))
    node.sync_log()
    node.hear("n2", ack(23, durable=22))
    install = node.replica.install

    def slow(index: int, term: int, command: bytes) -> None:
        clock.now_s += 0.002
        install(index, term, command)

    node.replica.install = slow  # type: ignore[method-assign]
    applied = []
    for _ in range(10):
        node.replica.tick()
        applied.append(node.replica.applied_index)

    assert applied[:4] == [5, 8, 11, 14]
    assert applied[-1] == 22
