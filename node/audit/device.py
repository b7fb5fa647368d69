"""One audit device on this node: lines in, chained and written in batches, and who is told.

Owned by the loop; what may block is a job of the device's writer. One job is under way at a time, and while it is,
lines gather for the next: so a slow device gets fewer, larger writes.
Invariants
  D1  a line counts as taken when all its bytes are in the file, never before
  D2  lines that were refused leave no hole: the chain goes back to the last line that is in the file, and a line that
      is there in part (the disk was full) is finished before anything else is written
  D3  from `deadline_s` after the oldest waiting line was offered the device counts as failed and refuses at once,
      until the job that blocks ends
  D4  whoever waits is told once by each device, taken or refused
  D5  a sink that broke is opened anew, at once and then later and later; what may have arrived counts as refused, and
      its numbers are not used again
  D6  the loop waits for the writer at most LINGER_S, and then not again for IMPATIENCE_S
Source: Vault, "Audit devices: blocked"; docs/threat-model.md, audit.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster import StrongroomError

from ..engines.instants import rfc3339
from .batch import Batch, Owed
from .chain import Chain, Head, mac_of
from .facts import Facts
from .sink import Opened, Rotated, SinkError, Written
from .writer import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..http.seams import Clock
    from .batch import Waiter
    from .entry import Renderer
    from .sink import Sink
    from .writer import Job, Writer

LINGER_S = 0.001
IMPATIENCE_S = 1.0
REOPEN_AFTER_S = 1.0  # doubled with each failure in a row
REOPEN_AFTER_MAX_S = 5.0
BATCH_BYTES_MAX = 16 << 20  # waiting behind a job; more is refused, as by a device that is blocked
LINE_ROOM_BYTES = 1_024  # what the chain adds to a line: node, device, number and MAC


class Device:
    """See the module's paragraph."""

    def __init__(
        self,
        path: str,
        file: str,
        renderer: Renderer,
        sink: Sink,
        writer: Writer,
        chain: Chain,
        clock: Clock,
        *,
        deadline_s: float,
        known: Head,
        line_bytes_max: int | None = None,
    ) -> None:
        self.path = path
        self.renderer = renderer
        self.problem = "it was never opened"  # why it does not work; "" while it does
        self.failures_total = 0
        self.written = known  # the newest line that is in the file
        self.facts = Facts()
        self._file = file
        self._sink = sink
        self._writer = writer
        self._chain = chain
        self._clock = clock
        self._deadline_s = deadline_s
        self._line_bytes_max = line_bytes_max
        self._failed_in_a_row = 0
        self._queued = Batch()
        self._flying: Batch | None = None
        self._job: Job | None = None
        self._owed: Owed | None = None
        self._is_open = False
        self._is_new_file = False  # its first line is owed, and not for want of room: nobody has to offer one first
        self._is_blocked = False
        self._is_leaving = False  # nothing more is offered
        self._is_closed = False  # nothing more is begun
        self._rotate = False
        self._job_since_s = 0.0
        self._open_again_s = math.inf  # not before `open`: the file may still be another device's
        self._patient_from_s = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._idle: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<Device {self.path} at {self.written.sequence}>"

    @property
    def ok(self) -> bool:
        """It took everything of the last write."""
        return not self.problem

    @property
    def accepts(self) -> bool:
        """Offering makes sense: it would not be refused at once."""
        return not (self._is_blocked or self._is_leaving or self._queued.size_bytes > BATCH_BYTES_MAX)

    # ---- what the broker does
    def offer(self, lines: list[bytes], waiter: Waiter) -> None:
        """The lines go with the next write; the waiter is told about the last of them, and so about all."""
        too_long = self._line_bytes_max is not None and max(map(len, lines)) > self._line_bytes_max - LINE_ROOM_BYTES
        if too_long or not self.accepts:
            self.refuse(waiter)
            return
        batch = self._queued
        if not batch.lines:
            batch.since_s = self._clock.boot()
            self._arm(self._deadline_s)
        batch.lines += lines
        batch.waiters += [*[None] * (len(lines) - 1), waiter]
        batch.size_bytes += sum(map(len, lines))

    def refuse(self, waiter: Waiter) -> None:
        """The waiter is told that this device does not take its record."""
        self.failures_total += 1
        waiter.refused()

    def pump(self) -> None:
        """Begins whatever is to be done and can be: opening, rotating, writing."""
        if self._job is not None or self._is_closed:
            return
        if not self._is_open:
            self._begin_open()
        elif self._rotate:
            self._rotate = False  # now, not when it is done: another request may come while this one is under way
            rest = b"" if self._owed is None else self._owed.rest
            self._submit(partial(self._sink.rotate, rest), self._on_rotated)
        elif self._queued.lines or self._is_new_file:
            self._begin_write()

    def rotate(self) -> None:
        """The file is opened anew as soon as what is under way is done."""
        self._rotate = True
        self.pump()

    async def open(self) -> str:
        """Opened and its first line written, or why not ("" is success). Waits until the deadline at most."""
        self._open_again_s = 0.0
        self._arm(self._deadline_s)
        self.pump()
        await self._quiet()
        return self.problem

    async def close(self) -> None:
        """Everything offered is written, or the deadline is over; then nothing is taken any more."""
        self._is_leaving = True
        self.pump()
        await self._quiet()
        self._is_closed = True
        self._refuse_batch(self._queued)
        self._queued = Batch()
        if self._watch is not None:
            self._watch.cancel()
        # Waited for, because the file stays locked until then, and a device at the same path may follow at once.
        closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        job = self._writer.submit(self._sink.close, tell(closed))
        self._writer.close()
        if job.settle(LINGER_S):
            job.deliver()
        if not self._is_blocked:
            await asyncio.wait([closed], timeout=self._deadline_s)

    # ---- opening
    def _begin_open(self) -> None:
        if self._clock.boot() < self._open_again_s:
            self._refuse_queued()
            self._settled()
            return
        self._submit(self._sink.open, self._on_open)

    def _on_open(self, result: Opened | Exception) -> None:
        self._landed()
        if not isinstance(result, Opened):
            self._failed_to_open(result)
            return
        known = self.written
        found = known if result.found is None else result.found
        if result.unsure is not None and known.sequence > found.sequence:
            found = known  # it cannot be read there, and it is known to have been sent
        # A separator, so that what a crash left behind does not run into the next line.
        separator = b"\n" if result.torn and not result.torn.endswith(b"\n") else b""
        if self._start_file(found, known, result.torn, separator, result.unsure):
            self._is_open = True
            self.pump()
        self._settled()

    def _failed_to_open(self, error: Exception) -> None:
        self.problem = str(error) if isinstance(error, SinkError) else "it cannot be opened"
        self._open_again_s = self._clock.boot() + self._pause_s(REOPEN_AFTER_S)
        self._refuse_queued()
        self._settled()

    def _pause_s(self, first_s: float) -> float:
        """How long the sink is left alone after one more failure in a row."""
        count, self._failed_in_a_row = self._failed_in_a_row, self._failed_in_a_row + 1
        return min(REOPEN_AFTER_S * 2 ** min(count, 8), REOPEN_AFTER_MAX_S) if count else first_s

    def _start_file(self, found: Head, known: Head, torn: bytes, separator: bytes, unsure: Head | None = None) -> bool:
        """The first line of a file is owed to it."""
        time = rfc3339(self._clock.wall_ns())
        try:
            line = separator + self._chain.open_file(time, self._file, found, known, torn, unsure)
        except StrongroomError:
            self._failed_to_open(SinkError("the node is sealed"))
            return False
        self._owed = Owed(line, line, found)
        self._is_new_file = True
        return True

    # ---- rotating
    def _on_rotated(self, result: Rotated | Exception | None) -> None:
        self._landed()
        if isinstance(result, Exception):
            self.problem = str(result) if isinstance(result, SinkError) else "it cannot be opened again"
        elif result is not None:
            self._continue_in(result)
        self.pump()
        self._settled()

    def _continue_in(self, rotated: Rotated) -> None:
        torn, owed = rotated.opened.torn, self._owed
        if owed is not None:
            done = len(owed.line) - len(owed.rest) + rotated.finished
            if done < len(owed.line):
                self._chain.back_to(owed.before)
                torn = torn or owed.line[:done]
            self._owed = None
        last = self._chain.head
        known = Head(last.sequence, last.mac, rotated.old)
        separator = b"\n" if rotated.opened.torn and not torn.endswith(b"\n") else b""
        self._start_file(rotated.opened.found or known, known, torn, separator)

    # ---- writing
    def _begin_write(self) -> None:
        batch, self._queued = self._queued, Batch()
        self._is_new_file = False
        before = self._chain.head
        try:
            lines = [self._chain.append(line) for line in batch.lines]
        except StrongroomError:  # sealed in this very turn
            self._chain.back_to(before)
            self.problem = "the node is sealed"
            self._refuse_batch(batch)
            self._settled()
            return
        data = b"".join(lines) if self._owed is None else b"".join((self._owed.rest, *lines))
        batch.lines = lines
        self._flying = batch
        self._submit(partial(self._sink.write, data), partial(self._on_written, batch, before))

    def _on_written(self, batch: Batch, before: Head, result: Written | Exception) -> None:
        self._landed()
        self._flying = None
        count = result.bytes if isinstance(result, Written) else 0
        left = self._pay(count, before)
        taken = 0
        head = before
        if left is not None:
            for line in batch.lines:
                if left < len(line):
                    break
                left -= len(line)
                taken += 1
                head = Head(head.sequence + 1, mac_of(line), head.file)
            self.written = head
        if taken < len(batch.lines) or self._owed is not None:
            error = result.error if isinstance(result, Written) else None
            self.problem = (error.strerror if error is not None else "") or "it cannot be written"
            if isinstance(result, Written) and result.is_broken:
                self._broken()
            else:
                self._take_back(batch.lines[taken] if left else b"", left or 0, head)
        else:
            self.problem = ""
            self._failed_in_a_row = 0
        self._tell(batch, taken)
        self.pump()
        self._settled()

    def _broken(self) -> None:
        """D5."""
        self._owed, self._is_new_file, self._is_open = None, False, False
        self._open_again_s = self._clock.boot() + self._pause_s(0.0)

    def _pay(self, count: int, before: Head) -> int | None:
        """What is left of `count` bytes after the owed line; None if that is not finished yet."""
        owed = self._owed
        if owed is None:
            return count
        if count < len(owed.rest):
            owed.rest = owed.rest[count:]
            return None
        self._owed = None
        self.written = before
        return count - len(owed.rest)

    def _take_back(self, line: bytes, done: int, head: Head) -> None:
        """The chain ends with `head`, or with the line after it if that has begun (D2)."""
        self._chain.back_to(head)
        if line and done:
            self._owed = Owed(line, line[done:], head)
            self._chain.back_to(Head(head.sequence + 1, mac_of(line), head.file))

    def _tell(self, batch: Batch, taken: int) -> None:
        for at, waiter in enumerate(batch.waiters):
            if waiter is None:
                continue
            if at < taken:
                waiter.taken()
            elif not batch.is_refused:
                self.refuse(waiter)

    def _refuse_batch(self, batch: Batch) -> None:
        if not batch.is_refused:
            batch.is_refused = True
            for waiter in batch.waiters:
                if waiter is not None:
                    self.refuse(waiter)

    def _refuse_queued(self) -> None:
        batch, self._queued = self._queued, Batch()
        self._refuse_batch(batch)

    # ---- jobs, deadlines, quiet
    def _submit(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        now_s = self._clock.boot()
        self._job_since_s = now_s
        job = self._job = self._writer.submit(work, done)
        self._arm(self._deadline_s)
        patient = now_s >= self._patient_from_s
        if job.settle(LINGER_S if patient else 0.0):
            job.deliver()
        elif patient:
            self._patient_from_s = now_s + IMPATIENCE_S

    def _landed(self) -> None:
        self._job = None
        self._is_blocked = False

    def _arm(self, after_s: float) -> None:
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(after_s, self._look)

    def _look(self) -> None:
        """D3. One timer that looks again, not one for every batch."""
        self._watch = None
        waiting = [batch.since_s for batch in (self._flying, self._queued) if batch is not None and batch.lines]
        if self._job is not None:
            waiting.append(self._job_since_s)
        if not waiting:
            return
        age_s = self._clock.boot() - min(waiting)
        if age_s < self._deadline_s:
            self._arm(self._deadline_s - age_s)
            return
        self._is_blocked = self._job is not None
        self.problem = "it is blocked"
        if self._flying is not None:
            self._refuse_batch(self._flying)
        self._refuse_queued()
        self._tell_quiet()

    async def _quiet(self) -> None:
        """Nothing is under way or waiting, or the deadline is over."""
        if self._is_busy and not self._is_blocked:
            quiet = asyncio.get_running_loop().create_future()
            self._idle.append(quiet)
            await quiet

    @property
    def _is_busy(self) -> bool:
        return self._job is not None or bool(self._queued.lines)

    def _settled(self) -> None:
        if not self._is_busy:
            self._tell_quiet()

    def _tell_quiet(self) -> None:
        waiting, self._idle = self._idle, []
        for quiet in waiting:
            if not quiet.done():
                quiet.set_result(None)
