"""The child process that writes a node's journal.

Three sockets, a thread each, so that the ballot and snapshots never queue behind entries. Everything that has arrived
on the log's socket becomes one batch and one sync. It exists so that a slow sync costs neither the node's loop nor its
leases. Any error ends the process at once, without a completion; the parent sees the end of the stream and ends too.
It lives no longer than its parent: the kernel kills it, and the end of a stream ends it.

Imports the standard library and its own room only; started by parent.py with `python -I -S`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import seams
from ..errors import FatalError
from . import frames
from .ballot_file import BallotWriter
from .snapshot_desk import SnapshotDesk
from .writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_S: Final = 0.2  # the log has fallen idle when nothing came for so long
SPACE_RETRY_S: Final = 1.0
_RECEIVE_BYTES: Final = 1 << 20
_BATCH_BYTES: Final = 16 << 20  # more than this is left for the next batch: a batch is one piece of memory
_PR_SET_PDEATHSIG: Final = 1

Frames = list[tuple[int, bytes]]


class Inbox:
    """The frames of one socket; `receive` returns everything that has arrived."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._reader = frames.FrameReader()
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def receive(self, timeout_s: float | None = None) -> Frames | None:
        """Complete frames, waiting for the first bytes; [] when the time is over or none is whole, None at the end."""
        if not self._poll.poll(None if timeout_s is None else timeout_s * 1000):
            return []
        arrived: Frames = []
        size = 0
        while size < _BATCH_BYTES:
            try:
                data = self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT if size else 0)
            except BlockingIOError:
                break
            if not data:
                return arrived or None  # the end is found again by the next call
            size += len(data)
            arrived += self._reader.feed(data)
        return arrived


def serve_log(
    sock: socket.socket,
    writer: LogWriter,
    *,
    buffered: bool = False,
    idle_s: float = IDLE_S,
    space_retry_s: float = SPACE_RETRY_S,
) -> None:
    """Write, sync, report, until the stream ends. `buffered`: reported when written, synced right afterwards."""
    inbox = Inbox(sock)
    space = _Space(sock)
    quiet = False
    space.ask(writer.tidy)
    while True:
        timeout_s = space_retry_s if not space.there else None if quiet else idle_s
        arrived = inbox.receive(timeout_s)
        if arrived is None:
            break
        if arrived:
            sequence = arrived[-1][0]
            write = partial(writer.write, [body for _, body in arrived], sequence)
            while not space.ask(write):
                select.select([], [], [], space_retry_s)
            if buffered:
                sock.sendall(frames.frame(sequence))
                writer.sync()
            else:
                sock.sendall(frames.frame(writer.sync()))
            quiet = False
            space.ask(writer.tidy)
        elif not space.there:
            space.ask(writer.tidy)
        else:
            quiet = True
            space.ask(writer.idle)
    space.ask(writer.idle)
    writer.close()


class _Space:
    """Whether the disk has room, as far as the parent was told."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.there = True

    def ask(self, action: Callable[[], Any]) -> bool:
        """The action was done; False if there was no space for it. The parent hears of each change."""
        try:
            action()
        except seams.NoSpaceError:
            there = False
        else:
            there = True
        if there != self.there:
            self.there = there
            self._socket.sendall(frames.frame(0, bytes((there,))))
        return there


def serve_ballot(
    sock: socket.socket, writer: BallotWriter, *, idle_s: float = IDLE_S, space_retry_s: float = SPACE_RETRY_S
) -> None:
    """Write the newest ballot that has arrived, sync, report, until the stream ends."""
    inbox = Inbox(sock)
    quiet = True
    while (arrived := inbox.receive(None if quiet else idle_s)) is not None:
        if not arrived:
            writer.idle()
            quiet = True
            continue
        while True:
            try:
                writer.write(*arrived[-1])
                break
            except seams.NoSpaceError:  # only before the file exists: this node has said nothing to anybody yet
                select.select([], [], [], space_retry_s)
        sock.sendall(frames.frame(writer.sync()))
        quiet = False
    writer.idle()
    writer.close()


def serve_snapshots(sock: socket.socket, desk: SnapshotDesk) -> None:
    """Do what the snapshot messages say, in their order, and report each end, until the stream ends."""
    inbox = Inbox(sock)
    while (arrived := inbox.receive()) is not None:
        for verb, body in arrived:
            snapshot_id, rest = frames.split_id(body)
            refused = _snapshot_verb(desk, verb, snapshot_id, rest)
            if refused is not None:
                sock.sendall(frames.frame(frames.REFUSED, frames.with_id(snapshot_id, refused.encode())))
            elif verb == frames.COMMIT:
                sock.sendall(frames.frame(frames.DONE, frames.with_id(snapshot_id)))


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


# ---- the process


def main(options_json: str) -> None:
    """Run until the parent ends or closes; never returns."""
    options: dict[str, Any] = json.loads(options_json)
    _die_with(options["parent"])
    log, ballot, snapshot = (socket.socket(fileno=fd) for fd in options["fds"])
    disk = seams.SystemDisk(Path(options["root"]))
    others = [
        _thread(lambda: serve_ballot(ballot, BallotWriter(disk))),
        _thread(lambda: serve_snapshots(snapshot, SnapshotDesk(disk))),
    ]
    _run(lambda: _log(log, disk, options))
    for thread in others:
        thread.join()
    os._exit(0)


def _log(sock: socket.socket, disk: seams.Disk, options: dict[str, Any]) -> None:
    if options["start"] is None:  # no log on disk: only the ballot and what is asked for is written
        while Inbox(sock).receive() is not None:
            pass
        return
    writer = LogWriter(disk, segment_bytes=options["segment_bytes"], start=options["start"])
    serve_log(sock, writer, buffered=options["buffered"])


def _die_with(parent: int) -> None:
    """The kernel kills this process when its parent ends; signals to the whole group are the parent's to answer."""
    import ctypes

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the line above
        os._exit(0)


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=_run, args=(work,), daemon=True)
    thread.start()
    return thread


def _run(work: Callable[[], None]) -> None:
    """Do the work; any error ends the process at once with its number, whatever the other threads do."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - whatever it is, nothing may be completed after it
        number = error.errno if isinstance(error, OSError) else None
        if number is None:
            print(f"journal writer: {type(error).__name__}", file=sys.stderr, flush=True)  # noqa: T201 - last words
        os._exit(number or 255)
