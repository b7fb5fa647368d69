"""The child process that writes a node's journal.

Three sockets, a thread each, so that the ballot and snapshots never queue behind entries. Everything that has arrived
on the log's socket becomes one batch and one sync. It exists so that a slow sync costs neither the node's loop nor its
leases. Any error ends the process at once, without a completion; the parent sees the end of the stream and ends too.
It lives no longer than its parent: the kernel kills it, and the end of a stream ends it. What is done on each stream
is in duties.py; here are the sockets, the threads and the process.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .. import failpoints, seams
from . import frames
from .ballot_file import BallotWriter
from .duties import IDLE_S, SPACE_RETRY_S, Duty, Frames, Receive, Rest, ballot_duty, log_duty, snapshot_duty
from .snapshot_desk import SnapshotDesk
from .writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable

_RECEIVE_BYTES: Final = 1 << 20
_BATCH_BYTES: Final = 16 << 20  # more than this is left for the next batch: a batch is one piece of memory
_PR_SET_PDEATHSIG: Final = 1


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
    """See duties.log_duty."""
    _serve(sock, log_duty(writer, sock.sendall, buffered=buffered, idle_s=idle_s, space_retry_s=space_retry_s))


def serve_ballot(
    sock: socket.socket, writer: BallotWriter, *, idle_s: float = IDLE_S, space_retry_s: float = SPACE_RETRY_S
) -> None:
    """See duties.ballot_duty."""
    _serve(sock, ballot_duty(writer, sock.sendall, idle_s=idle_s, space_retry_s=space_retry_s))


def serve_snapshots(sock: socket.socket, desk: SnapshotDesk) -> None:
    """See duties.snapshot_duty."""
    _serve(sock, snapshot_duty(desk, sock.sendall))


def _serve(sock: socket.socket, duty: Duty) -> None:
    """The duty is done over the socket, until its stream ends."""
    inbox = Inbox(sock)
    arrived: Frames | None = None
    while True:
        try:
            step = duty.send(arrived)
        except StopIteration:
            return
        arrived = []
        if isinstance(step, Receive):
            arrived = inbox.receive(step.timeout_s)
        elif isinstance(step, Rest):
            select.select([], [], [], step.time_s)


# ---- the process


def main(options_json: str) -> None:
    """Run until the parent ends or closes; never returns."""
    options: dict[str, Any] = json.loads(options_json)
    failpoints.arm_failpoints("dev", {failpoints.VARIABLE: options["failpoints"]})  # the parent has judged the profile
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
