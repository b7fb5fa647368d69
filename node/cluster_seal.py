"""A seal of the whole cluster: a fact in the state that every node carries out, and that the next leader lifts.

A shell. Carrying out is remembered in a file of the node, so that shares given afterwards are not undone.
Invariants
  K1  a node that has caught up once seals itself when it applies the fact, or when it comes in a snapshot
  K2  what is replayed while catching up decides nothing: only a fact that still stands then is carried out
  K3  a node opened with a threshold of shares does not carry out what stood before it caught up: whoever gave the
      shares knew of it
  K4  the fact is dropped by a leader that has done with it, so that nodes that join later never meet it
Source: docs/runbook.md, "Sealed by an operator".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from typing import TYPE_CHECKING, Any

from cluster import Draft, Fact, Member, StrongroomError, Table, View, index_of, read_file, records, write_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("strongroom.seal")

CLUSTER_SEAL = b"cluster-seal"
CLUSTER_SEAL_FILE = "cluster-seal"
NUMBER_BYTES_MAX = 20
PERIOD_S = 0.25
ANSWERS_S = 0.25  # between the fact and its effect: the answer to the seal passes through nodes it seals


class ClusterSeal:
    """One node's part. `opened` begins each life between unseal and seal."""

    def __init__(self, member: Member, seal: Callable[[], Awaitable[None]]) -> None:
        self._member = member
        self._seal = seal
        self._by_shares = False
        self._caught_up = False
        self._done_ns = 0  # the newest fact this node need not carry out
        self._task: asyncio.Task[None] | None = None

    def opened(self, *, by_shares: bool) -> None:
        """The node was unsealed just now."""
        self._by_shares, self._caught_up = by_shares, False
        self._done_ns = done_of(read_file(self._member.disk, CLUSTER_SEAL_FILE))

    async def propose(self) -> None:
        """The cluster is to be sealed; on the leader. Raises StrongroomError as `Member.write`."""
        await self._catch_up()  # else it would take its own fact for one that stood before it was opened (K3)

        def decide(view: View, now_ns: int) -> tuple[Draft, None]:
            draft = Draft()
            draft.expect(Table.FACT, CLUSTER_SEAL, index_of(view, Table.FACT, CLUSTER_SEAL))
            draft.put(Table.FACT, CLUSTER_SEAL, Fact(time_ns=now_ns, text="the cluster was sealed by an operator"))
            return draft, None

        await self._member.propose(decide)

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(PERIOD_S)
            if not self._member.sealed:
                with contextlib.suppress(StrongroomError):  # not caught up, or no longer the leader: again later
                    await self._step()

    async def _catch_up(self) -> None:
        """What stood before this life of the node is known. Raises StrongroomError."""
        if self._caught_up:
            return
        await self._member.read_barrier()
        time_ns = self._time_ns()
        if self._by_shares and time_ns > self._done_ns and not self._caught_up:  # K3
            self._remember(time_ns)
        self._caught_up = True

    async def _step(self) -> None:
        await self._catch_up()
        self.look()  # each time: a node that could not seal itself tries again
        if self._member.is_leader and 0 < self._time_ns() <= self._done_ns:
            await self._member.propose(self._lift)

    def _lift(self, view: View, _now_ns: int) -> tuple[Draft, None]:
        """K4."""
        draft = Draft()
        found = view.get(Table.FACT, CLUSTER_SEAL)
        if found is not None and records.decode(Fact, found[1]).time_ns <= self._done_ns:
            draft.expect(Table.FACT, CLUSTER_SEAL, found[0])
            draft.drop(Table.FACT, CLUSTER_SEAL)
        return draft, None

    def on_change(self, _index: int, transaction: Any) -> None:
        """A listener of the state (K1)."""
        for table, key, record in transaction.puts:
            if table == Table.FACT and key == CLUSTER_SEAL:
                self._judge(_time_of(record))

    def look(self) -> None:
        """The state was replaced, or this node has caught up."""
        self._judge(self._time_ns())

    def _judge(self, time_ns: int) -> None:
        if self._caught_up and time_ns > self._done_ns and self._task is None:  # K2
            self._task = asyncio.get_running_loop().create_task(self._carry_out(time_ns))

    def _time_ns(self) -> int:
        found = self._member.view.get(Table.FACT, CLUSTER_SEAL)
        return 0 if found is None else _time_of(found[1])

    async def _carry_out(self, time_ns: int) -> None:
        """What is being answered leaves; then the node is sealed, and only then that is remembered as done."""
        try:
            await asyncio.sleep(ANSWERS_S)
            await self._seal()
            self._remember(time_ns)
        except (StrongroomError, OSError) as error:
            log.error("this node could not carry out the seal of the cluster: %s", type(error).__name__)  # noqa: TRY400
        finally:
            self._task = None

    def _remember(self, time_ns: int) -> None:
        self._done_ns = time_ns
        write_file(self._member.disk, CLUSTER_SEAL_FILE, _done(time_ns))


def _done(time_ns: int) -> bytes:
    number = b"%d" % time_ns
    return b"%b %08x\n" % (number, zlib.crc32(number))


def done_of(data: bytes | None) -> int:
    """The newest fact that this node need not carry out; 0 if there is no file, or it is not what was written.

    A node that forgot what it did seals itself once more, which shares undo; the opposite would leave it open.
    """
    number = b"" if data is None else data[:NUMBER_BYTES_MAX].partition(b" ")[0]
    return int(number) if number.isdigit() and data == _done(int(number)) else 0


def _time_of(record: bytes) -> int:
    """0 for a record that is no fact: it is applied all the same, and a listener of the state must not raise."""
    fact = records.readable(Fact, record)
    return 0 if fact is None else fact.time_ns


__all__ = ["ClusterSeal"]
