"""What must hold, looked at while it happens and at the end.

Areas verified: election safety, log matching, leader completeness, state-machine safety, nothing applied twice or out
of order, nothing acknowledged lost, versions dense, a refusal only for what cannot be, ReadIndex reads never older
than a write acknowledged or a read finished before they began, digests equal at equal index, derived indexes right,
one incarnation per life; what disks.py compares with the platters.
Areas not verified: timing of anything (a run is fast or slow as its options say), what is readable on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.links.messages import Ack, RequestVote, Vote
from cluster.raft.chassis import CONFIGURATION, NO_OP
from cluster.state import invariants, records, transaction
from cluster.state.tables import EVERYTHING, Table

from .disks import Disks

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.keyring.sealing import Sealer
    from cluster.links.messages import Message
    from cluster.raft.boot import Opened
    from cluster.raft.replica import Replica

    from .member import SimMember
    from .world import World

MARKER = b"only-the-keys-make-this-readable"
"""Every value, and every key that clients write, contains it: found on a platter or in a message, it is a leak."""


class Checks:
    """All of one run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.members: list[SimMember] = []
        self.leaders: dict[int, str] = {}  # term → who led it
        self.history: dict[int, tuple[int, bytes]] = {}  # index → (term, command) as first applied anywhere
        self.applied_in: dict[int, int] = {}  # index → term of the node that applied it first
        self.highest = 0
        self.digests: dict[int, int] = {}  # index → digest of the state there
        self.disks = Disks(world, self)
        self.lives: dict[tuple[int, int], int] = {}  # (member, incarnation) → life
        self.acknowledged: dict[int, int] = {}  # write number → index
        self.core: list[SimMember] = []  # those that must work after healing
        self.settled = False  # nobody may depose the leader any more
        self.seed: Callable[[Sealer, transaction.Draft], int] = lambda _sealer, _draft: 1  # fills entry 1; its time
        self._bootstrap: bytes | None = None

    def bootstrap_entry(self, sealer: Sealer) -> bytes:
        """Entry 1, the same on every member: the configuration."""
        if self._bootstrap is None:
            draft = transaction.Draft()
            draft.put(Table.CONFIG, b"cluster", records.Config(cluster_name="sim"))
            for member in self.members:
                draft.put(Table.MEMBER, member.node_id.encode(), records.Member())
            time_ns = self.seed(sealer, draft)
            payload = transaction.encode(transaction.Transaction(0, 0, time_ns, [], draft.puts, []))
            self._bootstrap = sealer.seal_entry(
                kind=CONFIGURATION, term=0, sequence=0, hashes=(EVERYTHING,), payload=payload, nonce=b"n" * 12
            )
        return self._bootstrap

    # ---- as it happens
    def elected(self, member: SimMember, replica: Replica) -> None:
        """One leader a term, and it has everything that was committed in earlier terms."""
        term = replica.term
        self.world.stats["elections"] += 1
        self.world.trace(member.node_id, "leads", term)
        if self.leaders.setdefault(term, member.node_id) != member.node_id:
            self.world.violate("election safety", term, self.leaders[term], member.node_id)
        if self.settled:
            self.world.violate("a healthy leader is deposed", member.node_id, term)
        voters = [voter for (voter, at), voted in self.disks.votes.items() if at == term and voted == member.node_id]
        if len(voters) < replica.quorum:
            self.world.violate("elected without a majority", member.node_id, term, voters)
        for index in range(max(1, replica.log.base_index), self.highest + 1):
            known = self.history.get(index)
            if known is None or self.applied_in[index] >= term:
                continue
            if replica.log.term_at(index) != known[0]:
                self.world.violate("leader completeness", member.node_id, term, index)
                return

    def applied(self, member: SimMember, index: int, term: int, command: bytes) -> None:
        """The same entry at the same index everywhere, each once and in order."""
        replica = member.replica
        if replica is None or index != replica.applied_index + 1:
            self.world.violate("applied out of order", member.node_id, index)
            return
        known = self.history.setdefault(index, (term, command))
        self.applied_in.setdefault(index, replica.term)
        self.highest = max(self.highest, index)
        if known != (term, command):
            self.world.violate("state machine safety", member.node_id, index, term, known[0])

    def deposed(self, member: SimMember, replica: Replica) -> None:
        """A leader leads no more."""
        self.world.stats["depositions"] += 1
        self.world.trace(member.node_id, "leads no more", replica.term)

    def same_state(self, member: SimMember, index: int, digest: int) -> None:
        """Equal index, equal digest: whether by applying, by a snapshot or after a start."""
        if self.digests.setdefault(index, digest) != digest:
            self.world.violate("digests differ", member.node_id, index)

    def started(self, member: SimMember, replica: Replica, opened: Opened) -> None:
        """A new life has read its files."""
        self.disks.started(member, replica, opened)
        if replica.applied_index:
            self.same_state(member, replica.applied_index, replica.state.digest)

    def stopped(self, member: SimMember) -> None:
        """A life is over; what it leaves on its disk tells nothing to who has no keys."""
        self.disks.stops(member)
        self.unreadable(member)

    def unreadable(self, member: SimMember) -> None:
        """Nothing that clients wrote stands in what the disk holds."""
        if (name := member.disk.finds(MARKER)) is not None:
            self.world.violate("readable on a disk", member.node_id, name)

    def sent(self, member: SimMember, peer: str, message: Message) -> None:
        """What is said must be true."""
        if isinstance(message, Ack):
            if self.lives.setdefault((member.number, message.incarnation), member.life) != member.life:
                self.world.violate("an incarnation is spoken twice", member.node_id, message.incarnation)
            if message.success and message.durable:
                self.disks.acknowledged(member, peer, message)
        elif isinstance(message, RequestVote) or (isinstance(message, Vote) and message.granted):
            candidate = peer if isinstance(message, Vote) else member.node_id
            self.disks.voted(member, message.term, candidate)

    def log_matching(self) -> None:
        """Same index and term, same entry, on all members."""
        seen: dict[tuple[int, int], bytes] = {}
        for member in self.members:
            if member.replica is None:
                continue
            log = member.replica.log
            for command, index, term in log[1:]:
                if seen.setdefault((index, term), command) != command:
                    self.world.violate("log matching", member.node_id, index, term)
            if not log.base_index <= member.replica.applied_index <= member.replica.commit_index <= log.last_index:
                self.world.violate("order of indexes", member.node_id, member.replica)

    # ---- at the end
    def final(self) -> None:
        """After healing: all members that did are equal, whole, and have every acknowledged write."""
        for member in self.members:
            self.unreadable(member)
        replicas = [(member, member.replica) for member in self.core]
        for member, replica in replicas:
            if replica is None:
                self.world.violate("not alive at the end", member.node_id)
                return
            if replica.recovering:
                self.world.violate("still recovering", member.node_id)
            if problems := invariants.check(replica.state):
                self.world.violate("invariants", member.node_id, problems[0])
        ends = {replica.applied_index for _, replica in replicas if replica is not None}
        if len(ends) != 1:
            self.world.violate("not converged", sorted(ends))
        digests = {replica.state.digest for _, replica in replicas if replica is not None}
        if len(digests) != 1:
            self.world.violate("digests differ", sorted(ends))
        for write, index in self.acknowledged.items():
            term, command = self.history.get(index, (0, b""))
            if not command or command[0] == NO_OP:
                self.world.violate("acknowledged write lost", write, index, term)
