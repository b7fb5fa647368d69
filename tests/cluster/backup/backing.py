"""A leader of one member whose entries are backed up, and the means to restore them: no disk, no link, no process."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

from cluster.backup.gather import Gathered, gather
from cluster.backup.pipeline import Pipeline
from cluster.backup.ports import Policy
from cluster.backup.sealed import BackupSealer
from cluster.backup.sinks.base import Claim, Generation, Position, Sink
from cluster.backup.sinks.memory import MemorySink
from cluster.keyring.seal import Unsealed, initialise
from cluster.raft.replica import Replica
from cluster.state import records, transaction
from cluster.state.machine import State
from cluster.state.snapshot import Snapshot
from cluster.state.tables import Table
from tests.cluster.raft.wiring import FakeClock, Node, lone

GENERATION = b"generation-tests"
POLICY = Policy(entries_max=8, bytes_max=1 << 20, interval_s=0.0, base_entries=10**9)


class SystemLikeRandom:
    """Unpredictable enough for tests, the same for every run."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self) -> float:
        return 0.0


class WiredSource:
    """A replica behind a pipeline; the test says which claim it may make."""

    def __init__(self, node: Node, *, node_id: str = "n1", generation: Generation | None = None) -> None:
        self.node = node
        self.node_id = node_id
        self.lives: Claim | None = Claim(GENERATION, 1, node_id)
        self.line = generation or Generation(GENERATION, b"", 0, 1)
        self.held: dict[str, Position] = {}
        self.keys = BackupSealer(node.sealer.keyring, SystemLikeRandom(7))
        self.sealed_keyring = b""
        self.clock = FakeClock()

    @property
    def replica(self) -> Replica:
        return self.node.replica

    def claim(self) -> Claim | None:
        return self.lives

    def generation(self) -> Generation:
        return self.line

    def applied_index(self) -> int:
        return self.replica.applied_index

    def gather(self, first: int, *, entries_max: int, bytes_max: int, boundary: int = 0) -> Gathered | None:
        return gather(self.replica, first, entries_max=entries_max, bytes_max=bytes_max, boundary=boundary)

    def base(self) -> Any:
        snapshot: Any = Snapshot(self.replica.state)
        snapshot.time_ns = self.replica.state.time_ns
        return snapshot

    def sealer(self) -> BackupSealer:
        return self.keys

    def envelope(self) -> bytes:
        return self.sealed_keyring

    def known(self, sink: str) -> Position | None:
        return self.held.get(sink)

    def now_ns(self) -> int:
        return self.replica.state.time_ns

    async def changed(self, timeout_s: float) -> None:
        await asyncio.sleep(0)


class History:
    """A leader, what it did, and the digest behind every index."""

    def __init__(self, seed: int = 1) -> None:
        self.node, self.clock = lone(peers=0)
        self.random = random.Random(seed)
        self.digests: dict[int, int] = {}
        self.times: dict[int, int] = {}
        self.clock.now_s += 5.0
        for _ in range(20):
            self._turn()
        assert self.node.replica.noop_applied

    def _turn(self) -> None:
        self.clock.now_s += 0.01
        self.node.replica.tick()
        self.node.sync()

    def write(self, count: int = 1, draft: transaction.Draft | None = None) -> int:
        """So many transactions more, applied; the newest index."""
        for _ in range(count):
            self.node.replica.may_propose()
            self.node.replica.propose(draft or self._draft(), self.node.answers.proposal)
            self._turn()
            self._turn()
            state = self.node.replica.state
            self.digests[state.applied_index] = state.digest
            self.times[state.applied_index] = state.time_ns
        return self.node.replica.applied_index

    def _draft(self) -> transaction.Draft:
        draft = transaction.Draft()
        for _ in range(self.random.choice((1, 1, 3))):
            key = b"m" * 16 + b"k%d" % self.random.randrange(12)
            if self.random.random() < 0.3:
                draft.drop(Table.ENTRY, key)
            else:
                box = self.random.randbytes(self.random.choice((3, 90)))
                draft.put(Table.ENTRY, key, records.Entry(salt_id=1, box=box))
        return draft

    @property
    def state(self) -> State:
        return self.node.replica.state


def keys(seal_random: int = 3, *, shares: int = 3, threshold: int = 2) -> Any:
    """A seal with shares, for a cluster of its own."""
    return initialise(
        SystemLikeRandom(seal_random), b"cluster-id-tests", 1, seal_type="shamir", shares=shares, threshold=threshold,
        peers=False,
    )  # fmt: skip


async def run_until(pipeline: Pipeline, done: Any, *, turns: int = 20_000) -> None:
    """The pipeline runs until `done()`; AssertionError if that never comes."""
    task = asyncio.create_task(pipeline.run())
    try:
        for _ in range(turns):
            if done():
                return
            await asyncio.sleep(0)
        raise AssertionError(f"never done: {pipeline.standing}")
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def pipeline_of(source: WiredSource, sink: Sink | None = None, policy: Policy = POLICY, name: str = "main") -> Pipeline:
    """A pipeline that never waits for the clock."""
    return Pipeline(name, sink or MemorySink(), source, policy, source.clock, SystemLikeRandom(11))


def reached(pipeline: Pipeline, index: int) -> Any:
    """Whether the sink has confirmed the index."""
    return lambda: pipeline.standing.confirmed is not None and pipeline.standing.confirmed.last >= index


def opens(unsealed: Unsealed) -> Any:
    """An unsealer that ignores the envelope: the wired nodes share one keyring."""
    return lambda _envelope: unsealed
