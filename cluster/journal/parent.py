"""The node's side of the child process that writes its journal.

A shell: it encodes, sends once per turn of the loop and hands completions to callbacks. The child's death, an error of
its sockets or any failed write of its is one `on_failed`, then silence: a node that cannot write must end.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .. import failpoints
from . import frames, wal
from .ballot import Ballot, encode_ballot
from .outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .handle import Callbacks
    from .recovery import LogStart

_EXIT_WAIT_S: Final = 2.0
_CLOSE_WAIT_S: Final = 10.0
_EXIT_UNKNOWN: Final = 255  # every other status is an errno
_SOCKET_BUFFER_BYTES: Final = 4 << 20
_READ_BYTES: Final = 1 << 16
# The packages are made by hand so that their __init__ files, which load the whole cluster, do not run.
_BOOT: Final = """
import sys, types
for name, path in (("cluster", sys.argv[1]), ("cluster.journal", sys.argv[2])):
    package = types.ModuleType(name)
    package.__path__ = [path]
    sys.modules[name] = package
from cluster.journal.child import main
main(sys.argv[3])
"""


class ChildWriter:
    """A handle.WriterHandle on a child process. One per node; belongs to the loop's thread."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        sockets: Sequence[socket.socket],
        callbacks: Callbacks,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._process = process
        self._callbacks = callbacks
        self._loop = loop
        self._sockets = list(sockets)
        self._log, self._ballots, self._snapshots = (Outbox(loop, sock, self._fail) for sock in sockets)
        self._over = False
        self.write_failed = False  # the child ended by itself, over a file
        self._parts: list[wal.Part] = []
        self._parts_bytes = 0
        self._last_sequence = 0
        self._newest_ballot: tuple[int, bytes] | None = None
        self._scheduled = False
        self._handed_over: deque[tuple[int, int]] = deque()  # last sequence of a frame, its bytes
        self.backlog_bytes = 0
        for sock, heard in zip(sockets, (self._heard_log, self._heard_ballot, self._heard_snapshot), strict=True):
            loop.add_reader(sock, self._read, sock, frames.FrameReader(), heard)

    @classmethod
    def start(
        cls,
        root: Path,
        *,
        segment_bytes: int,
        start: LogStart | None,
        callbacks: Callbacks,
        buffered: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> ChildWriter:
        """A child writes the files below `root`, going on from `start` (None: no log, only ballot and snapshots).

        Call it in the thread that lives as long as the node: the child dies with it. `pass_fds` stay open in the
        child: an inherited lock on the folder keeps the next life of the node out until this child is gone.
        """
        ours, theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)
        for sock in (*ours, *theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        fds = [sock.fileno() for sock in theirs]
        options = {
            "root": str(root.resolve()),
            "fds": fds,
            "parent": os.getpid(),
            "segment_bytes": segment_bytes,
            "start": start,
            "buffered": buffered,
            "failpoints": failpoints.told(),
        }
        here = Path(__file__).resolve().parent
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-I", "-S", "-c", _BOOT, str(here.parent), str(here), json.dumps(options)],
            pass_fds=(*fds, *pass_fds),
            stdin=subprocess.DEVNULL,
        )
        for sock in theirs:
            sock.close()
        for sock in ours:
            sock.setblocking(False)
        return cls(process, ours, callbacks, asyncio.get_running_loop())

    def __repr__(self) -> str:
        return f"<ChildWriter pid={self._process.pid} backlog={self.backlog_bytes} over={self._over}>"

    @property
    def child_pid(self) -> int:
        """The process that writes."""
        return self._process.pid

    @property
    def snapshot_backlog_bytes(self) -> int:
        """See WriterHandle."""
        return self._snapshots.waiting_bytes

    # ---- the log

    def append(self, sequence: int, index: int, term: int, entry: bytes) -> None:
        """See WriterHandle."""
        self._operation(sequence, wal.append_header(sequence, index, term, len(entry)), entry)

    def truncate(self, sequence: int, first_removed_index: int) -> None:
        """See WriterHandle."""
        self._operation(sequence, wal.truncate_record(sequence, first_removed_index))

    def trim(self, sequence: int, index: int, term: int) -> None:
        """See WriterHandle."""
        self._operation(sequence, wal.trim_record(sequence, index, term))

    def reset(self, sequence: int, index: int, term: int) -> None:
        """See WriterHandle."""
        self._operation(sequence, wal.reset_record(sequence, index, term))

    def _operation(self, sequence: int, *parts: bytes) -> None:
        if self._over:
            return
        assert sequence > self._last_sequence, "sequences of operations grow"
        size = sum(map(len, parts))
        self._last_sequence = sequence
        self._parts += parts
        self._parts_bytes += size
        self.backlog_bytes += size
        self._schedule()

    # ---- the ballot

    def ballot(self, sequence: int, ballot: Ballot) -> None:
        """See WriterHandle."""
        if not self._over:
            self._newest_ballot = (sequence, encode_ballot(ballot))
            self._schedule()

    # ---- snapshots

    def snapshot_begin(self, snapshot_id: bytes, index: int, term: int) -> None:
        """See WriterHandle."""
        self._snapshot(frames.BEGIN, snapshot_id, frames.PLACE.pack(index, term))

    def snapshot_chunk(self, snapshot_id: bytes, chunk: bytes) -> None:
        """See WriterHandle."""
        self._snapshot(frames.CHUNK, snapshot_id, b"", chunk)

    def snapshot_receive(self, snapshot_id: bytes, index: int, term: int, offset: int, data: bytes) -> None:
        """See WriterHandle."""
        self._snapshot(frames.RECEIVE, snapshot_id, frames.OFFSET.pack(index, term, offset), data)

    def snapshot_commit(self, snapshot_id: bytes) -> None:
        """See WriterHandle."""
        self._snapshot(frames.COMMIT, snapshot_id)

    def snapshot_abort(self, snapshot_id: bytes) -> None:
        """See WriterHandle."""
        self._snapshot(frames.ABORT, snapshot_id)

    def snapshot_remove_before(self, index: int) -> None:
        """See WriterHandle."""
        self._snapshot(frames.REMOVE_BEFORE, b"", index.to_bytes(8))

    def _snapshot(self, verb: int, snapshot_id: bytes, fixed: bytes = b"", data: bytes = b"") -> None:
        if not self._over:
            body = frames.with_id(snapshot_id, fixed)
            self._snapshots.send([frames.header(verb, len(body) + len(data)) + body, data])

    # ---- sending

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """What this turn of the loop handed over leaves as one frame, and the newest ballot as one."""
        self._scheduled = False
        if self._over:
            return
        # ballots first: they are few, and a vote waits for them
        if self._newest_ballot is not None and not self._ballots.waiting_bytes:
            self._ballots.send([frames.frame(*self._newest_ballot)])
            self._newest_ballot = None
        if self._parts:
            parts, size = self._parts, self._parts_bytes
            self._parts, self._parts_bytes = [], 0
            self._handed_over.append((self._last_sequence, size))
            self._log.send([frames.header(self._last_sequence, size), *parts])

    # ---- hearing

    def _read(self, sock: socket.socket, reader: frames.FrameReader, heard: Callable[[int, bytes], None]) -> None:
        try:
            data = sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(f"hearing the journal's writer failed: {error.strerror}")
            return
        if not data:
            self._fail("the journal's writer ended")
            return
        for tag, body in reader.feed(data):
            if not self._over:
                heard(tag, body)

    def _heard_log(self, tag: int, body: bytes) -> None:
        if body:
            self._callbacks.on_space(body == b"\x01")
            return
        while self._handed_over and self._handed_over[0][0] <= tag:
            self.backlog_bytes -= self._handed_over.popleft()[1]
        self._callbacks.on_synced(tag)

    def _heard_ballot(self, tag: int, _: bytes) -> None:
        self._callbacks.on_ballot(tag)
        if self._newest_ballot is not None:
            self._schedule()

    def _heard_snapshot(self, tag: int, body: bytes) -> None:
        snapshot_id, rest = frames.split_id(body)
        if tag == frames.DONE:
            self._callbacks.on_snapshot(snapshot_id)
        else:
            self._callbacks.on_snapshot_refused(snapshot_id, rest.decode())

    # ---- the end

    def _fail(self, why: str) -> None:
        if self._over:
            return
        self._stop()
        for sock in self._sockets:
            sock.close()
        status = self._wait(_EXIT_WAIT_S)
        self.write_failed = status > 0
        if 0 < status < _EXIT_UNKNOWN:
            why = f"{why}: {os.strerror(status)}"
        elif status < 0:
            why = f"{why}: killed by signal {-status}"
        self._callbacks.on_failed(why)

    def close(self) -> bool:
        """See WriterHandle. Frames that the sockets have taken whole are written; then the child is gone."""
        if self._over:
            return False
        self._flush()
        self._stop()
        for sock in self._sockets:
            sock.shutdown(socket.SHUT_WR)  # not closed: its last completions must find somebody, or it ends too early
        status = self._wait(_CLOSE_WAIT_S)
        for sock in self._sockets:
            sock.close()
        self.write_failed = status > 0
        return status == 0

    def _stop(self) -> None:
        """Nothing is sent or heard any more."""
        self._over = True
        for outbox in (self._log, self._ballots, self._snapshots):
            outbox.close()
        for sock in self._sockets:
            self._loop.remove_reader(sock)

    def _wait(self, timeout_s: float) -> int:
        """The child has ended, by itself or killed; its status."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
