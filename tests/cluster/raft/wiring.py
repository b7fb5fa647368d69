"""Members wired in memory: replicas over fakes of clock, randomness, journal, snapshot files and links.

Nothing happens by itself: a test ticks, delivers, syncs and lets time pass. Messages are encoded and decoded on the
way, as on a link. No simulator here: a test names the very schedule it is about.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from cluster.errors import FatalError
from cluster.journal.ballot import Ballot
from cluster.journal.recovery import LogStart
from cluster.keyring.keyring import Keyring
from cluster.keyring.sealing import Sealer
from cluster.links import messages
from cluster.raft.boot import Opened
from cluster.raft.chassis import CONFIGURATION, NO_OP, Timing
from cluster.raft.log import DurableLog
from cluster.raft.replica import Replica
from cluster.state import records, transaction
from cluster.state.machine import State
from cluster.state.tables import EVERYTHING, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cluster.errors import StrongroomError
    from cluster.state.machine import Outcome

NO_OP_COMMAND = bytes([NO_OP])
TIMING = Timing(heartbeat_s=0.05, election_min_s=0.5, election_max_s=0.8)


class FakeClock:
    """Time passes when the test says so, and by a tenth of a microsecond per look."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def boot(self) -> float:
        self.now_s += 1e-7
        return self.now_s

    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000 + int(self.now_s * 1e9)


class FakeRandom:
    """Counting bytes; election timeouts as the test sets `drawn`."""

    def __init__(self, name: str = "") -> None:
        self.drawn = 0.5
        self._name = name
        self._count = 0

    def bytes(self, count: int) -> bytes:
        self._count += 1
        return f"{self._name}{self._count}".encode().rjust(count, b"\0")[-count:]

    def uniform(self) -> float:
        return self.drawn


class FakeWriter:
    """What was handed to the journal, in order; the test completes it."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, int, tuple[Any, ...]]] = []
        self.ballots: list[tuple[int, Ballot]] = []
        self.backlog_bytes = 0
        self.last_sequence = 0

    def _do(self, name: str, sequence: int, *arguments: Any) -> None:
        assert sequence > self.last_sequence
        self.last_sequence = sequence
        self.operations.append((name, sequence, arguments))

    def append(self, sequence: int, index: int, term: int, entry: bytes) -> None:
        self._do("append", sequence, index, term, entry)

    def truncate(self, sequence: int, first_removed_index: int) -> None:
        self._do("truncate", sequence, first_removed_index)

    def trim(self, sequence: int, index: int, term: int) -> None:
        self._do("trim", sequence, index, term)

    def reset(self, sequence: int, index: int, term: int) -> None:
        self._do("reset", sequence, index, term)

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        self.ballots.append((sequence, ballot))


@dataclass
class FakeStored:
    """A snapshot file in memory."""

    snapshot_id: bytes
    index: int
    term: int
    sealed: list[bytes]
    closed: bool = False

    @property
    def data(self) -> bytes:
        return b"".join(len(chunk).to_bytes(4) + chunk for chunk in self.sealed)

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, count: int) -> bytes:
        return self.data[offset : offset + count]

    def close(self) -> None:
        self.closed = True


class FakeStore:
    """Snapshot files that become durable when the test calls `finish`."""

    def __init__(self) -> None:
        self.files: list[FakeStored] = []
        self.opened: list[FakeStored] = []
        self.writing: dict[bytes, FakeStored] = {}
        self.arriving: dict[bytes, tuple[int, int, bytearray, int]] = {}
        self.committed: deque[bytes] = deque()
        self.bad: set[bytes] = set()
        self.backlog_bytes = 0

    def latest(self) -> FakeStored | None:
        able = [file for file in self.files if file.snapshot_id not in self.bad]
        if not able:
            return None
        newest = max(able, key=lambda file: file.index)
        opened = FakeStored(newest.snapshot_id, newest.index, newest.term, newest.sealed)
        self.opened.append(opened)
        return opened

    def damaged(self, snapshot_id: bytes) -> None:
        self.bad.add(snapshot_id)

    def begin(self, snapshot_id: bytes, index: int, term: int) -> None:
        self.writing[snapshot_id] = FakeStored(snapshot_id, index, term, [])

    def chunk(self, snapshot_id: bytes, chunk: bytes) -> None:
        self.writing[snapshot_id].sealed.append(chunk)

    def commit(self, snapshot_id: bytes) -> None:
        self.committed.append(snapshot_id)

    def receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes, size: int) -> None:
        if offset == 0:
            self.arriving[snapshot_id] = (index, term, bytearray(), size)
        arrived = self.arriving[snapshot_id][2]
        assert offset == len(arrived)
        arrived += data
        if len(arrived) == size:
            self.writing[snapshot_id] = FakeStored(snapshot_id, index, term, _chunks(bytes(arrived)))
            self.committed.append(snapshot_id)

    def abort(self, snapshot_id: bytes) -> None:
        self.writing.pop(snapshot_id, None)
        self.arriving.pop(snapshot_id, None)

    def remove_before(self, index: int) -> None:
        self.files = [file for file in self.files if file.index >= index]

    def chunks(self, snapshot_id: bytes) -> Iterator[bytes]:
        yield from next(file for file in self.files if file.snapshot_id == snapshot_id).sealed

    def finish(self) -> bytes:
        """The oldest complete file is durable now; its id, for `on_snapshot_durable`."""
        snapshot_id = self.committed.popleft()
        self.files.append(self.writing.pop(snapshot_id))
        return snapshot_id


def _chunks(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = int.from_bytes(data[:4])
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


@cache
def keyring() -> Keyring:
    """The keys of every test here."""
    return Keyring.create(FakeRandom("keys"), b"cluster-id-tests", 1)


@cache
def entry_one() -> bytes:
    """The configuration, entry 1 of every log."""
    draft = transaction.Draft()
    draft.put(Table.CONFIG, b"cluster", records.Config(cluster_name="tests"))
    return sealed(transaction.Transaction(0, 0, 1, [], draft.puts, []), kind=CONFIGURATION, term=0)


def sealed(facts: transaction.Transaction, *, kind: int = 0, term: int | None = None) -> bytes:
    """An entry as a leader would append it."""
    sealer = Sealer(keyring(), FakeRandom("salt"), b"generation-tests")
    return sealer.seal_entry(
        kind=kind, term=facts.term if term is None else term, sequence=facts.sequence, hashes=(EVERYTHING,),
        payload=transaction.encode(facts), nonce=b"n" * 12,
    )  # fmt: skip


def put(key: str, box: bytes = b"x", *, expected_index: int | None = None) -> transaction.Draft:
    """A draft that stores one record of table ENTRY."""
    draft = transaction.Draft()
    if expected_index is not None:
        draft.expect(Table.ENTRY, key.encode().ljust(17, b"\0"), expected_index)
    draft.put(Table.ENTRY, key.encode().ljust(17, b"\0"), records.Entry(salt_id=1, box=box))
    return draft


def an_entry(term: int, sequence: int) -> bytes:
    """A sealed entry of `term` that stores one record."""
    draft = put(f"key {term} {sequence}")
    return sealed(transaction.Transaction(term, sequence, 1, [], draft.puts, []))


def opened(
    *, entries: list[tuple[int, int, bytes]] | None = None, ballot: Ballot | None = None,
    base: tuple[int, int] = (0, 0), reset_to: tuple[int, int] | None = None,
) -> Opened:
    """What a life begins with; by default entry 1 and nothing more."""
    entries = [(1, 0, entry_one())] if entries is None else entries
    ballot = ballot or Ballot(incarnation=1, born=True)
    return Opened(ballot, 1, base, entries, LogStart(1, 0, 0, [], 1), reset_to)


@dataclass
class Answers:
    """What callbacks were told."""

    proposals: list[tuple[int, Outcome | None, StrongroomError | None]] = field(default_factory=list)
    reads: list[tuple[int, StrongroomError | None]] = field(default_factory=list)

    def proposal(self, index: int, outcome: Outcome | None, error: StrongroomError | None) -> None:
        self.proposals.append((index, outcome, error))

    def read(self, index: int, error: StrongroomError | None) -> None:
        self.reads.append((index, error))


class Node:
    """One replica with its fakes."""

    def __init__(
        self, node_id: str, peers: list[str], clock: FakeClock, *, start: Opened | None = None,
        replica_class: type[Replica] = Replica, store: FakeStore | None = None, state: State | None = None,
    ) -> None:
        self.node_id = node_id
        self.random = FakeRandom(node_id)
        self.writer = FakeWriter()
        self.store = store or FakeStore()
        self.sent: list[tuple[str, messages.Message]] = []
        self.broken: list[str] = []
        self.answers = Answers()
        self.log = DurableLog(self.writer, start or opened())
        self.sealer = Sealer(keyring(), self.random, b"generation-tests")
        state = state or State(keyring().digest_key)
        self.replica = replica_class(
            node_id, peers, TIMING, self.log, clock, self.random, self.store, state, self.sealer,
            snapshot_index=state.applied_index,
        )  # fmt: skip
        self.replica.commit_index = max(min(1, self.log.last_index), self.replica.commit_index)
        self.replica.send = self._send
        self.replica.on_broken = self.broken.append

    def _send(self, peer: str, message: messages.Message) -> bool:
        self.sent.append((peer, message))
        return True

    # ---- the journal
    def sync_log(self) -> None:
        """Everything handed to the journal is durable, and said so."""
        self.replica.on_log_synced(self.writer.last_sequence)

    def sync_ballot(self) -> None:
        """The newest ballot is durable, and said so."""
        if self.writer.ballots:
            self.replica.on_ballot_durable(self.writer.ballots[-1][0])

    def sync(self) -> None:
        """Both, and a snapshot that is complete."""
        self.sync_log()
        self.sync_ballot()
        while self.store.committed:
            self.replica.on_snapshot_durable(self.store.finish())

    # ---- what it said
    def said(self, kind: type[messages.Message], to: str | None = None) -> list[Any]:
        """Messages of that kind that left, oldest first."""
        return [message for peer, message in self.sent if isinstance(message, kind) and to in {None, peer}]

    def hear(self, peer: str, message: messages.Message) -> None:
        """A message of `peer` arrives, over the codec."""
        self.replica.receive(peer, messages.decode(messages.encode(message)))

    def propose(self, draft: transaction.Draft | None = None) -> int:
        """Propose; the outcome goes to `answers`."""
        self.replica.may_propose()
        return self.replica.propose(draft or put("k"), self.answers.proposal)


def lone(
    *, peers: int = 2, start: Opened | None = None, clock: FakeClock | None = None,
    replica_class: type[Replica] = Replica,
) -> tuple[Node, FakeClock]:
    """n1 among peers that the test plays itself; links to all of them stand."""
    clock = clock or FakeClock()
    names = [f"n{number + 2}" for number in range(peers)]
    node = Node("n1", names, clock, start=start, replica_class=replica_class)
    for name in names:
        node.replica.on_connected(name)
    return node, clock


class Wired:
    """Several nodes on one clock. `slow` nodes' disks do not answer; `cut` holds (from, to) that lose everything."""

    def __init__(
        self, count: int = 3, *, replica_class: type[Replica] = Replica, starts: dict[str, Opened] | None = None
    ) -> None:
        self.clock = FakeClock()
        self.names = [f"n{number + 1}" for number in range(count)]
        self.replica_class = replica_class
        self.slow: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        self.lost: dict[tuple[str, str], int] = defaultdict(int)
        self.nodes: dict[str, Node] = {}
        for name in self.names:
            self.start(name, (starts or {}).get(name))

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def start(self, name: str, start: Opened | None = None, **fakes: Any) -> Node:
        """A life begins; its links to all others stand."""
        others = [other for other in self.names if other != name]
        node = Node(name, others, self.clock, start=start, replica_class=self.replica_class, **fakes)
        node.random.drawn = 0.1 * self.names.index(name)
        self.nodes[name] = node
        for other in others:
            if other in self.nodes:
                self.nodes[other].replica.on_disconnected(name)
                self.nodes[other].replica.on_connected(name)
            node.replica.on_connected(other)
        return node

    # ---- what happens
    def deliver(self, *, only: Callable[[str, str, messages.Message], bool] = lambda *_: True) -> int:
        """Everything that left, and `only` lets through, arrives; what arrives makes more leave later."""
        count = 0
        for name in self.names:
            sent, self.nodes[name].sent = self.nodes[name].sent, []
            for peer, message in sent:
                if (name, peer) in self.cut:
                    self.lost[name, peer] += 1
                elif only(name, peer, message):
                    self.nodes[peer].hear(name, message)
                    count += 1
        return count

    def turn(self) -> int:
        """Each node ticks, disks that are not slow answer, messages arrive."""
        for name in self.names:
            self.nodes[name].replica.tick()
        for name in self.names:
            if name not in self.slow:
                self.nodes[name].sync()
        return self.deliver()

    def run(self, seconds: float, step_s: float = 0.01) -> None:
        """Turns while time passes."""
        end_s = self.clock.now_s + seconds
        while self.clock.now_s < end_s:
            self.clock.now_s += step_s
            self.turn()

    def elect(self, name: str) -> Node:
        """`name` leads and its no-op is applied everywhere."""
        for other in self.names:
            self.nodes[other].random.drawn = 0.0 if other == name else 0.99
            self.nodes[other].replica._enter()
            self.nodes[other].replica.postpone_election(self.clock.boot())
        self.run(1.0)
        node = self.nodes[name]
        assert node.replica.noop_applied, node.replica
        self.settle()
        return node

    def settle(self) -> None:
        """Turns without time, until nothing moves."""
        for _ in range(200):
            before = [(n.replica.applied_index, n.log.last_index, n.log.durable()) for n in self.nodes.values()]
            self.turn()
            self.clock.now_s += 0.002
            after = [(n.replica.applied_index, n.log.last_index, n.log.durable()) for n in self.nodes.values()]
            if before == after and len({state[0] for state in after}) == 1:
                return

    def leaders(self) -> list[str]:
        """Who believes that it leads."""
        return [name for name in self.names if self.nodes[name].replica.is_leader]


def fatal(call: Callable[[], object]) -> str:
    """The sentence of the FatalError that the call must raise."""
    try:
        call()
    except FatalError as error:
        return str(error)
    raise AssertionError("nothing fatal happened")
