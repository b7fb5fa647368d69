"""A member's journal in the simulator: the product's two processes over a simulated disk, in one.

What runs is the product's code: `ChildWriter` (parent.py, outbox.py, frames.py) on one side, on the other the three
duties of the child (duties.py) with `LogWriter`, `BallotWriter` and `SnapshotDesk`. Replaced are the process, its
threads and its sockets (pipes.py), and the time that a disk takes: between a write and its sync there is an event, so
a crash may fall between any two steps. A killed child may still have done the step it was about to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from cluster.errors import FatalError
from cluster.journal import frames
from cluster.journal.ballot_file import BallotWriter
from cluster.journal.duties import Duty, Receive, Rest, Syncing, ballot_duty, log_duty, snapshot_duty
from cluster.journal.memory import MemoryWriter
from cluster.journal.modes import BUFFERED, FSYNC, MEMORY
from cluster.journal.parent import ChildWriter
from cluster.journal.snapshot_desk import SnapshotDesk
from cluster.journal.writer import LogWriter

from .pipes import Loop, Pipe, Process

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cluster.journal.handle import Callbacks
    from cluster.raft.boot import Opened

    from .disk import SimDisk
    from .world import World

WRITE_S = 0.0001
EXIT_UNKNOWN = 255
EVERYTHING = 1 << 62
LAST_STEP_CHANCE = 0.4  # of a killed child to have done what it was about to do


class Ended(BaseException):
    """Raised by what a fault has armed; nothing in the product may catch it and go on."""

    def __init__(self, *, power: bool) -> None:
        super().__init__()
        self.power = power


class Stream:
    """One duty of the child, step by step."""

    def __init__(self, child: SimJournal, pipe: Pipe, duty: Duty) -> None:
        self._child = child
        self._pipe = pipe
        self._duty = duty
        self._reader = frames.FrameReader()
        self._waiting = False  # for frames, and nothing has been scheduled
        self._due_s: float | None = None  # when it stops waiting
        self._timer = False
        self.step: Receive | Rest | Syncing | None = None
        pipe.on_arrived = self._arrived

    def begin(self) -> None:
        """The first step."""
        self._child.at(WRITE_S, self._go, None)

    def _go(self, arrived: list[tuple[int, bytes]] | None) -> None:
        step = self.step = self._child.run(self._duty, arrived)
        if isinstance(step, Receive):
            if self._pipe.waiting:
                self._child.at(WRITE_S, self._receive)
            else:
                self._wait(step.timeout_s)
        elif isinstance(step, Rest):
            self._child.at(step.time_s, self._go, [])
        elif step is not None:
            self._child.at(self._child.sync_time(), self._go, [])

    def _wait(self, timeout_s: float | None) -> None:
        self._waiting = True
        self._due_s = None if timeout_s is None else self._child.now_s + timeout_s
        if timeout_s is not None and not self._timer:
            self._timer = True
            self._child.at(timeout_s, self._time_over)

    def _time_over(self) -> None:
        self._timer = False
        if not self._waiting or self._due_s is None:
            return
        if self._due_s > self._child.now_s:
            self._timer = True
            self._child.at(self._due_s - self._child.now_s, self._time_over)
            return
        self._waiting = False
        self._go([])

    def _arrived(self) -> None:
        if self._waiting:
            self._waiting = False
            self._child.at(WRITE_S, self._receive)

    def _receive(self) -> None:
        self._go(self._reader.feed(self._pipe.take()))

    def last_step(self) -> None:
        """What it was about to do is done before it is killed; nobody hears of it."""
        if isinstance(self.step, Receive):
            if self._pipe.waiting:
                self._child.run(self._duty, self._reader.feed(self._pipe.take()))
        elif self.step is not None:
            self._child.run(self._duty, [])

    def finish(self) -> bool:
        """Everything that has arrived is done, and then the stream is at its end. False: there was no room for it."""
        while self.step is not None:
            arrived: list[tuple[int, bytes]] | None = []
            if isinstance(self.step, Receive):
                arrived = self._reader.feed(self._pipe.take()) if self._pipe.waiting else None
            step = self._child.run(self._duty, arrived)
            if isinstance(step, Rest) and isinstance(self.step, Rest):
                return False
            self.step = step
        return True


class SimJournal:
    """What the replica's log talks to is `handle`. Ends with the life it belongs to."""

    def __init__(self, world: World, disk: SimDisk, segment_bytes: int, later: Callable[..., None]) -> None:
        self._world = world
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._later = later
        self._log: LogWriter | None = None
        self._streams: list[Stream] = []
        self._pipes: list[Pipe] = []
        self._process = Process()
        self._over = False
        self.mode = FSYNC
        self.child: ChildWriter
        self.memory: MemoryWriter | None = None  # stands before the child in mode memory
        self.on_ended: Callable[[Ended], None] = lambda _ended: None

    def begin(self, opened: Opened, callbacks: Callbacks) -> None:
        """The start is done; the child goes on from it."""
        self.mode = opened.mode
        room = self._world.options.pipe_bytes
        self._pipes = [Pipe(self._later, room) for _ in range(3)]
        loop = Loop(self._later)
        self.child = ChildWriter(
            cast("Any", self._process), cast("Any", self._pipes), callbacks, cast("Any", loop)
        )
        if opened.mode == MEMORY:
            self.memory = MemoryWriter(self.child, callbacks, loop.call_soon)
        log, ballot, snapshot = self._pipes
        self._streams = [
            Stream(self, log, self._log_stream(opened, log)),
            Stream(self, ballot, self._ballot_stream(ballot)),
            Stream(self, snapshot, self._snapshot_stream(snapshot)),
        ]
        for stream in self._streams:
            stream.begin()

    def _log_stream(self, opened: Opened, pipe: Pipe) -> Duty:
        if opened.mode == MEMORY:
            while (yield Receive(None)) is not None:
                pass
            return
        self._log = LogWriter(self._disk, segment_bytes=self._segment_bytes, start=opened.start)
        buffered = opened.mode == BUFFERED
        yield from log_duty(self._log, pipe.say, buffered=buffered, now_s=lambda: self._world.now_s)

    def _ballot_stream(self, pipe: Pipe) -> Duty:
        yield from ballot_duty(BallotWriter(self._disk), pipe.say)

    def _snapshot_stream(self, pipe: Pipe) -> Duty:
        yield from snapshot_duty(SnapshotDesk(self._disk), pipe.say)

    @property
    def handle(self) -> ChildWriter | MemoryWriter:
        """What the log and the snapshots are given to."""
        return self.memory or self.child

    @property
    def counted_sequence(self) -> int:
        """What may be called durable, said or not yet said: in this mode synced, written, or handed over."""
        if self.mode == MEMORY:
            return EVERYTHING
        if self._log is None:
            return 0
        return self._log.synced_sequence if self.mode == FSYNC else self._log.last_sequence

    # ---- the child's time
    @property
    def now_s(self) -> float:
        """The world's."""
        return self._world.now_s

    def at(self, delay_s: float, action: Callable[..., None], *arguments: Any) -> None:
        """An event of the child, which a pause of the node does not delay."""
        self._world.at(delay_s, self._event, action, arguments)

    def _event(self, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if not self._over:
            action(*arguments)

    def sync_time(self) -> float:
        """How long a sync takes now."""
        world = self._world
        options, rng = world.options, world.rng
        if world.healed:
            return options.sync_s
        if world.now_s < self._disk.slow_until_s:
            return self._disk.slow_s
        if rng.random() < options.slow_sync_chance:
            return 0.05 + rng.random() * 0.3
        return options.sync_s * (0.5 + rng.random())

    # ---- its steps and its end
    def run(self, duty: Duty, arrived: list[tuple[int, bytes]] | None) -> Receive | Rest | Syncing | None:
        """One step of a duty; what fails ends the child, and the node hears the end of its sockets."""
        try:
            return duty.send(arrived)
        except StopIteration:
            return None
        except OSError as error:
            self._world.stats["failed syncs"] += 1
            self._world.trace("a disk failed", error.errno, error.strerror)
            self._end(error.errno or EXIT_UNKNOWN)
        except FatalError as error:
            self._world.violate("the journal's child", type(error).__name__, error)
        except Ended as ended:
            self.on_ended(ended)
        return None

    def _end(self, status: int) -> None:
        self._over = True
        self._process.status = status
        for pipe in self._pipes:
            pipe.end()

    def finish(self) -> bool:
        """A clean stop: the node closes its ends, and the child does what has arrived, and ends.

        True: it ended well. A child that waits for room on its disk is killed in the end, as cluster/journal/parent.py
        does.
        """
        self._over = True
        ended = [stream.finish() for stream in self._streams]
        return all(ended) and not self.failed_over_a_file

    @property
    def failed_over_a_file(self) -> bool:
        """The child ended by itself, and why."""
        return (self._process.status or 0) > 0

    def killed(self, rng: random.Random, *, power: bool) -> None:
        """The node is gone and the kernel kills the child, before or behind its next step, or the power is gone."""
        if self._over:
            return
        self._over = True
        if not power and rng.random() < LAST_STEP_CHANCE:
            self.on_ended = lambda _ended: None
            self._disk.on_operation = _nothing
            for stream in self._streams:
                stream.last_step()


def _nothing(_operation: str) -> None:
    """No fault waits any more."""

