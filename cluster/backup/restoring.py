"""One restore carried out: from a sink to folders of members of a new line of history.

A shell over restore.py and becoming.py. Invariants (O2 and O4 are becoming.py's)
  O1  everything is read, replayed and verified before anything is claimed or written
  O3  a sink that shows less than a witness knows is refused with the sentence that says what is missing; without any
      witness the caller must have been told, and say so (`unwitnessed`)
  O5  where the end of the history is known to be missing, or does not open, nothing that gives access for a time
      survives: what was revoked there cannot be known
  O6  what an operator expects lifts O3 only where a sink holds that very object, or where the missing end is accepted
Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DamagedError, WrongKeyError
from ..state.digest import DIGEST_BYTES
from .becoming import Becoming, Extra, config_of
from .chain import RestoreError, runs
from .layout import clear
from .lines import end_of, lines
from .order import Expected, MissingEndError, Order, Report, UnwitnessedError
from .renew import changes_since
from .restore import Point, Progress, Restore, choose, hashes_at, stored_of
from .sinks.snapshot import is_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..keyring.seal import Unsealed
    from ..seams import Clock, Disk, Random
    from ..state.machine import State
    from .sinks.base import Generation, Sink, Stored

AFTERWARDS = "what came afterwards"


class Ends(NamedTuple):
    """What is known of the history behind the point. `own`: of the line itself, `end`: of whatever continued it.

    earlier: the point is not the newest known. unknown: a part of what followed cannot be read.
    """

    own: State
    end: State
    known_index: int
    newer_generation: bytes
    earlier: bool
    unknown: bool


class Restoring:
    """Carries out one order from `sink`; `others` are the cluster's further sinks: the new line begins there, too."""

    def __init__(
        self, sink: Sink, order: Order, open_with: Callable[[bytes], Unsealed], clock: Clock, random: Random,
        on_progress: Callable[[Progress], None] = lambda _progress: None, others: Sequence[Sink] = (),
    ) -> None:  # fmt: skip
        self._sink = sink
        self._others = others
        self._order = order
        self._open_with = open_with
        self._clock = clock
        self._random = random
        self._on_progress = on_progress

    async def run(self, disks: list[Disk], extra: Extra) -> Report:
        """The folders are members of a new cluster with the state of the point. `extra` adds records (a root token).

        Raises RestoreError and its kin, DamagedError, WrongKeyError, FencedError (a second child without `fork`),
        OccupiedError, SinkError.
        """
        for disk in disks:
            await asyncio.to_thread(clear, disk)
        for sink in (self._sink, *self._others):
            await sink.open()
        parent = await choose(self._sink, self._order.generation)
        restore = Restore(self._sink, parent, self._open_with, self._random, self._on_progress)
        try:
            await restore.open()
            known_index = await self._known(restore, parent)
            state = await restore.replay(self._order.point)
            ends = await self._ends(restore, parent, state, known_index)
            check_wish(self._order, state, unknown=ends.unknown)
            return await self._become(restore, parent, state, ends, disks, extra)
        finally:
            restore.wipe()

    async def _become(
        self, restore: Restore, parent: Generation, state: State, ends: Ends, disks: list[Disk], extra: Extra
    ) -> Report:
        """The state is that of a new line of history, and the folders are its members'."""
        order = self._order
        report = Report(
            parent.generation, b"", state.applied_index, state.time_ns, ends.own.applied_index, ends.own.time_ns,
            ends.known_index, ends.newer_generation, restore.left_out_from,
            ends.earlier and not order.wish.keep_tokens, changes_since(state, ends.end), ends.unknown, len(disks),
            state.digest.to_bytes(DIGEST_BYTES, "little"),
        )  # fmt: skip
        becoming = Becoming(
            order.members, order.cluster_name, order.profile, order.wish, order.fork, self._clock, self._random,
            self._on_progress,
        )  # fmt: skip
        assert restore.unsealed is not None
        line = await becoming.run(
            state, ends.end if ends.earlier else None, parent.generation, restore.unsealed, restore.seal,
            [one for one in (self._sink, *self._others) if not is_snapshot(one)], disks, extra,
        )  # fmt: skip
        return report._replace(generation=line.generation)

    # ---- what came afterwards
    async def _ends(self, restore: Restore, parent: Generation, state: State, known_index: int) -> Ends:
        own = end = state
        if state.applied_index < restore.newest().last:
            own = end = await restore.replay(Point(), step=AFTERWARDS, verify=False)
        cut = restore.left_out_from is not None or self._order.end_unknown
        unknown = own.applied_index < known_index or cut
        later = await self._later(parent)
        if later is not None:
            found = await self._end_of(later)
            end, unknown = found or own, unknown or found is None
        earlier = state.applied_index < known_index or cut or later is not None
        return Ends(own, end, known_index, b"" if later is None else later.generation, earlier, unknown)

    async def _later(self, parent: Generation) -> Generation | None:
        """The line that began from this one and was written last, if that was later than this one."""
        shown = [
            (generation, runs(await stored_of(sink, generation.generation)))
            for sink in (self._sink, *self._others)
            for generation in await sink.generations()
        ]
        found = lines(shown)
        own = next((one for one in found if one.id == parent.generation), None)
        end = None if own is None else end_of(own, found)
        return None if end is None or end.id == parent.generation else end.generation

    async def _end_of(self, later: Generation) -> State | None:
        """Its newest state; None if it cannot be had: other keys, another sink, damage. Raises SinkError."""
        restore = Restore(self._sink, later, self._open_with, self._random, self._on_progress)
        try:
            await restore.open()
            if restore.left_out_from is None:
                return await restore.replay(Point(), step=AFTERWARDS, verify=False)
        except (RestoreError, WrongKeyError, DamagedError):
            return None
        finally:
            restore.wipe()
        return None

    async def _known(self, restore: Restore, parent: Generation) -> int:
        """O3: the highest index that anybody speaks of. Raises RestoreError and its kin."""
        order, last = self._order, restore.newest().last
        shown = {one.generation for one in await self._sink.generations()}
        if any(one.generation not in shown for one in order.witnesses):
            raise RestoreError("a witness knows a generation that the sink does not show: it is older, or another")
        witnesses = [one for one in order.witnesses if one.generation == parent.generation]
        own = [Expected(one.last, one.hash) for one in witnesses if order.sink_name in {"", one.sink}]
        check_hashes(restore.every, own)
        confirmed = confirmed_of(await self._shown(restore, parent), order.expected)
        said = [*(one.last for one in witnesses), *(one.last for one in order.expected)]
        held = max(said, default=0)
        if last < held and not order.accept_loss:
            raise MissingEndError(
                f"the sink ends at {last}, but {held} was stored once: its end is missing; what is there can be "
                "restored only if that loss is accepted"
            )
        if not witnesses and not confirmed and last >= held and not order.unwitnessed:
            unsure = "; no batch ends where something was expected, so that confirms nothing" if order.expected else ""
            raise UnwitnessedError(f"nothing but the sink itself says that its newest entry is {last}{unsure}")
        return max(held, restore.stored_last)

    async def _shown(self, restore: Restore, parent: Generation) -> list[Stored]:
        """What all sinks show of the generation: each has batches of its own. Raises SinkError."""
        if not self._order.expected:
            return []
        others = [one for sink in self._others for one in await stored_of(sink, parent.generation)]
        return [*restore.every, *others]


def check_wish(order: Order, state: State, *, unknown: bool) -> None:
    """Raises RestoreError for a wish that would bring back what must not come back."""
    config = config_of(state)
    if config is not None and config.profile != order.profile:
        raise RestoreError(f"the backup is of profile {config.profile!r}, not {order.profile!r}")
    if unknown and order.wish.keep_tokens:
        raise RestoreError("tokens cannot be kept: what was revoked in the part that is missing is not known")


def check_hashes(shown: Sequence[Stored], held: list[Expected]) -> None:
    """Where the sink has an object that ends at a witness's index, it is that one of a witness. Raises RestoreError."""
    for index in {one.last for one in held}:
        found = hashes_at(shown, index)
        if found and not _is_among(found, [one for one in held if one.last == index]):
            raise RestoreError(_ANOTHER.format(index))


def confirmed_of(shown: Sequence[Stored], expected: Sequence[Expected]) -> list[Expected]:
    """Of what was expected, what a sink holds (O6). Pure. Raises RestoreError where others are in its place."""
    confirmed = []
    for one in expected:
        found = hashes_at(shown, one.last)
        if _is_among(found, [one]):
            confirmed.append(one)
        elif found:
            raise RestoreError(_ANOTHER.format(one.last))
    return confirmed


def _is_among(found: set[bytes], held: list[Expected]) -> bool:
    return any(hmac.compare_digest(digest, one.hash) for digest in found for one in held)


_ANOTHER = "the sink has another batch at {} than was stored there"
