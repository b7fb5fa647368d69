"""Snapshots between members, and the front of the log (S1-S6, P1, P2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.journal.ballot import Ballot
from cluster.links.messages import Append, SnapshotAck, SnapshotPart, pack_entries
from cluster.raft.progress import Mode
from cluster.raft.snapshots import NO_SPACE, PIN_S, RESEND_S, REWIND_S, _Receiving
from cluster.state.machine import State
from tests.cluster.raft.test_raft_leading import ack, leader
from tests.cluster.raft.wiring import (
    NO_OP_COMMAND,
    FakeClock,
    Node,
    Wired,
    an_entry,
    entry_one,
    keyring,
    lone,
    opened,
    put,
)

if TYPE_CHECKING:
    from tests.cluster.raft.wiring import FakeStored


def compacted(writes: int = 30, *, count: int = 3, out: str = "n3") -> Wired:
    """n1 leads and has cut its log behind a snapshot; `out` has missed all of it."""
    wired = Wired(count)
    node = wired.elect("n1")
    wired.cut = {pair for other in wired.names for pair in ((out, other), (other, out))}
    for _ in range(writes):
        node.propose(put(f"k{_}", b"v" * 50))
    wired.run(0.1)
    for replica in (wired[name].replica for name in wired.names):
        replica.log_keep_entries = 0
        replica.part_bytes = 400
    assert node.replica.take_snapshot()
    wired.run(0.1)
    assert node.log.base_index == node.replica.applied_index
    return wired


def heal(wired: Wired) -> None:
    wired.cut = set()


def a_snapshot() -> tuple[FakeStored, int]:
    """A real snapshot file of another cluster run, its index high; and its term."""
    wired = compacted()
    stored = wired["n1"].store.files[0]
    return stored, stored.term


def parts(stored: FakeStored, *, term: int = 5, life: int = 1, size: int = 400) -> list[SnapshotPart]:
    """The file as a leader of `term` sends it."""
    data = stored.data
    return [
        SnapshotPart(
            term, life, stored.snapshot_id, stored.index, stored.term, len(data), at, data[at : at + size]
        )
        for at in range(0, len(data), size)
    ]


def receive(node: Node, messages: list[SnapshotPart], *, peer: str = "n2") -> None:
    for message in messages:
        node.hear(peer, message)


def install(node: Node) -> None:
    """The file is durable, the state loaded; the reset is still on its way to the disk."""
    node.replica.on_snapshot_durable(node.store.finish())
    for _ in range(20):
        node.replica.tick()


# ---- end to end
def test_a_follower_that_missed_the_log_gets_a_snapshot_and_goes_on() -> None:
    """Then appends as usual."""
    wired = compacted()
    heal(wired)
    wired.run(1.0)
    index = wired["n1"].propose()
    wired.run(0.2)

    follower = wired["n3"].replica
    assert (follower.installs, follower.applied_index) == (1, index)
    assert follower.state.digest == wired["n1"].replica.state.digest
    assert all(stored.closed for stored in wired["n1"].store.opened)


def test_heartbeats_and_elections_do_not_wait_for_a_transfer() -> None:
    """Rounds stay confirmed while parts are on their way (a long transfer never arrives in the library)."""
    wired = compacted()
    heal(wired)
    wired["n1"].replica.snapshot_window_bytes = 400
    wired.cut = {("n1", "n2"), ("n2", "n1")}
    terms = {wired["n1"].replica.term}
    for _ in range(60):
        wired.run(0.05)
        terms.add(wired["n1"].replica.term)

    assert terms == {wired["n1"].replica.term}
    assert wired["n3"].replica.installs == 1


def test_a_follower_that_restarts_in_the_middle_begins_again() -> None:
    """Its new life has nothing of the file."""
    wired = compacted()
    heal(wired)
    wired["n1"].replica.snapshot_window_bytes = 400
    while not wired["n1"].replica._sending or wired["n1"].replica._sending["n3"].acknowledged < 800:
        wired.run(0.01)
    assert wired["n1"].replica._sending["n3"].acknowledged > 0
    wired.start("n3", opened(ballot=Ballot(term=1, incarnation=2, born=True)))
    wired["n3"].replica.part_bytes = 400
    wired["n1"].replica.snapshot_window_bytes = 10_000
    wired.run(1.5)

    assert wired["n3"].replica.applied_index == wired["n1"].replica.applied_index


# ---- S1, S2
def test_a_snapshot_at_or_below_the_commit_index_is_never_installed() -> None:
    """S1: state never goes back; the leader hears that it is not needed."""
    stored, _ = a_snapshot()
    entries = [(1, 0, entry_one())] + [(index, 1, NO_OP_COMMAND) for index in range(2, stored.index + 3)]
    node, _ = lone(start=opened(entries=entries))
    node.replica.commit_index = stored.index
    receive(node, parts(stored))

    assert (node.store.arriving, node.log.last_index) == ({}, stored.index + 2)
    assert node.said(SnapshotAck)[-1].done is True


def test_a_snapshot_below_the_own_log_is_never_received() -> None:
    """S1: this node has a newer snapshot of its own, and no entry to compare with."""
    stored, _ = a_snapshot()
    clock = FakeClock()
    state = State(keyring().digest_key)
    state.applied_index = stored.index + 10
    start = opened(entries=[], base=(stored.index + 10, 1))
    node = Node("n1", ["n2", "n3"], clock, start=start, state=state)
    receive(node, parts(stored))

    assert (node.store.arriving, node.replica._receiving) == ({}, None)
    assert node.said(SnapshotAck)[-1].done is True


def test_a_log_that_holds_the_last_entry_of_the_snapshot_stays() -> None:
    """S2: with the tail it acknowledged (the first version of these rules dropped it)."""
    stored, term = a_snapshot()
    entries = [(1, 0, entry_one())] + [(index, term, NO_OP_COMMAND) for index in range(2, stored.index + 3)]
    node, _ = lone(start=opened(entries=entries))
    receive(node, parts(stored))

    assert (node.replica.commit_index, node.log.last_index) == (stored.index, stored.index + 2)
    assert (node.replica.installs, node.said(SnapshotAck)[-1].done) == (0, True)


def test_a_log_that_conflicts_with_the_snapshot_gives_way() -> None:
    """Its twin: another term at that index is another history."""
    stored, term = a_snapshot()
    entries = [(1, 0, entry_one())] + [(index, term + 7, NO_OP_COMMAND) for index in range(2, stored.index + 3)]
    node, _ = lone(start=opened(entries=entries))
    receive(node, parts(stored, term=20))
    install(node)

    assert (node.replica.installs, node.log.base_index, node.log.last_index) == (1, stored.index, stored.index)


def test_a_log_that_catches_up_while_the_snapshot_loads_stays() -> None:
    """S2 again, at the last moment."""
    stored, term = a_snapshot()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())]))
    receive(node, parts(stored))
    commands = [(term, NO_OP_COMMAND) for _ in range(2, stored.index + 2)]
    node.hear("n2", Append(5, 1, 1, 1, 0, 1, pack_entries(commands)))
    install(node)

    assert (node.replica.installs, node.log.base_index, node.log.last_index) == (0, 0, stored.index + 1)


# ---- S3
def test_done_is_said_when_the_log_that_starts_at_the_snapshot_is_durable() -> None:
    """Not when it was received, not when it was loaded."""
    stored, _ = a_snapshot()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())]))
    receive(node, parts(stored))
    said = [message.done for message in node.said(SnapshotAck)]
    install(node)
    said += [node.said(SnapshotAck)[-1].done]
    node.sync_log()

    assert not any(said)
    assert node.said(SnapshotAck)[-1].done is True
    assert node.replica.applied_index == stored.index


def test_done_is_not_said_early_when_the_leader_sends_a_part_again() -> None:
    """The state has it, the disk has not."""
    stored, _ = a_snapshot()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())]))
    receive(node, parts(stored))
    install(node)
    receive(node, parts(stored)[-1:])
    before = [message.done for message in node.said(SnapshotAck)]
    node.sync_log()

    assert not any(before)
    assert node.said(SnapshotAck)[-1].done is True


def test_a_lost_done_is_asked_for_again() -> None:
    """All bytes are acknowledged and nothing moves: the last byte is sent again, and the answer is done."""
    wired = compacted()
    heal(wired)
    dropped = []

    def no_done(_sender: str, _peer: str, message: object) -> bool:
        if isinstance(message, SnapshotAck) and message.done and not dropped:
            dropped.append(message)
            return False
        return True

    for _ in range(400):
        wired.clock.now_s += 0.01
        for name in wired.names:
            wired[name].replica.tick()
            wired[name].sync()
        wired.deliver(only=no_done)

    assert len(dropped) == 1
    assert wired["n1"].replica.progress["n3"].mode is Mode.REPLICATE
    assert wired["n1"].replica._sending == {}


# ---- parts
def test_parts_out_of_order_are_acknowledged_and_not_written() -> None:
    """The acknowledgement says where to go on."""
    stored, _ = a_snapshot()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())]))
    first, second, third = parts(stored)[:3]
    receive(node, [first, third, second, second])

    assert [message.offset for message in node.said(SnapshotAck)] == [400, 400, 800, 800]


@pytest.mark.parametrize(("term", "life"), [(0, 1), (5, 9)], ids=["older term", "another life"])
def test_parts_that_are_not_for_this_node_now_are_ignored(term: int, life: int) -> None:
    """Of an earlier leader, or for an earlier life of this node."""
    stored, _ = a_snapshot()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())], ballot=Ballot(term=1, incarnation=1, born=True)))
    receive(node, parts(stored, term=term, life=life))

    assert (node.store.arriving, node.said(SnapshotAck)) == ({}, [])


def test_another_snapshot_replaces_the_one_that_is_arriving() -> None:
    """A new leader sends its own file."""
    stored, _ = a_snapshot()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())]))
    receive(node, parts(stored)[:2])
    other = type(stored)(b"another", stored.index, stored.term, stored.sealed)
    receive(node, parts(other, term=6)[:1], peer="n3")

    assert list(node.store.arriving) == [b"another"]


def test_a_follower_whose_writer_is_behind_acknowledges_later() -> None:
    """What waits is bounded by the leader's window; its twin: it is said once the writer has caught up."""
    stored, _ = a_snapshot()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())]))
    node.store.backlog_bytes = 100 * 1024 * 1024
    receive(node, parts(stored)[:2])
    node.replica.tick()
    before = node.said(SnapshotAck)
    node.store.backlog_bytes = 0
    node.replica.tick()

    assert (before, [message.offset for message in node.said(SnapshotAck)]) == ([], [800])


# ---- S4, S5: the leader's log
def sending() -> tuple[Node, FakeClock]:
    """n1 leads, its log is cut, and n2 needs the snapshot."""
    node, clock = leader()
    for peer in node.replica.peers:
        node.hear(peer, ack(3, durable=2))
    node.replica.tick()
    for _ in range(5):
        node.propose()
    node.sync()
    node.hear("n3", ack(8, durable=7))
    node.replica.tick()
    node.replica.log_keep_entries = 0
    node.replica.take_snapshot()
    for _ in range(20):
        node.replica.tick()
    node.sync()
    node.hear("n2", ack(1, life=9))
    progress = node.replica.progress["n2"]
    progress.next = 2
    node.replica.send_round()
    assert progress.mode is Mode.SNAPSHOT
    return node, clock


def test_the_log_is_cut_when_the_snapshot_is_durable_and_not_before() -> None:
    """S5."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.replica.log_keep_entries = 0
    node.replica.take_snapshot()
    for _ in range(20):
        node.replica.tick()
    before = node.log.base_index
    node.sync()

    assert (before, node.log.base_index) == (0, 2)


def test_a_snapshot_that_is_being_sent_pins_the_log_behind_it() -> None:
    """S4: else the follower would need the next one at the end."""
    node, clock = sending()
    pinned = node.log.base_index
    for _ in range(5):
        node.propose()
    node.sync()
    node.hear("n3", ack(13, durable=12))
    node.replica.tick()
    node.replica.take_snapshot()
    for _ in range(20):
        node.replica.tick()
    node.sync()
    held = node.log.base_index
    clock.now_s += PIN_S + 1
    node.replica.cut_log()

    assert (pinned, held, node.log.base_index) == (7, 7, 12)


def test_a_follower_that_takes_nothing_for_long_unpins_the_log_and_closes_the_file() -> None:
    """A dead follower must not make the leader's log grow for ever."""
    node, clock = sending()
    clock.now_s += PIN_S + 1
    pinned = node.replica.pinned_index()

    assert pinned is None
    assert all(stored.closed for stored in node.store.opened)


def test_entries_kept_behind_a_snapshot_are_bounded_in_bytes_too() -> None:
    """A few large entries must not stay because they are few."""
    wired = Wired()
    node = wired.elect("n1")
    node.replica.log_bytes_max = 20_000
    for number in range(10):
        node.propose(put(f"k{number}", b"x" * 2000))
    wired.run(0.1)
    node.replica.take_snapshot()
    wired.run(0.1)

    assert node.log.bytes <= 5_000
    assert node.replica.wants_snapshot is False


def test_a_log_of_few_large_entries_asks_for_a_snapshot() -> None:
    """P2, on leaders and followers; its twin: right after it, it does not."""
    wired = Wired()
    node = wired.elect("n1")
    for name in wired.names:
        wired[name].replica.log_bytes_max = 20_000
    for number in range(11):
        node.propose(put(f"k{number}", b"x" * 2000))
    wired.run(3.0)

    assert [wired[name].replica.snapshot_index for name in wired.names] != [0, 0, 0]
    assert all(wired[name].log.bytes <= 20_000 for name in wired.names)


# ---- P1: turns
def test_one_member_takes_its_snapshot_at_a_time_and_all_get_their_turn() -> None:
    """P1, P2: the leader gives the turn."""
    wired = Wired()
    node = wired.elect("n1")
    for name in wired.names:
        wired[name].replica.log_entries_max = 10
        wired[name].replica.log_keep_entries = 2
    for number in range(40):
        node.propose(put(f"k{number}"))
    at_once = 0
    for _ in range(200):
        wired.clock.now_s += 0.01
        wired.turn()
        at_once = max(at_once, sum(wired[name].replica._taking is not None for name in wired.names))

    assert at_once == 1
    assert all(wired[name].replica.snapshot_index >= 40 for name in wired.names)


def test_a_member_that_never_finishes_does_not_keep_the_turn() -> None:
    """After a minute the next one has it, then the next: nobody's log grows because of another's disk."""
    node, clock = leader()
    for peer in node.replica.peers:
        node.hear(peer, ack(3, durable=2))
    given = []
    for _ in range(4):
        for peer in node.replica.peers:
            node.replica.progress[peer].wants_snapshot = True
        node.replica.retake()
        node.replica._take_after_s = clock.now_s + 1e6
        node.replica._give_turn()
        assert node.replica._turn is not None
        given.append(node.replica._turn[0])
        clock.now_s += 61.0

    assert given == ["n2", "n3", "n1", "n2"]


def test_an_own_snapshot_that_finds_no_space_is_tried_again_after_a_while() -> None:
    """Not with every turn."""
    node, clock = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.replica.take_snapshot()
    assert node.replica._taking is not None
    node.replica.on_snapshot_refused(node.replica._taking[0], NO_SPACE)
    at_once = node.replica.take_snapshot()
    clock.now_s += 6.0

    assert (at_once, node.replica.take_snapshot()) == (False, True)


def test_a_snapshot_that_a_follower_waits_for_is_tried_again_sooner() -> None:
    """A second after it found no space: that follower answers no read until then."""
    node, clock = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.replica.retake()
    node.replica.take_snapshot()
    assert node.replica._taking is not None
    node.replica.on_snapshot_refused(node.replica._taking[0], NO_SPACE)
    at_once = node.replica.take_snapshot()
    clock.now_s += 1.5

    assert (at_once, node.replica.take_snapshot()) == (False, True)


def test_taking_waits_for_a_slow_disk_without_spinning() -> None:
    """One look a turn."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.replica.take_snapshot()
    node.store.backlog_bytes = 100 * 1024 * 1024
    looks = 0

    def counted() -> object:
        nonlocal looks
        for rest in job:  # type: ignore[union-attr]
            looks += 1
            yield rest

    job = node.replica._job
    node.replica._job = counted()  # type: ignore[assignment]
    for _ in range(5):
        node.replica.tick()

    assert looks <= 6


# ---- S6: damage
def test_a_received_snapshot_that_does_not_open_harms_nobody() -> None:
    """It is forgotten, the leader hears it, and the member goes on with what it has."""
    stored, _ = a_snapshot()
    bad = type(stored)(stored.snapshot_id, stored.index, stored.term, [*stored.sealed[:-1], b"x" * 50])
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())]))
    receive(node, parts(bad))
    install(node)

    assert (node.replica.installs, node.replica.busy, node.store.bad) == (0, False, {stored.snapshot_id})
    assert [message.refused for message in node.said(SnapshotAck)][-1] is True
    assert node.store.latest() is None


def test_a_file_that_the_writer_refuses_is_refused_to_the_leader() -> None:
    """All of it arrived and it is no snapshot; its twin: a full disk is not the leader's fault."""
    stored, _ = a_snapshot()
    node, _ = lone(start=opened(entries=[(1, 0, entry_one())]))
    receive(node, parts(stored))
    node.replica.on_snapshot_refused(stored.snapshot_id, NO_SPACE)
    full = [message.refused for message in node.said(SnapshotAck)]
    receive(node, parts(stored))
    node.replica.on_snapshot_refused(stored.snapshot_id, "the snapshot is not what was written")

    assert not any(full)
    assert node.said(SnapshotAck)[-1].refused is True


def test_a_leader_whose_snapshot_was_refused_takes_another() -> None:
    """At the same index if nothing was applied since; and the follower comes up."""
    wired = compacted()
    stored = wired["n1"].store.files[0]
    stored.sealed[-1] = b"rotten" * 10
    heal(wired)
    wired.run(4.0)

    assert wired["n1"].store.bad == {stored.snapshot_id}
    assert wired["n3"].replica.installs == 1
    assert wired["n3"].replica.state.digest == wired["n1"].replica.state.digest


def test_a_leader_whose_snapshot_is_gone_takes_another() -> None:
    """It is no reason to stop."""
    wired = compacted()
    wired["n1"].store.files.clear()
    heal(wired)
    wired.run(3.0)

    assert wired["n3"].replica.applied_index == wired["n1"].replica.applied_index


def test_a_file_that_cannot_be_read_is_not_sent_on() -> None:
    """A disk error while reading costs the file, not the leader."""
    node, _ = sending()

    def unreadable(_offset: int, _count: int) -> bytes:
        raise OSError(5, "input/output error")

    node.replica._sending["n2"].stored.read = unreadable  # type: ignore[method-assign]
    node.replica._sending["n2"].sent = 0
    node.replica._pump("n2", node.replica._sending["n2"])

    assert node.replica.is_leader
    assert len(node.store.bad) == 1
    assert node.replica.wants_snapshot


def test_parts_that_were_lost_are_sent_again() -> None:
    """From what was acknowledged, after RESEND_S."""
    node, clock = sending()
    node.sent.clear()
    node.replica.send_round()
    quiet = node.said(SnapshotPart)
    clock.now_s += RESEND_S + 0.1
    node.hear("n3", ack(8, durable=7))
    node.replica.send_round()

    assert quiet == []
    assert node.said(SnapshotPart)[0].offset == 0


def test_answers_that_arrive_out_of_order_ask_for_the_window_once() -> None:
    """Each earlier byte would be another window, and each part of that another answer; after a while it may again."""
    node, clock = sending()
    part = node.said(SnapshotPart)[0]

    def said_after(*offsets: int) -> list[int]:
        node.sent.clear()
        for offset in offsets:
            node.hear("n2", SnapshotAck(part.term, 9, part.snapshot_id, offset, done=False))
        return [found.offset for found in node.said(SnapshotPart)]

    assert said_after(30) == []
    assert said_after(20, 10, 30, 10, 20) == [20]
    clock.now_s += REWIND_S + 0.01
    assert said_after(10) == [10]


def test_who_leads_receives_nothing() -> None:
    """What was arriving is given up with the role."""
    entries = [(1, 0, entry_one()), (2, 1, an_entry(1, 1))]
    node, clock = lone(peers=0, start=opened(entries=entries))
    node.store.arriving[b"id"] = (9, 1, bytearray(), 10)
    node.replica._receiving = _Receiving(b"id", 9, 1, 10)
    node.sync()
    clock.now_s += 1.0
    node.replica.tick()
    node.sync()

    assert node.replica.is_leader
    assert (node.replica._receiving, node.store.arriving) == (None, {})


@pytest.mark.parametrize(
    ("held", "bytes_max", "base"),
    [(4, 1 << 30, 4), (10**6, 1 << 30, 12), (None, 1 << 30, 12), (4, 10, 12)],
)
def test_the_log_stays_for_a_backup_that_is_behind(held: int | None, bytes_max: int, base: int) -> None:
    """Within its bounds; beyond them it is cut, and the sink gets a new base."""
    node, clock = lone(peers=0)
    clock.now_s += 5.0
    for _ in range(10):
        clock.now_s += 0.01
        node.replica.tick()
        node.sync()
    while node.replica.applied_index < 12:
        node.propose()
        node.sync()
        node.replica.tick()
    node.replica.log_keep_entries = 0
    node.replica.log_keep_bytes = bytes_max
    node.replica.backed_up = lambda: held
    assert node.replica.take_snapshot()
    for _ in range(20):
        clock.now_s += 0.01
        node.replica.tick()
        node.sync()

    assert (node.replica.snapshot_index, node.log.base_index) == (12, base)


def test_a_follower_that_is_sent_a_snapshot_knows_the_leaders_time() -> None:
    """It forwards writes meanwhile, and an id it draws for one must not be of long ago."""
    node, clock = lone(peers=2)
    before = node.replica.now_ns()
    stamp_ns = 5_000_000_000_000
    node.hear("n2", SnapshotPart(3, node.log.incarnation, b"snapshot", 9, 2, 100, 0, b"x", stamp_ns))
    now = node.replica.now_ns()
    node.hear("n2", SnapshotPart(3, node.log.incarnation, b"snapshot", 9, 2, 100, 1, b"x", stamp_ns - 10**9))
    clock.now_s += 1.0

    assert before < stamp_ns <= now
    assert node.replica.now_ns() >= stamp_ns + 10**9


def test_a_file_is_sent_from_its_beginning_to_a_life_that_was_not_known_before() -> None:
    """What was sent before named no life, and was not taken: nobody waits until it is sent again."""
    node, _ = sending()
    node.replica.progress["n2"].incarnation = 0
    offsets = [part.offset for part in node.said(SnapshotPart, "n2")]
    node.sent.clear()
    node.hear("n2", ack(1, life=10))
    node.replica.send_round()

    assert 0 in offsets
    assert [part.offset for part in node.said(SnapshotPart, "n2")] == offsets
    assert {part.life for part in node.said(SnapshotPart, "n2")} == {10}
