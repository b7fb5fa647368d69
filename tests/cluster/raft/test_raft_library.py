"""PySyncObj 0.3.17: what of it runs, that what we override exists, and that its known defects are harmless here.

The defects carry the names of docs/decisions/0001: S for safety, L for liveness.
"""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from collections import Counter
from pathlib import Path

import pysyncobj
import pysyncobj.syncobj as library
import pytest

from chaos.sim.disk import SimDisk
from cluster.errors import DamagedError
from cluster.journal.ballot import Ballot
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
from cluster.raft import chassis
from cluster.raft.boot import _meet
from cluster.raft.chassis import CANDIDATE, FOLLOWER, Chassis
from cluster.raft.loading import load_newest
from tests.cluster.raft.test_raft_leading import ack, leader
from tests.cluster.raft.wiring import NO_OP_COMMAND, Node, Wired, an_entry, entry_one, lone, opened, put

RAFT = Path(inspect.getfile(chassis)).parent
PRIVATE = re.compile(r"_SyncObj__\w+")


def private_names() -> set[str]:
    return set(PRIVATE.findall((RAFT / "chassis.py").read_text(encoding="utf-8")))


# ---- the seam to the library
def test_the_library_is_the_audited_version() -> None:
    """Another version must be audited first; the module refuses to load with it."""
    assert pysyncobj.syncobj.VERSION == "0.3.17"


@pytest.mark.parametrize("name", sorted(private_names()))
def test_every_private_name_that_is_used_exists_in_the_library(name: str) -> None:
    """A method of the class, or an attribute of an instance."""
    node, _ = lone()

    assert hasattr(library.SyncObj, name) or name in vars(node.replica)


def test_every_override_overrides_something() -> None:
    """A method that the library never had would never be called."""
    ours = {name for name in vars(Chassis) if name.startswith(("_SyncObj__", "_check", "_apply"))}

    assert {name for name in ours if not callable(getattr(library.SyncObj, name, None))} == set()


def test_private_names_stand_in_the_chassis_only() -> None:
    """Everything beside it uses our names."""
    found = {
        path.name
        for root in (RAFT.parent, RAFT.parent.parent / "node", RAFT.parent.parent / "chaos")
        for path in root.rglob("*.py")
        if PRIVATE.search(path.read_text(encoding="utf-8"))
    }

    assert found == {"chassis.py"}


def test_no_private_attribute_of_ours_shadows_one_of_the_library() -> None:
    """The library stores what it finds in the instance's dictionary: our names must not be its names."""
    source = inspect.getsource(library.SyncObj)
    theirs = set(re.findall(r"self\.(_[a-zA-Z]\w*)", source))
    ours: set[str] = set()
    for path in RAFT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                ours.add(node.attr)

    assert ours & theirs == {"_onTick", "_poller"}


# ---- which of its parts run
PARTS = (
    "_onTick",
    "_SyncObj__onBecomeLeader",
    "_SyncObj__setCurrentTerm",
    "_SyncObj__setState",
    "_SyncObj__generateRaftTimeout",
    "_SyncObj__connectedToAnyone",
    "_SyncObj__getCurrentLogIndex",
    "_SyncObj__getCurrentLogTerm",
    "_SyncObj__onNodeConnected",
    "_SyncObj__onNodeDisconnected",
)


def test_these_parts_of_the_library_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An election, a write and a lost link go through each of them."""
    calls: Counter[str] = Counter()
    for name in PARTS:
        original = getattr(library.SyncObj, name)

        def counted(self: object, *arguments: object, _name: str = name, _original: object = original) -> object:
            calls[_name] += 1
            return _original(self, *arguments)  # type: ignore[operator]

        monkeypatch.setattr(library.SyncObj, name, counted)
    wired = Wired()
    wired.elect("n1").propose()
    wired.run(0.2)
    wired["n1"].replica.on_disconnected("n2")

    assert [name for name in PARTS if not calls[name]] == []


def test_the_library_s_vote_requests_are_the_ones_that_leave() -> None:
    """Its broadcast reaches the peers as our message."""
    node, clock = lone()
    clock.now_s += 1.0
    node.replica.tick()
    node.hear("n2", PreVoteAnswer(0, 1, granted=True))
    node.replica.tick()
    node.sync()

    assert {peer for peer, message in node.sent if isinstance(message, RequestVote)} == {"n2", "n3"}


def test_the_library_s_check_quorum_deposes() -> None:
    """Its loop over the last answers, with our times in it."""
    node, clock = leader()
    clock.now_s += 0.9
    node.replica.tick()

    assert node.replica.role == FOLLOWER


def test_the_library_appends_the_no_op_of_a_new_leader() -> None:
    """One byte, of its own term."""
    node, _ = leader()

    assert node.log[-1] == (NO_OP_COMMAND, 2, 1)


def test_the_library_itself_commits_nothing() -> None:
    """C2: it sees no entries while its commit loop runs, whatever it believes of its followers."""
    node, _ = leader()
    for peer in list(node.replica._SyncObj__raftMatchIndex):
        node.replica._SyncObj__raftMatchIndex[peer] = 2
    node.replica.tick()

    assert node.replica.commit_index == 1


def test_each_node_has_its_own_clock_and_randomness() -> None:
    """C1: module globals lead to the node that is running."""
    first, first_clock = lone()
    second, second_clock = lone()
    second_clock.now_s += 5000.0
    second.random.drawn = 0.0
    first.random.drawn = 1.0
    deadlines = []
    for node, clock in ((first, first_clock), (second, second_clock)):
        node.hear("n2", Append(1, 1, 1, 1, 0, 1, NO_ENTRIES))
        deadlines.append(round(node.replica._SyncObj__raftElectionDeadline - clock.now_s, 3))

    assert deadlines == [0.8, 0.5]


def test_a_member_s_hash_does_not_depend_on_the_process() -> None:
    """Sets of members are iterated in the same order in every run."""
    assert hash(chassis.Peer("n1")) == 3950597356


@pytest.mark.parametrize(
    "call",
    [
        lambda replica: replica._SyncObj__onMessageReceived(None, {}),
        lambda replica: replica._SyncObj__doApplyCommand(b""),
        lambda replica: replica._SyncObj__loadDumpFile(clearJournal=True),
        lambda replica: replica._applyCommand(b"", None),
    ],
)
def test_the_library_s_unsafe_entrances_are_closed(call: object) -> None:
    """C3: no path leads to its handlers, its queue or its pickles."""
    node, _ = lone()

    with pytest.raises(AssertionError):
        call(node.replica)  # type: ignore[operator]


def test_nothing_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """C3: an election, writes, a snapshot and its transfer, with pickle out of order."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("pickle")

    for name in ("dumps", "loads", "dump", "load"):
        monkeypatch.setattr(pickle, name, forbidden)
        if hasattr(library.pickle, name):
            monkeypatch.setattr(library.pickle, name, forbidden)
    wired = Wired()
    node = wired.elect("n1")
    node.propose()
    wired.run(0.1)
    assert node.replica.take_snapshot()
    wired.run(0.1)

    assert node.replica.snapshot_index == 3


def test_its_log_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its messages quote what it received."""
    library.logger.critical("quoted secret")

    assert caplog.text == ""


# ---- its defects, harmless here
def follower(*terms: int, commit: int = 1, ballot: Ballot | None = None) -> Node:
    entries = [(1, 0, entry_one())] + [(2 + at, term, NO_OP_COMMAND) for at, term in enumerate(terms)]
    node, _ = lone(start=opened(entries=entries, ballot=ballot or Ballot(term=4, incarnation=1, born=True)))
    node.replica.commit_index = commit
    return node


def test_s1_a_snapshot_under_way_commits_nothing_of_the_own_log() -> None:
    """The library commits its own, conflicting entries when the first chunk arrives."""
    node = follower(4, 4, 4)
    node.hear("n2", SnapshotPart(5, 1, b"id", 50, 5, 1000, 0, b"x" * 100))
    node.replica.tick()

    assert (node.replica.commit_index, node.log.last_index) == (1, 4)


def test_s2_acknowledged_entries_survive_any_order_of_appends() -> None:
    """An old, shorter append that is delivered late cuts nothing."""
    node = follower()
    message = Append(5, 1, 1, 1, 0, 1, pack_entries([(5, NO_OP_COMMAND)] * 5))
    node.hear("n2", message)
    node.hear("n2", Append(5, 2, 1, 1, 0, 1, pack_entries([(5, NO_OP_COMMAND)] * 2)))

    assert node.log.last_index == 6


def test_s3_an_acknowledgement_of_an_earlier_term_commits_nothing() -> None:
    """The library's acknowledgements have no term."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2, term=0))
    node.replica.tick()

    assert node.replica.commit_index == 1


def test_s4_a_snapshot_that_did_not_load_is_not_acknowledged() -> None:
    """See test_raft_snapshots: refused, and the old state goes on."""
    node = follower(4)
    node.hear("n2", SnapshotPart(5, 1, b"id", 50, 5, 3, 0, b"xyz"))

    assert [message.done for message in node.said(SnapshotAck)] == [False]


def test_s5_and_l2_an_entry_is_applied_once_also_when_its_callback_fails() -> None:
    """The library applies it again on that node only, in every tick for ever."""
    wired = Wired()
    node = wired.elect("n1")

    def fails(*_: object) -> None:
        raise RuntimeError("a callback of ours")

    node.replica.propose(put("k"), fails)
    node.replica.tick()
    wired["n1"].sync()
    wired.deliver()
    wired["n2"].sync()
    wired.deliver()
    with pytest.raises(RuntimeError):  # which ends the process: turns.py
        node.replica.tick()
    node.replica.tick()

    assert (node.replica.state.applied_index, node.replica.applied_index) == (3, 3)


def test_s6_and_s10_a_log_and_a_snapshot_begin_a_life_together() -> None:
    """The tail behind a snapshot is kept, and a log that was cut for a snapshot that is gone is not trusted."""
    recovered = _Found(base=(5, 2), entries=[(6, 2, b"\1"), (7, 3, b"\1")])

    assert _meet(recovered, Ballot(born=True), (6, 2))[:3] == ((5, 2), recovered.entries, None)
    assert _meet(recovered, Ballot(born=True), None) == ((0, 0), [], (0, 0), True)


class _Found:
    damaged = missing = False

    def __init__(self, base: tuple[int, int], entries: list[tuple[int, int, bytes]]) -> None:
        self.base, self.entries = base, entries


def test_s7_and_s8_membership_and_code_versions_of_the_library_are_off() -> None:
    """Its configuration says so, and its entrances for them are closed."""
    node, _ = lone()
    conf = node.replica._SyncObj__conf  # type: ignore[attr-defined]

    assert (conf.dynamicMembershipChange, conf.autoTick, conf.journalFile, conf.fullDumpFile) == (
        False, False, None, None,
    )  # fmt: skip
    with pytest.raises(Exception, match="disabled"):
        node.replica.addNodeToCluster("n9")  # type: ignore[attr-defined]


def test_s9_a_life_with_nothing_but_its_ballot_does_not_vote() -> None:
    """Memory lost: recovering."""
    node = follower(ballot=Ballot(term=4, incarnation=2, born=True, recovering=True))
    node.hear("n2", RequestVote(9, 99, 8, transfer=True))
    node.sync()

    assert [vote.granted for vote in node.said(Vote)] == []


def test_voters_are_counted_once() -> None:
    """The library adds up answers."""
    node, clock = lone(peers=4)
    clock.now_s += 1.0
    node.replica.tick()
    for peer in ("n2", "n3"):
        node.hear(peer, PreVoteAnswer(0, 1, granted=True))
    node.replica.tick()
    node.sync()
    node.hear("n2", Vote(1, granted=True))
    node.hear("n2", Vote(1, granted=True))

    assert node.replica.role == CANDIDATE


def test_l1_a_follower_far_behind_a_divergence_converges() -> None:
    """Pipelined rejections do not undo each other."""
    wired = Wired()
    node = wired.elect("n1")
    wired.cut = {(a, b) for a in wired.names for b in wired.names if "n3" in {a, b}}
    for name in wired.names:
        wired[name].replica.batch_entries_max = 2
    for number in range(40):
        node.propose(put(f"k{number}"))
    wired.run(0.3)
    index = wired["n3"].log.last_index
    for at in range(10):
        wired["n3"].log.add(NO_OP_COMMAND, index + 1 + at, 1)  # a tail of its own
    wired["n3"].log._entries[-10:] = [(NO_OP_COMMAND, i, 9) for i in range(index + 1, index + 11)]
    wired.cut = set()
    wired.run(1.0)

    assert wired["n3"].replica.applied_index == node.replica.applied_index


def test_l3_a_returning_node_does_not_depose_the_leader() -> None:
    """Pre-votes keep its term where it was."""
    wired = Wired()
    node = wired.elect("n1")
    term = node.replica.term
    wired.cut = {(a, b) for a in wired.names for b in wired.names if "n3" in {a, b}}
    wired.run(5.0)
    wired.cut = set()
    wired.run(1.0)

    assert (wired.leaders(), node.replica.term) == (["n1"], term)


def test_l4_a_leader_without_followers_is_none_after_election_max() -> None:
    """Thirty seconds in the library."""
    wired = Wired()
    wired.elect("n1")
    wired.cut = {(a, b) for a in wired.names for b in wired.names}
    wired.run(1.0)

    assert wired.leaders() == []


def test_l5_compaction_leaves_a_log_that_is_never_empty() -> None:
    """The base stays, whatever was truncated."""
    node = follower(4, 4)
    node.log.trim(3)
    node.log.reset(9, 4)

    assert (len(node.log), node.log.base_index, node.log.last_index, node.log.last_term) == (1, 9, 9, 4)


def test_l6_a_follower_that_needs_a_snapshot_costs_one_message_a_turn() -> None:
    """The library's send loop spins until its period is over."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    node.log.trim(2)
    progress = node.replica.progress["n3"]
    progress.next = 1
    node.sent.clear()
    node.replica.send_round()

    assert len([message for peer, message in node.sent if peer == "n3"]) == 1


def test_l7_an_entry_of_any_size_is_one_message() -> None:
    """No transmissions, no lost last part; frames are the link's business."""
    wired = Wired()
    node = wired.elect("n1")
    for size in (65_535, 65_536, 1_000_000):
        node.propose(put("k", b"x" * size))
    wired.run(0.3)

    assert {wired[n].replica.applied_index for n in wired.names} == {5}


def test_l8_a_damaged_snapshot_at_the_start_gives_way_to_an_older_one() -> None:
    """Or to the peers; never to an empty state that votes (test_raft_boot)."""
    state, found, damaged = load_newest(SimDisk(), lone()[0].sealer)

    assert (state.applied_index, found, damaged) == (0, None, set())


def test_l9_members_take_their_snapshots_one_after_the_other() -> None:
    """See test_raft_snapshots for the turns; here: a follower without the turn takes none."""
    node = follower(4, 4, 4)
    node.replica.log_entries_max = 1
    node.replica.applied_index = 1
    node.replica.tick()

    assert node.replica._taking is None


def test_l10_a_rejection_skips_everything_that_cannot_match() -> None:
    """One round trip, not one index a heartbeat."""
    node = follower(*[4] * 100, commit=3)
    node.hear("n2", Append(5, 1, 3, 90, 5, 1, NO_ENTRIES))

    assert node.said(Ack)[0].next_index == 4


def test_l12_what_waits_for_a_follower_is_bounded() -> None:
    """A window of bytes; the link bounds the rest (test_links_connection)."""
    node, _ = leader()
    node.hear("n2", ack(3, durable=2))
    node.replica.tick()
    for number in range(300):
        node.propose(put(f"k{number}", b"x" * 100_000))
        node.replica.tick()

    progress = node.replica.progress["n2"]
    assert progress.in_flight_bytes <= node.replica.window_bytes_max + 2 * node.replica.batch_bytes_max


def test_an_entry_of_an_unknown_kind_never_commits() -> None:
    """A poison pill drops the link instead of every node."""
    node = follower()
    with pytest.raises(DamagedError):
        node.hear("n2", Append(5, 1, 1, 1, 0, 1, pack_entries([(5, b"\x07" + an_entry(5, 1)[1:])])))

    assert node.log.last_index == 1
