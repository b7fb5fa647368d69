"""Known defects of PySyncObj 0.3.17 that lose or falsify writes: each shown in the library, each harmless here.

`test_stock_…` holds that the unmodified library still has the defect: when one of these fails, the library was cured,
and what we override for it can be looked at again. `test_ours_…` drives the same schedule through our member.
The defects are listed in table.py.
"""

from __future__ import annotations

import contextlib
import inspect
import random
from typing import TYPE_CHECKING, Any

import pysyncobj.journal
import pysyncobj.syncobj as library
import pytest

from chaos.sim.disk import SimDisk
from cluster.errors import DamagedError, UnknownOutcomeError
from cluster.journal import wal
from cluster.journal.ballot import Ballot
from cluster.journal.writer import LogWriter
from cluster.links.messages import (
    NO_ENTRIES,
    Ack,
    Append,
    PreVoteAnswer,
    RequestVote,
    SnapshotAck,
    SnapshotPart,
    Vote,
    pack_entries,
)
from cluster.raft.chassis import CANDIDATE
from tests.cluster.raft.test_raft_boot import entries as records_of
from tests.cluster.raft.test_raft_boot import start, write
from tests.cluster.raft.test_raft_leading import ack, leader
from tests.cluster.raft.test_raft_snapshots import a_snapshot, install, parts
from tests.cluster.raft.wiring import NO_OP_COMMAND, Node, Wired, an_entry, entry_one, lone, opened, put
from tests.defects.stock import SUCCESS, Member, Stock, World, command, dump_of, puts

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.raft.boot import Opened

UNCLOSED = pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library leaves files to the garbage collector


def follower(*terms: int, commit: int = 1, ballot: Ballot | None = None) -> Node:
    """n1 with no-ops of these terms behind entry 1; its own ballot is of term 4."""
    log = [(1, 0, entry_one())] + [(2 + at, term, NO_OP_COMMAND) for at, term in enumerate(terms)]
    node, _ = lone(start=opened(entries=log, ballot=ballot or Ballot(term=4, incarnation=1, born=True)))
    node.replica.commit_index = commit
    return node


# ---- S1: a snapshot under way commits the follower's own log
@pytest.mark.parametrize("part", [(b"first part", True, False), None], ids=["first part", "leader still dumps"])
def test_stock_s1_a_deposed_leader_reports_success_for_a_lost_write(world: World, part: object) -> None:
    """Commit index = min(the leader's, the own last index), compared with nothing."""
    node = world.node()
    node.leads()
    told: list[Any] = []
    node.put("lost", callback=lambda value, error: told.append((value, error)))
    node.tick()
    node.hear("c", type="append_entries", term=7, commit_index=500, serialized=part)
    node.tick()

    assert told == [("lost", SUCCESS)]
    assert node.history == ["lost"]


@pytest.mark.parametrize("part", [b"x" * 100, None], ids=["first part", "leader still dumps"])
def test_ours_s1_a_deposed_leader_reports_an_unknown_outcome(part: bytes | None) -> None:
    """The write is not applied here; heartbeats beside the snapshot commit nothing either."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    index = node.propose()
    node.sync()
    node.replica.tick()
    if part is not None:
        node.hear("n3", SnapshotPart(7, 1, b"id", 500, 7, 1000, 0, part))
    node.hear("n3", Append(7, 1, 500, 0, 0, 1, NO_ENTRIES))
    node.replica.tick()

    assert (node.replica.commit_index, node.replica.applied_index, node.log.last_index) == (2, 2, index)
    assert [(at, type(error)) for at, _, error in node.answers.proposals] == [(index, UnknownOutcomeError)]


# ---- S2: acknowledged entries are cut
def test_stock_s2_a_repeated_append_cuts_what_was_acknowledged(world: World) -> None:
    """It truncates behind every previous entry that is not its last, also where the entries match."""
    node = world.node("b", ("a", "c"))
    node.follows("a", 1, puts(2, 11, 1))
    acknowledged = node.said("next_node_idx")[-1]["next_node_idx"] - 1
    node.follows("a", 1, puts(2, 4, 1), commit=11)

    assert (acknowledged, node.log[-1][0]) == (11, 4)


def test_stock_s2_a_whole_cluster_loses_writes_that_were_answered(world: World) -> None:
    """No process ends and no disk fails: acknowledgements move the next index back, the log is sent again, a link ends
    inside the repetition, and the follower that had cut its log elects the next leader.
    """
    a, b, c = world.three(appendEntriesBatchSizeBytes=60)
    a.tick(2.0)
    for _ in range(4):
        world.carry(a, b)
        world.carry(b, a)
        a.tick()
    told: list[Any] = []
    for value in range(20):
        a.put(value, callback=lambda _value, error: told.append(error))
    a.tick()
    world.carry(a, b)
    world.carry(b, a)
    a.tick()
    world.carry(a, b)
    had = b.log[-1][0]
    world.carry(b, a, 1)
    a.tick()
    world.carry(a, b, 1)
    left = b.log[-1][0]
    world.carry(b, a)
    a.tick()
    b.tick(3.0)
    world.carry(b, c)
    world.carry(c, b)
    assert b._isLeader()
    for _ in range(10):
        b.tick()
        world.carry(b, c)
        world.carry(c, b)
    b.tick()

    assert told == [SUCCESS] * 20
    assert had == a.log[-1][0] > left
    assert (len(a.history), len(b.history)) == (20, left - 2)


def test_ours_s2_acknowledged_entries_survive_any_order_of_appends() -> None:
    """An old, shorter append that is delivered late cuts nothing."""
    node = follower()
    node.hear("n2", Append(5, 1, 1, 1, 0, 1, pack_entries([(5, NO_OP_COMMAND)] * 5)))
    node.hear("n2", Append(5, 2, 6, 1, 0, 1, pack_entries([(5, NO_OP_COMMAND)] * 2)))

    assert node.log.last_index == 6


def test_ours_s2_what_was_answered_is_there_with_the_next_leader() -> None:
    """The same schedule: the appends are repeated, the link ends, and the follower elects the next leader."""
    wired = Wired()
    first, second = wired.elect("n1"), wired["n2"]
    wired.cut = {pair for other in ("n1", "n2") for pair in ((other, "n3"), ("n3", other))}
    first.replica.batch_entries_max = 2
    for number in range(20):
        last = first.propose(put(f"k{number}"))
    first.replica.tick()
    first.sync()
    appends = first.said(Append, "n2")
    wired.deliver()
    second.sync()
    acks, second.sent = second.said(Ack, "n1"), []
    for message in acks[:2]:
        first.hear("n2", message)
    first.replica.tick()
    for message in appends[: len(appends) // 2]:
        second.hear("n1", message)
    assert second.log.last_index == last
    for message in acks[2:]:
        first.hear("n2", message)
    first.replica.tick()
    wired.cut = {pair for other in ("n2", "n3") for pair in ((other, "n1"), ("n1", other))}
    wired.run(5.0)

    assert len(appends) >= 10
    assert [error for _, _, error in first.answers.proposals] == [None] * 20
    assert len(wired.leaders()) == 1
    for name in ("n2", "n3"):
        assert wired[name].log.slice(1, last) == first.log.slice(1, last)
        assert wired[name].replica.applied_index > last


def test_stock_s2_entries_on_their_way_are_sent_again_after_every_acknowledgement(world: World) -> None:
    """An acknowledgement moves the next index back to itself: a healthy cluster repeats its log all the time."""
    node = world.node()
    node.leads()
    for value in range(4):
        node.put(value)
    node.tick()
    node.tick()
    node.wire.sent.clear()
    node.acknowledges("b", 5)
    node.tick()

    again = [entry[1] for message in node.said("append_entries", "b") for entry in message["entries"]]
    assert again == [5, 6]


def test_ours_s2_next_index_never_goes_back_on_success() -> None:
    """The same acknowledgement, in the middle of what is on its way: nothing is sent twice."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2, round_=1))
    node.replica.tick()
    for number in range(4):
        node.propose(put(f"k{number}"))
    node.replica.tick()
    node.sent.clear()
    node.hear("n2", ack(5, durable=4, round_=1))
    node.replica.tick()

    assert [message for message in node.said(Append, "n2") if message.entries != NO_ENTRIES] == []


# ---- S3: acknowledgements of another term
def test_stock_s3_an_acknowledgement_of_an_earlier_term_commits(world: World) -> None:
    """It carries no term: entries that nobody holds are reported as written."""
    node = world.node()
    node.leads()
    node.hear("c", type="request_vote", term=50, last_log_index=9, last_log_term=1)
    node.tick(3.0)
    node.hear("c", type="response_vote", term=node.raftCurrentTerm)
    assert node._isLeader()
    told: list[Any] = []
    for value in range(3):
        node.put(value, callback=lambda _value, error: told.append(error))
    node.tick()
    node.acknowledges("b", 6)  # said in term 1
    node.tick()

    assert node.raftCurrentTerm == 51
    assert told == [SUCCESS] * 2


def test_ours_s3_an_acknowledgement_of_an_earlier_term_does_not_count() -> None:
    """The same: leader of term 1, deposed by term 50, leader of term 51, and a late word of term 1."""
    node, clock = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.hear("n3", ack(1, term=50, success=False))
    node.sync()
    clock.now_s += 2.0
    node.replica.tick()
    node.hear("n3", PreVoteAnswer(50, 51, granted=True))
    node.replica.tick()
    node.sync()
    node.hear("n3", Vote(51, granted=True))
    node.sync()
    assert (node.replica.is_leader, node.replica.term) == (True, 51)
    before = node.replica.commit_index
    node.hear("n2", ack(6, durable=5, term=1))
    node.replica.tick()

    assert (node.replica.commit_index, node.replica.progress["n2"].match) == (before, 0)


# ---- S4: a snapshot that did not arrive whole
def test_stock_s4_a_snapshot_with_a_lost_part_is_acknowledged_and_replaces_the_good_one(
    world: World, tmp_path: Path
) -> None:
    """Loading fails, that is logged, and the follower reports its old log end as success and commits it."""
    dump = tmp_path / "dump"
    node = world.node("b", ("a", "c"), fullDumpFile=str(dump))
    node.follows("a", 1, puts(2, 11, 1), commit=11)
    node.tick()
    node.forceLogCompaction()
    node.tick(0.0)
    good = dump.read_bytes()
    node.follows("a", 1, puts(12, 14, 1), commit=11, prev=(11, 1))
    for part in ((good[:50], True, False), (good[80:], False, False), (b"", False, True)):
        node.hear("c", type="append_entries", term=2, commit_index=300, serialized=part)

    assert node.said("next_node_idx", "c") == [
        {"type": "next_node_idx", "next_node_idx": 15, "reset": False, "success": True}
    ]
    assert node.raftCommitIndex == 14  # of its own entries, which this leader does not have
    assert dump.read_bytes() == good[:50] + good[80:]


def test_ours_s4_a_snapshot_with_a_lost_part_is_asked_for_again() -> None:
    """The missing part is not acknowledged, and what follows it is not written; nothing is committed or called done."""
    stored, _ = a_snapshot()
    node = follower(4, 4, 4)
    pieces = parts(stored)
    for message in (pieces[0], *pieces[2:]):
        node.hear("n2", message)

    said = node.said(SnapshotAck)
    assert {(answer.offset, answer.done) for answer in said} == {(len(pieces[0].data), False)}
    assert (node.replica.commit_index, node.log.last_index, list(node.store.committed)) == (1, 4, [])


def test_ours_s4_a_snapshot_that_does_not_open_leaves_the_good_one() -> None:
    """Whole, and wrong inside: the leader hears that, and state, log and the own snapshot stay."""
    stored, _ = a_snapshot()
    bad = type(stored)(stored.snapshot_id, stored.index, stored.term, [*stored.sealed[:-1], b"x" * 50])
    node = follower(4, 4, 4, commit=4)
    node.replica.tick()
    assert node.replica.take_snapshot()
    node.replica.tick()
    node.sync()
    good = node.store.files[0].snapshot_id
    for message in parts(bad):
        node.hear("n2", message)
    install(node)

    latest = node.store.latest()
    assert latest is not None
    assert (latest.snapshot_id, node.replica.applied_index, node.log.last_index) == (good, 4, 4)
    assert [(answer.done, answer.refused) for answer in node.said(SnapshotAck)][-1] == (False, True)


# ---- S5: applied twice
def test_stock_s5_a_callback_that_fails_applies_the_command_again(world: World) -> None:
    """On that node only: the states differ from then on."""
    node = world.node()
    node.leads()
    calls: list[Any] = []

    def fails_once(value: Any, _error: int) -> None:
        calls.append(value)
        raise ValueError("the client went away")

    node.put("once", callback=fails_once)
    node.tick()
    node.acknowledges("b", 4)
    with pytest.raises(ValueError, match="went away"):
        node.tick()
    node.tick()

    assert (calls, node.history) == (["once"], ["once", "once"])


def test_ours_s5_a_callback_that_fails_leaves_its_entry_applied_once() -> None:
    """The error ends the process (turns.py); until then nothing happens twice."""
    wired = Wired()
    node = wired.elect("n1")
    calls: list[int] = []

    def fails(index: int, *_: object) -> None:
        calls.append(index)
        raise ValueError("the client went away")

    index = node.replica.propose(put("k"), fails)
    node.replica.tick()
    node.sync()
    wired.deliver()
    wired["n2"].sync()
    wired.deliver()
    with pytest.raises(ValueError, match="went away"):
        node.replica.tick()
    node.replica.tick()
    wired.settle()

    assert calls == [index]
    assert node.replica.applied_index == node.replica.state.applied_index == index
    assert {member.replica.state.digest for member in wired.nodes.values()} == {node.replica.state.digest}


# ---- S6: the journal
@UNCLOSED
def test_stock_s6_a_restart_throws_the_tail_behind_a_dump_away(world: World, tmp_path: Path) -> None:
    """Killed after the dump was renamed and before the journal was cut: what was acknowledged behind it is gone."""
    files = {"journalFile": str(tmp_path / "journal"), "fullDumpFile": str(tmp_path / "dump")}
    node = world.node("b", ("a", "c"), **files)
    node.follows("a", 1, puts(2, 50, 1), commit=50)
    node.tick()
    node.forceLogCompaction()
    node.tick(0.0)
    node.follows("a", 1, puts(51, 100, 1), commit=50, prev=(50, 1))
    assert node.said("next_node_idx")[-1]["next_node_idx"] == 101
    again = world.node("b", ("a", "c"), **files)
    on_disk = len(again.log)
    again.tick(0.0)

    assert on_disk == 100
    assert [index for index, _ in again.log] == [49, 50]


def test_ours_s6_a_restart_keeps_the_tail_behind_a_snapshot() -> None:
    """A snapshot whose last entry the log holds changes nothing."""
    disk = SimDisk()
    life = start(disk)
    write(disk, life, *records_of(life, *[1] * 100))
    disk.power_loss(random.Random(6))
    again = start(disk, snapshot=(50, 1))

    assert [index for index, _, _ in again.entries] == list(range(1, 101))
    assert (again.reset_to, again.ballot.recovering) == (None, False)


@UNCLOSED
def test_stock_s6_a_crash_inside_the_compaction_loses_the_rest_of_the_journal(tmp_path: Path) -> None:
    """The journal is emptied and written again, entry by entry, in place."""

    class Crashes(pysyncobj.journal.FileJournal):
        left = 10**9

        def add(self, *entry: Any) -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            super().add(*entry)

    path = str(tmp_path / "journal")
    journal = Crashes(path)
    for entry in puts(1, 100, 1):
        journal.add(*entry)
    journal.left = 5
    with pytest.raises(KeyboardInterrupt):
        journal.deleteEntriesTo(50)
    again = pysyncobj.journal.FileJournal(path)
    journal._destroy()
    again._destroy()

    assert [index for _, index, _ in again[:]] == [51, 52, 53, 54, 55]


class CrashError(Exception):
    """Power is lost here."""


def trimmed(disk: SimDisk, life: Opened, done: list[str]) -> None:
    """Entries 1 to 60 are synced, then the log is cut behind 50, over several segments."""
    writer = LogWriter(disk, segment_bytes=64 * 1024, start=life.start)
    first = life.start.last_sequence
    for at in range(60):
        writer.write([wal.append_record(first + 1 + at, 1 + at, 1, b"x" * 5000)], first + 1 + at)
    writer.sync()
    done.append("appended")
    writer.write([wal.trim_record(first + 61, 50, 1)], first + 61)
    writer.sync()
    for _ in range(10):
        writer.tidy()
    done.append("cut")


def test_ours_s6_power_lost_anywhere_inside_a_cut_loses_nothing_behind_the_snapshot() -> None:
    """Before each operation of the disk behind the sync of the entries."""
    seen = set()
    for step in range(1, 1000):
        disk = SimDisk()
        life = start(disk)
        done: list[str] = []
        count = 0

        def look(operation: str, step: int = step) -> None:
            nonlocal count
            count += 1
            if count == step:
                raise CrashError(operation)

        disk.on_operation = look
        with contextlib.suppress(CrashError):
            trimmed(disk, life, done)
        disk.on_operation = lambda _operation: None
        disk.power_loss(random.Random(step))
        if "appended" in done:
            again = start(disk, snapshot=(50, 1))
            seen.add(again.base[0])
            assert set(range(51, 61)) <= {index for index, _, _ in again.entries}
            assert again.ballot.recovering is False
        if "cut" in done:
            break

    assert done == ["appended", "cut"]
    assert seen == {0, 50}


def test_stock_s6_nothing_is_ever_synced() -> None:
    """No file of the library says fsync, fdatasync or O_SYNC; its journal is as durable as the page cache."""
    source = "".join(
        inspect.getsource(module)
        for module in (library, pysyncobj.journal, pysyncobj.serializer, pysyncobj.atomic_replace)
    )

    assert not any(word in source for word in ("fsync", "fdatasync", "O_SYNC", "O_DSYNC"))


def test_ours_s6_an_acknowledgement_says_durable_only_what_is_synced() -> None:
    """Its twin: after the sync it does, and only then does the leader count it."""
    node = follower()
    node.hear("n2", Append(5, 1, 1, 1, 0, 1, pack_entries([(5, NO_OP_COMMAND)] * 3)))
    node.sync_log()

    assert [(answer.next_index, answer.durable) for answer in node.said(Ack)] == [(5, 1), (5, 4)]


# ---- S7: membership
def test_stock_s7_membership_changes_overlap(world: World) -> None:
    """The guard against a second change before the first is committed is never armed."""
    node = world.node(dynamicMembershipChange=True)
    node.leads()
    denied: list[Any] = []
    node.addNodeToCluster(Member("d"), callback=lambda *answer: denied.append(answer))
    node.addNodeToCluster(Member("e"), callback=lambda *answer: denied.append(answer))
    node.removeNodeFromCluster(Member("c"), callback=lambda *answer: denied.append(answer))
    node.tick()

    assert denied == []
    assert {member.id for member in node.otherNodes} == {"b", "d", "e"}
    assert node.raftCommitIndex < node.log[-1][0]


def test_ours_s7_there_are_no_membership_changes() -> None:
    """Entrances are closed, and the member list of entry 1 is not the library's to read."""
    node, _ = leader()
    before = (node.log.last_index, node.replica.peers, node.replica.otherNodes)  # type: ignore[attr-defined]
    for change in (node.replica.addNodeToCluster, node.replica.removeNodeFromCluster):  # type: ignore[attr-defined]
        with pytest.raises(Exception, match="disabled"):
            change(Member("n9"))
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()

    assert (node.log.last_index, node.replica.peers, node.replica.otherNodes) == before  # type: ignore[attr-defined]
    assert node.replica.quorum == 2


# ---- S8: code versions
class Versioned(Stock):
    """Two versions of one method."""

    @library.replicated(ver=0)
    def say(self) -> None:
        self.history.append("old")

    @library.replicated(ver=1)
    def say(self) -> None:  # noqa: F811 - that is how the library wants it
        self.history.append("new")


def test_stock_s8_the_code_version_is_lost_with_a_dump(world: World) -> None:
    """From then on this node calls the old method, and the others the new one."""
    node = world.node(me="a", others=(), kind=Versioned)
    node.tick(2.0)
    node.tick()
    node.setCodeVersion(1)
    node.tick()
    node.tick()
    before = node._getFuncName("say")
    node.put(1)
    node.tick()
    node.tick()
    dump_of(node)
    node._SyncObj__loadDumpFile(clearJournal=False)

    assert (before, node._getFuncName("say")) == ("say_v1", "say_v0")


def test_stock_s8_after_an_unknown_code_version_entries_are_applied_again(world: World) -> None:
    """The position is not moved for the refused entry, so everything behind it is applied at the wrong one."""
    node = world.node("b", ("a", "c"))
    refused = bytes([3]) + library.pickle.dumps(9)
    node.follows("a", 1, [(refused, 2, 1), (command("x"), 3, 1)], commit=3)
    node.tick()
    node.tick()

    assert node.history == ["x", "x"]


def test_ours_s8_an_entry_of_that_kind_does_not_enter_the_log() -> None:
    """The log carries facts, so there is no version to switch; the entrance for it is closed."""
    node = follower(4)
    for kind in (3, 7):
        with pytest.raises(DamagedError):
            node.hear("n2", Append(5, 1, 2, 2, 4, 1, pack_entries([(5, bytes([kind]) + an_entry(5, 1)[1:])])))
    with pytest.raises(AssertionError):
        node.replica.setCodeVersion(0)  # type: ignore[attr-defined]

    assert (node.log.last_index, node.said(Ack)) == (2, [])


# ---- S9: memory lost
def test_stock_s9_a_node_that_restarts_votes_twice_in_a_term(world: World) -> None:
    """Term and vote were in memory: two leaders of one term."""
    request = {"type": "request_vote", "term": 5, "last_log_index": 9, "last_log_term": 4}
    votes = []
    for candidate in ("a", "c"):
        voter = world.node("b", ("a", "c"))  # another life
        voter.hear(candidate, **request)
        votes += [(to, message["term"]) for to, message in voter.wire.sent]

    assert votes == [("a", 5), ("c", 5)]


def test_ours_s9_a_vote_survives_the_life_that_gave_it() -> None:
    """It left only when its ballot was durable, and the next life begins with that ballot."""
    node = follower()
    node.replica.clock.now_s += 1.0  # type: ignore[attr-defined]
    node.hear("n2", RequestVote(5, 9, 4))
    node.sync()
    again, clock = lone(start=opened(ballot=node.writer.ballots[-1][1]))
    clock.now_s += 1.0
    again.hear("n3", RequestVote(5, 9, 4))
    again.sync()

    assert [vote.granted for vote in node.said(Vote, "n2")] == [True]
    assert [vote for vote in again.said(Vote, "n3") if vote.granted] == []


def test_stock_s9_a_node_that_lost_its_log_elects_one_that_never_had_it(world: World) -> None:
    """What it acknowledged was committed by it and the leader: the rest of the cluster forgets it."""
    node = world.node("b", ("a", "c"))
    node.follows("a", 1, puts(2, 5, 1), commit=5)
    node.tick()
    had = list(node.history)
    again, other = world.node("b", ("a", "c")), world.node("c", ("a", "b"))
    other.tick(2.0)
    world.carry(other, again)
    world.carry(again, other)

    assert had == [2, 3, 4, 5]
    assert other._isLeader()
    assert other.log == [(1, 0), (2, 1)]


def test_ours_s9_a_node_that_lost_its_log_elects_nobody_until_it_is_whole_again() -> None:
    """The same loss: no leader without what was committed; with the old leader back, everything is there."""
    disk = SimDisk()
    life = start(disk)
    write(disk, life, *records_of(life, 0, 1))
    for name in disk.names(wal.FOLDER):
        disk.lose(f"{wal.FOLDER}/{name}")
    begun = start(disk)
    wired = Wired()
    first = wired.elect("n1")
    wired.cut = {pair for other in ("n1", "n2") for pair in ((other, "n3"), ("n3", other))}
    last = first.propose()
    wired.settle()
    wired.run(0.2)
    assert [error for _, _, error in first.answers.proposals] == [None]
    wired.cut = {pair for other in ("n2", "n3") for pair in ((other, "n1"), ("n1", other))}
    wired.start("n2", begun)
    wired.run(5.0)
    alone = [name for name in wired.leaders() if name != "n1"]
    wired.cut = set()
    wired.run(3.0)

    assert (begun.ballot.recovering, begun.entries, alone) == (True, [], [])
    assert all(member.replica.applied_index >= last for member in wired.nodes.values())
    assert wired["n2"].replica.recovering is False


# ---- S10: a journal without a dump file
@UNCLOSED
def test_stock_s10_a_journal_without_a_dump_file_restarts_empty_and_leads(world: World, tmp_path: Path) -> None:
    """Compaction, on by default, cuts the journal for a dump in memory. The new life commits and answers nothing."""
    settings = {"journalFile": str(tmp_path / "journal"), "logCompactionMinEntries": 100}
    node = world.node("a", (), **settings)
    node.tick(2.0)
    for value in range(300):
        node.put(value)
    for _ in range(20):
        node.tick()
    again = world.node("a", (), **settings)
    told: list[Any] = []
    again.tick(2.0)
    again.put("new", callback=lambda *answer: told.append(answer))
    for _ in range(20):
        again.tick()

    assert len(node.history) == 300
    assert (again._isLeader(), again.history, told) == (True, [], [])
    assert again.raftCommitIndex == again.log[-1][0]
    assert again.raftLastApplied == 1


def test_ours_s10_a_log_that_was_cut_for_a_snapshot_that_is_gone_is_not_trusted() -> None:
    """The new life is empty too, and says so: it neither votes nor leads until its peers have given it everything."""
    disk = SimDisk()
    trimmed(disk, start(disk), [])
    disk.kill()
    begun = start(disk, snapshot=None)
    node, clock = lone(start=begun)
    node.hear("n2", RequestVote(9, 99, 8, transfer=True))
    for _ in range(100):
        clock.now_s += 0.1
        node.replica.tick()
        node.sync()

    assert (begun.ballot.recovering, begun.base, begun.entries) == (True, (0, 0), [])
    assert node.replica.is_leader is False
    assert [vote for vote in node.said(Vote) if vote.granted] + node.said(RequestVote) == []


def test_ours_s10_the_log_is_cut_when_the_snapshot_is_durable_and_not_before() -> None:
    """The other half of it: no compaction for what is only in memory."""
    wired = Wired()
    node = wired.elect("n1")
    node.replica.log_keep_entries = 0
    for number in range(10):
        node.propose(put(f"k{number}"))
    wired.run(0.1)
    assert node.replica.take_snapshot()
    for _ in range(20):
        node.replica.tick()
    before = node.log.base_index
    node.replica.on_snapshot_durable(node.store.finish())

    assert (before, node.log.base_index) == (0, 12)


# ---- A1: time goes back
def test_stock_a1_a_snapshot_that_is_older_than_the_state_is_installed(world: World) -> None:
    """State, and the acknowledged log with it, go back in time."""
    other = world.node("c", ("a", "b"))
    other.follows("a", 1, puts(2, 5, 1), commit=5)
    other.tick()
    dump = dump_of(other)
    node = world.node("b", ("a", "c"))
    node.follows("a", 1, puts(2, 20, 1), commit=20)
    node.tick()
    had = len(node.history)
    for part in ((dump, True, False), (b"", False, True)):
        node.hear("a", type="append_entries", term=1, commit_index=20, serialized=part)

    assert had == 19
    assert (node.history, node.raftLastApplied, node.log[-1][0]) == ([2, 3, 4, 5], 5, 5)


def test_ours_a1_a_snapshot_that_is_older_than_the_state_is_not_received() -> None:
    """The leader hears that it is not needed."""
    stored, _ = a_snapshot()
    node = follower(*[4] * (stored.index + 4), commit=stored.index + 2)
    node.replica.tick()
    for message in parts(stored):
        node.hear("n2", message)

    assert (node.store.arriving, node.replica.applied_index) == ({}, stored.index + 2)
    assert node.log.last_index == stored.index + 5
    assert node.replica.installs == 0


# ---- A2: votes
def test_stock_a2_a_vote_that_arrives_twice_counts_twice(world: World) -> None:
    """Two of five members elect a leader."""
    node = world.node(others=("b", "c", "d", "e"))
    node.tick(2.0)
    for _ in range(2):
        node.hear("b", type="response_vote", term=1)

    assert node._isLeader()


def test_ours_a2_voters_are_a_set() -> None:
    """Its twin: a second voter elects."""
    node, clock = lone(peers=4)
    clock.now_s += 1.0
    node.replica.tick()
    for peer in ("n2", "n3"):
        node.hear(peer, PreVoteAnswer(0, 1, granted=True))
    node.replica.tick()
    node.sync()
    for _ in range(2):
        node.hear("n2", Vote(1, granted=True))
    role = node.replica.role
    node.hear("n3", Vote(1, granted=True))

    assert (role, node.replica.is_leader) == (CANDIDATE, True)
