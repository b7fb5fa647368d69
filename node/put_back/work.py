"""A snapshot is put back into the running cluster, by its leader: verified, written beside what is there, swapped.

A shell over cluster's backup room and the decisions beside it. Invariants
  B1  everything is verified before the first write: the sealed sums, each part in its place, the digest, whose it is
  B2  what is written is reached by nobody before the swap, and each batch expects the record that says so: where that
      is gone (another node led), nothing more is written, and what was written is swept
  B3  one transaction swaps the mounts, on the very state in which they are as they were planned on, and with whatever
      changed of what is merged: nothing that was answered before it is lost but what the snapshot replaces
  B4  batches are small, one is in flight at a time, and the loop has a pause between them
  B5  whoever asked may still do so at the first write and at the swap
  B6  where it ends before the swap, nothing has changed, and what was written is no longer held
Source: docs/decisions/0010-a-snapshot-is-put-back-by-writes.md.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import (
    EVERYTHING,
    MOUNT_UUID_BYTES,
    VERSION_BYTES,
    DamagedError,
    Draft,
    Fact,
    ReadThrough,
    SealedError,
    Sealer,
    StrongroomError,
    Sweep,
    Table,
    UnavailableError,
    UnknownOutcomeError,
    index_of,
    records,
    sweeps,
)

from ..request import Refusal
from ..status import rfc3339
from .access import Differences
from .merging import MERGERS
from .moving import Moved, Mover, Settled
from .plan import Plan, Putting, planned, present

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping

    from cluster import Arrived, Contents, Member, View

    from .merging import Merger

log = logging.getLogger("strongroom.backup")

KEPT = (Table.MOUNT, Table.SALT, Table.CONFIG)
FACT = b"put-back"
"""Key in FACT: which snapshot was put back last, and when."""
BATCH_RECORDS = 128
BATCH_BYTES = 256 << 10
PAUSE_S = 0.004
TURN_RECORDS = 512  # that are looked at in a turn of the loop
RETRY_S, PATIENCE_S = 0.1, 30.0
SWAP_BYTES_MAX = 400_000  # of what is merged in the swap itself, beside the mounts (plan.py)
SWAP_RECORDS_MAX = 200
SWAPS_MAX = 100
FOREIGN_LINE = "the snapshot is of another line of this cluster's history, which ended with a restore"
CHANGED = "secrets engines were mounted, moved, tuned or disabled meanwhile; nothing was changed: ask again"


class GivenUpError(StrongroomError):
    """It cannot go on: nothing has changed, and nothing that was written is left."""


class _MoreError(Exception):
    """More changed than fits beside the swap."""


class Done(NamedTuple):
    """What was put back, and what is to be said of it."""

    at_index: int
    time_ns: int
    mounts: list[str]
    gone: list[str]
    secrets: int
    warnings: list[str]

    @property
    def data(self) -> dict[str, Any]:
        """For the answer."""
        return {
            "snapshot_index": self.at_index, "snapshot_time": rfc3339(self.time_ns), "mounts": self.mounts,
            "mounts_gone": self.gone, "secrets": self.secrets,
        }  # fmt: skip


class PuttingBack:
    """Carries out one restore. `held`: uuids that this process writes to, which maintenance leaves alone."""

    def __init__(
        self, member: Member, held: set[bytes], *, types: Collection[str], kept: Collection[str],
        check_memory: Callable[[int], None], check_may: Callable[[View, int], None],
    ) -> None:  # fmt: skip
        """`check_memory` and `check_may` raise Refusal: for so many bytes, and on that view at that time (B5)."""
        self._member = member
        self._held = held
        self._types = types
        self._kept_types = kept
        self._check_memory = check_memory
        self._check_may = check_may
        self._state = member.view
        self._plan = Plan([], {})
        self._by_source: dict[bytes, Putting] = {}
        self._holds: dict[bytes, int] = {}  # fresh uuid → index of the record that holds it
        self._mergers: dict[bytes, Merger] = {}  # uuid of a twin → its merger
        self._secrets = 0

    async def run(self, arrived: Arrived, *, force: bool) -> Done:
        """The secrets engines are those of the snapshot. Raises Refusal, StrongroomError, OSError (B6)."""
        member = self._member
        keyring = member.running.sealer.keyring
        through = ReadThrough(arrived, keyring, member.random)
        own = keyring.copy()  # so that what is derived for the snapshot's values can be forgotten (the node's stays)
        then: Sealer | None = None
        try:
            self._check_memory(sum(place.size for place in arrived.archive.places))
            contents = await self._verified(through, force=force)
            self._plan = planned(
                self._state, contents.kept[Table.MOUNT], self._types, self._kept_types, member.random.bytes
            )
            if member.values is None:
                raise SealedError
            then = Sealer(own, member.random, contents.generation)
            for key, record in contents.kept[Table.SALT].items():
                salt = records.readable(records.Salt, record) or records.Salt()  # refused below
                then.learn_salt(int.from_bytes(key, "big"), salt.key_term, salt.salt)
            self._mover = Mover(member.values, then.open_value, member.random.bytes)
            return await self._written(through, contents)
        finally:
            through.wipe()
            own.wipe()
            if then is not None:
                then.wipe()
            self._held -= {one.target for one in self._plan.putting}
            if self._changed in self._state.listeners:
                self._state.listeners.remove(self._changed)

    async def _verified(self, through: ReadThrough, *, force: bool) -> Contents:
        """B1."""
        contents = await through.verify(KEPT)
        member = self._member
        if contents.generation != member.generation and not force:
            raise Refusal(400, f"{FOREIGN_LINE}: only snapshot-force puts it back")
        if contents.generation == member.generation and contents.at_index > self._state.applied_index:
            raise Refusal(400, "the snapshot is newer than this cluster, which has lost its end")
        for record in contents.kept[Table.CONFIG].values():
            config = records.readable(records.Config, record)
            if config is None or config.profile != member.settings.profile:
                raise Refusal(400, "the snapshot is of a cluster of another profile")
        return contents

    # ---- beside what is there
    async def _written(self, through: ReadThrough, contents: Contents) -> Done:
        plan = self._plan
        self._by_source = {one.source: one for one in plan.putting}
        for one in plan.putting:
            if one.twin is not None and one.type in MERGERS:
                self._mergers[one.twin.mount.uuid] = MERGERS[one.type](one, self._mover)
        self._state.listeners.append(self._changed)
        await self._hold()
        differences = Differences(contents.kept[Table.MOUNT], self._types)
        await self._write(self._of_snapshot(through, differences))
        await self._write(self._of_units({uuid: one.units(self._state) for uuid, one in self._mergers.items()}))
        await self._swap(contents)
        warnings = [one for merger in self._mergers.values() for one in merger.remarks()]
        if plan.gone:
            warnings.append(f"mounts that the snapshot does not know are gone: {', '.join(plan.gone)}")
        warnings += differences.sentences(self._state)
        mounts = [one.path for one in plan.putting]
        return Done(contents.at_index, contents.time_ns, mounts, plan.gone, self._secrets, warnings)

    async def _hold(self) -> None:
        """B2: who leads next knows what to remove."""
        targets = [one.target for one in self._plan.putting]
        self._held |= set(targets)

        def decide(view: View, now_ns: int) -> tuple[Draft, None]:
            self._check_may(view, now_ns)
            draft = Draft()
            for target in targets:
                key = sweeps.sweep_key(sweeps.RESTORE_KIND, target)
                draft.expect(Table.SWEEP, key, 0)
                draft.put(Table.SWEEP, key, Sweep(kind=sweeps.RESTORE_KIND, target=target, time_ns=now_ns))
            return draft, None

        index = await self._propose_unseen(decide)
        self._holds = dict.fromkeys(targets, index)

    async def _of_snapshot(self, through: ReadThrough, differences: Differences) -> AsyncIterator[Moved]:
        """What is put back as it is. The rest is handed to whom it concerns."""
        secret, rid = b"", b""
        async for part in through.parts():
            for number, (table, key, record) in enumerate(part):
                if number % TURN_RECORDS == 0:
                    await asyncio.sleep(0)
                putting = self._by_source.get(key[:MOUNT_UUID_BYTES]) if table in _CONTENTS else None
                if putting is None:
                    differences.meet(self._state, table, key, record)
                    continue
                target = putting.target + key[MOUNT_UUID_BYTES:]
                if table == Table.SECRET:
                    known = records.readable(records.Secret, record)
                    if known is None:
                        raise DamagedError("a secret of the snapshot does not decode")
                    secret, rid = key, known.rid
                    self._secrets += 1
                    yield Moved(table, key, target, record)
                elif table == Table.VERSION:
                    if key[:-VERSION_BYTES] != secret:
                        raise DamagedError("a version of the snapshot stands without its secret")
                    yield Moved(table, key, target, record, rid)
                elif self._is_plain(putting, key, record):
                    yield Moved(table, key, target, record)

    def _is_plain(self, putting: Putting, key: bytes, record: bytes) -> bool:
        merger = None if putting.twin is None else self._mergers.get(putting.twin.mount.uuid)
        return merger is None or merger.meet(self._state, key, record)

    async def _of_units(self, units: Mapping[bytes, Iterable[str]]) -> AsyncIterator[Settled]:
        for uuid, names in units.items():
            merger = self._mergers[uuid]
            for name in names:
                for settled in merger.settle(self._state, name):
                    yield settled

    async def _write(self, what: AsyncIterator[Moved] | AsyncIterator[Settled]) -> None:
        """B4."""
        batch: list[Moved | Settled] = []
        size_bytes = 0
        async for one in what:
            if batch and (len(batch) >= BATCH_RECORDS or size_bytes + one.size_bytes > BATCH_BYTES):
                await self._put(batch)
                batch, size_bytes = [], 0
            batch.append(one)
            size_bytes += one.size_bytes
        if batch:
            await self._put(batch)

    async def _put(self, batch: list[Moved | Settled]) -> None:
        def decide(view: View, _now_ns: int) -> tuple[Draft, None]:
            draft = Draft()
            self._expect_holds(view, draft, {one.target[:MOUNT_UUID_BYTES] for one in batch})
            for one in batch:
                self._mover.add(view, draft, one)
            return draft, None

        await self._propose_unseen(decide)
        await asyncio.sleep(PAUSE_S)

    def _expect_holds(self, view: View, draft: Draft, targets: Collection[bytes]) -> None:
        """B2. Raises GivenUpError."""
        if self._member.view is not self._state:
            raise GivenUpError(_GIVEN_UP)
        for target in sorted(targets):
            key = sweeps.sweep_key(sweeps.RESTORE_KIND, target)
            found = view.get(Table.SWEEP, key)
            if found is None or found[0] != self._holds[target]:
                raise GivenUpError(_GIVEN_UP)
            draft.expect(Table.SWEEP, key, found[0])

    async def _propose(self, decide: Callable[[View, int], tuple[Draft, None]]) -> int:
        """The index of what was decided. What is refused for want of room or of backups is asked again for a while."""
        clock = self._member.clock
        until_s = clock.boot() + PATIENCE_S
        while True:
            try:
                return (await self._member.write(decide))[0]
            except UnavailableError:
                if clock.boot() >= until_s:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _propose_unseen(self, decide: Callable[[View, int], tuple[Draft, None]]) -> int:
        """The same for what nobody can reach: whatever became of it, nothing has changed. Raises GivenUpError."""
        try:
            return await self._propose(decide)
        except UnknownOutcomeError:
            raise GivenUpError(_TOO_LATE) from None

    # ---- in its place
    def _changed(self, _index: int, transaction: Any) -> None:
        """A listener of the state: what is merged changed."""
        for table, key, *_ in (*transaction.puts, *transaction.drops):
            merger = self._mergers.get(key[:MOUNT_UUID_BYTES]) if table == Table.ENTRY else None
            if merger is not None:
                merger.note(key)

    async def _swap(self, contents: Contents) -> None:
        """B3."""
        for _ in range(SWAPS_MAX):
            units = {uuid: sorted(merger.dirty) for uuid, merger in self._mergers.items()}
            for merger in self._mergers.values():
                merger.dirty.clear()
            await self._write(self._of_units(units))
            try:
                await self._propose(lambda view, now_ns: (self._swapping(view, now_ns, contents), None))
            except _MoreError:
                continue
            return
        raise UnavailableError("what is merged changes too fast; nothing was changed")

    def _swapping(self, view: View, now_ns: int, contents: Contents) -> Draft:
        """The transaction. Raises Refusal (B5), GivenUpError, _MoreError."""
        self._check_may(view, now_ns)
        plan, draft = self._plan, Draft()
        if present(view, self._types) != plan.leaving:
            raise GivenUpError(CHANGED)
        self._expect_holds(view, draft, [one.target for one in plan.putting])
        self._merge(view, draft)
        staying = {one.path for one in plan.putting}
        for path, leaving in plan.leaving.items():
            draft.expect(Table.MOUNT, path.encode(), leaving.at_index)
            if path not in staying:
                draft.drop(Table.MOUNT, path.encode())
            sweeps.start(view, draft, sweeps.MOUNT_KIND, leaving.mount.uuid)
        for one in plan.putting:
            if one.path not in plan.leaving:
                draft.expect(Table.MOUNT, one.path.encode(), 0)
            draft.put(Table.MOUNT, one.path.encode(), one.record)
            draft.drop(Table.SWEEP, sweeps.sweep_key(sweeps.RESTORE_KIND, one.target))
        draft.expect(Table.FACT, FACT, index_of(view, Table.FACT, FACT))
        text = f"{contents.at_index}@{contents.generation.hex()}"
        draft.put(Table.FACT, FACT, Fact(time_ns=now_ns, text=text))
        draft.hashes = (EVERYTHING,)
        return draft

    def _merge(self, view: View, draft: Draft) -> None:
        """What changed since the last round, applied or pending, is in the draft. Raises _MoreError."""
        settled: list[Settled] = []
        for uuid, merger in self._mergers.items():
            for key in self._member.running.overlay.changing(Table.ENTRY, uuid):
                merger.note(key)
            for unit in sorted(merger.dirty):
                settled += merger.settle(view, unit)
                if len(settled) > SWAP_RECORDS_MAX or sum(one.size_bytes for one in settled) > SWAP_BYTES_MAX:
                    raise _MoreError
        for one in settled:
            self._mover.add(view, draft, one)


_CONTENTS = frozenset({Table.SECRET, Table.VERSION, Table.ENTRY})
_GIVEN_UP = "another node led meanwhile: nothing was changed"
_TOO_LATE = "what was written was not committed in time: nothing was changed"

__all__ = ["Done", "GivenUpError", "PuttingBack"]
