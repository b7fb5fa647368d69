"""What the child process does on each of its three streams, step by step: no socket, no clock, no thread.

A duty is a generator. It yields what it waits for, is sent the frames that came, and says its answers through a
function; child.py runs it over a socket, chaos/sim over simulated time, so both run this code. An error leaves the
duty and is final. The child process runs it: standard library, cluster/errors.py, cluster/seams.py and its room only.

Invariants
  D1  an operation is reported durable only behind the sync that made it so; `buffered`: behind the write, and the sync
      follows a bounded time later, or before the stream's end is answered by the end of the process
  D2  a full disk delays and ends nothing: the parent hears of each change, what has arrived waits
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .. import seams
from ..errors import FatalError
from . import frames

if TYPE_CHECKING:
    from .ballot_file import BallotWriter
    from .snapshot_desk import SnapshotDesk
    from .writer import LogWriter

IDLE_S: Final = 0.2  # the log has fallen idle when nothing came for so long
SPACE_RETRY_S: Final = 1.0
SYNC_S: Final = 1.0  # buffered: what is written is on stable storage about so much later

Frames = list[tuple[int, bytes]]
Say = Callable[[bytes], object]


class Receive(NamedTuple):
    """Answered with the frames that have arrived: [] if none came in time, None at the end of the stream."""

    timeout_s: float | None


class Rest(NamedTuple):
    """Answered with [] after so long."""

    time_s: float


class Syncing(NamedTuple):
    """Answered with [] at once; what follows takes as long as the disk takes for a sync."""


SYNCING: Final = Syncing()
Step = Receive | Rest | Syncing
Duty = Generator[Step, Frames | None, None]


def log_duty(
    writer: LogWriter,
    say: Say,
    *,
    buffered: bool = False,
    idle_s: float = IDLE_S,
    space_retry_s: float = SPACE_RETRY_S,
    sync_s: float = SYNC_S,
    now_s: Callable[[], float] | None = None,
) -> Duty:
    """Write, sync, report, until the stream ends. `buffered`: reported when written, synced within `sync_s` or so.

    `now_s` reads the clock that `sync_s` is measured by: that of the machine, unless another is given.
    """
    space = _Space(say)
    due = _SyncDue(writer, sync_s if buffered else 0.0, now_s or seams.SystemClock().boot)
    quiet = False
    space.ask(writer.tidy)
    while True:
        arrived = yield Receive(space_retry_s if not space.there else None if quiet else idle_s)
        if arrived is None:
            break
        if arrived:
            sequence = arrived[-1][0]
            write = partial(writer.write, [body for _, body in arrived], sequence)
            while not space.ask(write):
                yield Rest(space_retry_s)
                if due.now():
                    yield SYNCING
                    writer.sync()
            if buffered:
                say(frames.frame(sequence))
            quiet = False
        if due.now():
            yield SYNCING
            synced = writer.sync()
            if not buffered:
                say(frames.frame(synced))
        if arrived or not space.there:
            space.ask(writer.tidy)
        elif not writer.unsynced:
            quiet = True
            space.ask(writer.idle)
    if writer.unsynced:
        yield SYNCING
        writer.sync()
    space.ask(writer.idle)
    writer.close()


class _SyncDue:
    """Whether what is written must be synced now: `after_s` after it was first seen here."""

    def __init__(self, writer: LogWriter, after_s: float, now_s: Callable[[], float]) -> None:
        self._writer = writer
        self._after_s = after_s
        self._now_s = now_s
        self._at_s: float | None = None

    def now(self) -> bool:
        """The caller syncs if so."""
        if not self._writer.unsynced:
            self._at_s = None
            return False
        if self._after_s and self._at_s is None:
            self._at_s = self._now_s() + self._after_s
        if self._after_s and self._at_s is not None and self._now_s() < self._at_s:
            return False
        self._at_s = None
        return True


class _Space:
    """Whether the disk has room, as far as the parent was told."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.there = True

    def ask(self, action: Callable[[], Any]) -> bool:
        """The action was done; False if there was no space for it. The parent hears of each change (D2)."""
        try:
            action()
        except seams.NoSpaceError:
            there = False
        else:
            there = True
        if there != self.there:
            self.there = there
            self._say(frames.frame(0, bytes((there,))))
        return there


def ballot_duty(
    writer: BallotWriter, say: Say, *, idle_s: float = IDLE_S, space_retry_s: float = SPACE_RETRY_S
) -> Duty:
    """Write the newest ballot that has arrived, sync, report, until the stream ends."""
    quiet = True
    while (arrived := (yield Receive(None if quiet else idle_s))) is not None:
        if not arrived:
            writer.idle()
            quiet = True
            continue
        while True:
            try:
                writer.write(*arrived[-1])
                break
            except seams.NoSpaceError:  # only before the file exists: this node has said nothing to anybody yet
                yield Rest(space_retry_s)
        yield SYNCING
        say(frames.frame(writer.sync()))
        quiet = False
    writer.idle()
    writer.close()


def snapshot_duty(desk: SnapshotDesk, say: Say) -> Duty:
    """Do what the snapshot messages say, in their order, and report each end, until the stream ends."""
    while (arrived := (yield Receive(None))) is not None:
        for verb, body in arrived:
            snapshot_id, rest = frames.split_id(body)
            if verb == frames.COMMIT:
                yield SYNCING
            refused = _snapshot_verb(desk, verb, snapshot_id, rest)
            if refused is not None:
                say(frames.frame(frames.REFUSED, frames.with_id(snapshot_id, refused.encode())))
            elif verb == frames.COMMIT:
                say(frames.frame(frames.DONE, frames.with_id(snapshot_id)))


def _snapshot_verb(desk: SnapshotDesk, verb: int, snapshot_id: bytes, rest: bytes) -> str | None:
    if verb == frames.BEGIN:
        index, term = frames.PLACE.unpack(rest)
        return desk.begin(snapshot_id, index, term)
    if verb == frames.CHUNK:
        return desk.chunk(snapshot_id, rest)
    if verb == frames.RECEIVE:
        index, term, offset = frames.OFFSET.unpack_from(rest)
        return desk.receive(snapshot_id, index, term, offset, rest[frames.OFFSET.size :])
    if verb == frames.COMMIT:
        return desk.commit(snapshot_id)
    if verb == frames.ABORT:
        desk.abort(snapshot_id)
    elif verb == frames.REMOVE_BEFORE:
        desk.remove_before(int.from_bytes(rest))
    else:
        raise FatalError("a message to the journal's writer has an unknown verb")
    return None
