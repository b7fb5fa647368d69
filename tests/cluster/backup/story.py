"""A cluster's history without a cluster: a state, the objects that a sink would have of it, and its real keys."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cluster.backup.bases import head_of_base, objects_of_base
from cluster.backup.format import Header, Kind, encode_entries, parse
from cluster.backup.order import Order
from cluster.backup.sealed import BackupSealer
from cluster.backup.sinks.base import Claim, Generation
from cluster.backup.sinks.memory import MemorySink
from cluster.keyring.seal import initialise, rekey
from cluster.keyring.unsealers.shamir import ShamirUnsealer
from cluster.state import records, transaction
from cluster.state.machine import State
from cluster.state.snapshot import Snapshot
from cluster.state.tables import Table
from cluster.state.transaction import Draft, Transaction
from tests.cluster.backup.backing import SystemLikeRandom

if TYPE_CHECKING:
    from cluster.backup.sinks.base import Sink
    from cluster.keyring.seal import NewSeal, Unsealed

GENERATION = b"generation-one--"
CLUSTER_ID = b"cluster-id-story"
START_NS = 1_000 * 10**9
TICK_NS = 10**9
MEMBERS = {"n1": records.Member(peer_address="a:1", api_address="http://a:2")}


class FixedClock:
    """Does not move."""

    def __init__(self, now_ns: int = START_NS + 10**15) -> None:
        self.now_ns = now_ns

    def boot(self) -> float:
        return 0.0

    def wall_ns(self) -> int:
        return self.now_ns


class Story:
    """`write` applies, `send` makes a batch of what was applied, `base` a base."""

    def __init__(self, sink: Any = None, *, profile: str = "production", seed: int = 1) -> None:
        self.sink = sink or MemorySink()
        self.random = SystemLikeRandom(seed)
        self.seal: NewSeal = initialise(
            self.random, CLUSTER_ID, 1, seal_type="shamir", shares=3, threshold=2, peers=False
        )
        self.shares = [base64.b64encode(share).decode() for share in self.seal.shares]
        self.state = State(self.seal.keyring.digest_key)
        self.sealer = BackupSealer(self.seal.keyring, self.random)
        self.claim = Claim(GENERATION, 1, "n1")
        self.tip = b""
        self.waiting: list[tuple[int, bytes]] = []
        self.rekeyed = False
        self.digests: dict[int, int] = {}
        draft = Draft()
        config = records.Config(cluster_id=CLUSTER_ID, cluster_name="story", generation=GENERATION, profile=profile)
        draft.put(Table.CONFIG, b"cluster", config)
        draft.put(Table.MEMBER, b"old", records.Member(peer_address="z:1"))
        draft.put(Table.KEYRING, b"keyring", records.KeyringRecord(epoch=1, envelope=self.seal.envelope))
        self.write(draft)

    # ---- history
    @property
    def index(self) -> int:
        return self.state.applied_index

    def time_of(self, index: int) -> int:
        return START_NS + index * TICK_NS

    def write(self, draft: Draft | None = None) -> int:
        """One more entry; its index."""
        if draft is None:
            draft = Draft()
            draft.put(Table.ENTRY, b"m" * 16 + b"%d" % self.index, records.Entry(salt_id=1, box=b"sealed"))
        index = self.index + 1
        facts = Transaction(1, index, self.time_of(index), [], draft.puts, draft.drops)
        self.waiting.append((1, transaction.encode(facts)))
        assert self.state.apply(index, 1, facts).ok
        self.digests[index] = self.state.digest
        return index

    def put(self, table: Table, key: bytes, record: records.Record | bytes) -> int:
        draft = Draft()
        draft.put(table, key, record)
        return self.write(draft)

    def drop(self, table: Table, key: bytes) -> int:
        draft = Draft()
        draft.drop(table, key)
        return self.write(draft)

    def new_keys(self) -> list[str]:
        """A rekey: the old shares open nothing that is stored from now on. The new shares."""
        old = self.seal
        self.seal = rekey(old.keyring, old.seal, self.random, self.time_of(self.index), shares=3, threshold=2)
        self.put(Table.KEYRING, b"keyring", records.KeyringRecord(epoch=2, envelope=self.seal.envelope))
        self.rekeyed = True
        return [base64.b64encode(share).decode() for share in self.seal.shares]

    # ---- what the sink gets
    async def begin(self) -> None:
        await self.sink.begin(Generation(GENERATION, b"", 0, START_NS))
        await self.sink.claim(self.claim)

    async def base(self) -> None:
        """A fresh base of the state as it is."""
        if not self.tip:
            await self.begin()
        snapshot = Snapshot(self.state)
        head = head_of_base(
            GENERATION, snapshot.index, 1, self.state.time_ns, follows=None, envelope=self.seal.envelope,
            node_id="n1", random=self.random,
        )  # fmt: skip
        for data, parsed in objects_of_base(head, snapshot.chunks(), lambda: self.sealer):
            await self.sink.store(self.claim, data, parsed)
            self.tip = parsed.hash
        self.waiting = []

    async def send(self) -> None:
        """One batch of everything that was written since the last one."""
        first = self.index - len(self.waiting) + 1
        header = Header(
            generation=GENERATION, kind=Kind.BATCH, first=first, last=self.index, term=1,
            from_ns=self.time_of(first - 1), time_ns=self.time_of(self.index), previous=self.tip, base=b"", part=0,
            final=True, fresh=False, place=self.sealer.place(), node_id="n1",
            envelope=self.seal.envelope if self.rekeyed else b"",
        )  # fmt: skip
        digest = self.state.digest.to_bytes(16, "little")
        data = self.sealer.seal(header, encode_entries(first, self.waiting, digest))
        parsed = parse(data)
        await self.sink.store(self.claim, data, parsed)
        self.tip, self.waiting = parsed.hash, []
        if self.rekeyed:
            self.sealer.use(self.seal.keyring)
            self.rekeyed = False

    async def told(self, *counts: int) -> Story:
        """A base, and a batch of each so many entries."""
        await self.base()
        for count in counts:
            for _ in range(count):
                self.write()
            await self.send()
        return self


def opener(shares: list[str]) -> Any:
    """An unsealer with these shares."""

    def open_with(envelope: bytes) -> Unsealed:
        unsealer = ShamirUnsealer(envelope, SystemLikeRandom(3))
        found = [unsealed for share in shares[:2] if (unsealed := unsealer.offer(share)) is not None]
        return found[0]

    return open_with


def order(**fields: Any) -> Order:
    """An order of a cluster of one."""
    return Order(**({"members": MEMBERS, "cluster_name": "", "profile": "production", "unwitnessed": True} | fields))


async def only(sink: Sink, generation: bytes) -> list[Any]:
    """Everything stored of a generation."""
    return [one async for one in sink.objects(generation)]
