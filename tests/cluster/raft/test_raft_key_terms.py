"""Entries and snapshots under a key term whose rotation is not applied here yet: they wait, or are damage."""

from __future__ import annotations

import pytest

from cluster.errors import DamagedError
from cluster.keyring.keyring import Keyring
from cluster.keyring.sealing import Sealer
from cluster.links.messages import Ack, SnapshotAck, SnapshotPart
from cluster.state import transaction
from cluster.state.snapshot import Snapshot
from tests.cluster.raft.test_raft_following import append, node_with, terms_of
from tests.cluster.raft.wiring import FakeRandom, Node, an_entry, keyring, put

LIFE = 1


def rotated() -> Keyring:
    return keyring().rotate(FakeRandom("rotation"), 2)


def later_entry(term: int, sequence: int) -> bytes:
    """As `an_entry`, sealed with the term that a rotation brought."""
    draft = put(f"later {sequence}")
    facts = transaction.Transaction(term, sequence, 1, [], draft.puts, [])
    sealer = Sealer(rotated(), FakeRandom("salt"), b"generation-tests")
    return sealer.seal_entry(
        kind=0, term=term, sequence=sequence, hashes=(), payload=transaction.encode(facts), nonce=b"n" * 12
    )


def test_what_stands_before_the_unknown_term_is_taken_and_the_rest_waits() -> None:
    """R6, R8: the acknowledgement says how far; the leader sends the rest again, and the link stays."""
    node = node_with()
    node.replica.waits_for_keys = lambda: True
    sent = [(5, an_entry(5, 1)), (5, later_entry(5, 2)), (5, later_entry(5, 3))]
    node.hear("n2", append(1, 0, sent, commit=9))
    assert (terms_of(node), node.said(Ack)[-1].success, node.said(Ack)[-1].next_index) == ([0, 5], True, 3)
    assert (node.replica.commit_index, node.replica.damaged_entries) == (2, 0)

    node.sealer.use(rotated())
    node.hear("n2", append(2, 5, sent[1:], commit=9))
    assert (terms_of(node), node.said(Ack)[-1].next_index) == ([0, 5, 5, 5], 5)


def test_nothing_is_cut_for_entries_that_have_to_wait() -> None:
    """R1: a conflicting tail stays until what replaces it can be opened."""
    node = node_with(4, 4)
    node.replica.waits_for_keys = lambda: True
    node.hear("n2", append(1, 0, [(5, later_entry(5, 2))]))

    assert (terms_of(node), node.said(Ack)[-1].next_index) == ([0, 4, 4], 2)


def test_a_term_that_nobody_brings_is_damage() -> None:
    """The twin: the link is dropped, it is counted, and the log is as it was."""
    node = node_with()
    with pytest.raises(DamagedError):
        node.hear("n2", append(1, 0, [(5, an_entry(5, 1)), (5, later_entry(5, 2))]))

    assert (terms_of(node), node.replica.damaged_entries) == ([0], 1)


def send_snapshot(node: Node) -> None:
    """A leader's snapshot at index 9, sealed with the later term, is whole and durable here."""
    state = node_with(5).replica.state
    for index in range(1, 10):
        state.apply_nothing(index, 5)
    sealer = Sealer(rotated(), FakeRandom("chunks"), b"generation-tests")
    payloads = list(Snapshot(state).chunks())
    data = b""
    for number, payload in enumerate(payloads):
        chunk = sealer.seal_chunk(
            snapshot_id=b"snapshot", index=9, term=5, number=number, final=number == len(payloads) - 1,
            payload=payload, nonce=b"n" * 12,
        )  # fmt: skip
        data += len(chunk).to_bytes(4, "big") + chunk
    node.hear("n2", SnapshotPart(5, LIFE, b"snapshot", 9, 5, len(data), 0, data, 1))
    node.sync()


def ticks(node: Node, count: int = 6) -> None:
    for _ in range(count):
        node.replica.tick()
        node.sync()


def test_a_snapshot_under_an_unknown_term_waits_for_its_keys() -> None:
    """It is loaded when they come, and never called damaged."""
    node = node_with()
    node.replica.waits_for_keys = lambda: True
    send_snapshot(node)
    ticks(node)
    assert (node.replica.installs, node.replica.busy) == (0, True)
    assert not any(message.refused for message in node.said(SnapshotAck))

    node.sealer.use(rotated())
    ticks(node)
    assert (node.replica.installs, node.replica.applied_index) == (1, 9)


def test_a_snapshot_whose_keys_nobody_brings_is_refused() -> None:
    """The twin: the leader hears of it, as of any that does not open."""
    node = node_with()
    send_snapshot(node)
    ticks(node)

    assert (node.replica.installs, node.said(SnapshotAck)[-1].refused) == (0, True)
