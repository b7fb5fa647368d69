"""Lines of a device in a file.

A shell: everything here may block and runs in the device's writer thread, never in the loop.
Invariants
  S1  a file is opened step by step from the directory, following no link below it; it is a regular file of our own
      user, and no other open device has it (advisory lock), because two writers would fork the chain
  S2  bytes are only ever added
  S3  with the option fdatasync, bytes are written when the disk has them; a file whose sync failed is opened anew,
      because what it then holds can be read, and what the disk holds cannot be known
Source: openat(2), "O_NOFOLLOW"; docs/threat-model.md, audit.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import failpoint

from .chain import Head, last_line
from .sink import Opened, Rotated, SinkError, Written, write_all

if TYPE_CHECKING:
    from pathlib import PurePath

    from .options import DeviceOptions

FOLDER_MODE = 0o700
TAIL_BYTES = 1 << 18
TAIL_BYTES_MAX = 1 << 28  # a line is bounded by the body it tells of: no whole line in this much is damage


class FileSink:
    """A file below the directory for audit files."""

    def __init__(self, directory: PurePath, options: DeviceOptions, node: str, device: str) -> None:
        self._directory = directory
        self._options = options
        self._who = (node, device)
        self._fd = -1

    def open(self) -> Opened:
        """See Sink."""
        self.close()  # it was broken
        fd = self._open()
        try:
            opened = self._take(fd)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        return opened

    def write(self, data: bytes) -> Written:
        """See Sink."""
        failpoint("audit.before-write")
        written = write_all(self._fd, data)
        failpoint("audit.after-write")
        if self._options.fdatasync:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                return Written(0, error, is_broken=True)  # S3
        return written

    def rotate(self, unfinished: bytes) -> Rotated | None:
        """See Sink."""
        fd = self._open()
        try:
            if os.path.sameopenfile(fd, self._fd):
                os.close(fd)
                return None
            opened = self._take(fd)
            finished = write_all(self._fd, unfinished).bytes
            if self._options.fdatasync:
                with contextlib.suppress(OSError):  # nobody was answered for the line that was finished now
                    os.fdatasync(self._fd)
            old = self._name_now()
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        return Rotated(opened, finished, old)

    def close(self) -> None:
        """See Sink."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> int:
        """A descriptor of the path; S1 but for the lock. Raises SinkError."""
        try:
            options = self._options
            return open_below(self._directory, options.parts, options.mode, sync=options.fdatasync)
        except SinkError:
            raise
        except OSError as error:
            raise self._refusal(error.strerror or "it cannot be opened") from None

    def _take(self, fd: int) -> Opened:
        """The file is ours, and its end is read. Raises SinkError."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(fd).st_size
            return Opened() if size == 0 else self._end_of(fd, size)
        except BlockingIOError:
            raise self._refusal("another audit device has it open") from None
        except SinkError:
            raise
        except OSError as error:
            raise self._refusal(error.strerror or "it cannot be read") from None

    def _end_of(self, fd: int, size: int) -> Opened:
        count = TAIL_BYTES
        while True:
            tail = os.pread(fd, count, max(size - count, 0))
            found = last_line(tail)
            if found is not None or count >= size or count >= TAIL_BYTES_MAX:
                break
            count *= 4
        if found is None:
            if b"\n" in tail:
                raise self._refusal("it holds lines that are not of this device: move it away")
            return Opened(torn=tail)  # the first line of the file was never finished
        line, torn = found
        if (line.node, line.device) != self._who:
            raise self._refusal("it belongs to another node or device: move it away")
        return Opened(Head(line.sequence, line.mac, self._options.file), torn)

    def _name_now(self) -> str:
        """What the open file is called after somebody renamed it; its first name if it is nowhere in its folder."""
        status = os.fstat(self._fd)
        folder = self._options.parts[:-1]
        # The name is for people: the head is what ties the files together, so an unreadable folder is no failure.
        with contextlib.suppress(OSError), os.scandir(self._directory.joinpath(*folder)) as entries:
            for entry in entries:
                if entry.inode() == status.st_ino:
                    return "/".join((*folder, entry.name))
        return self._options.file

    def _refusal(self, why: str) -> SinkError:
        return SinkError(f'sanity check failed; unable to open "{self._options.target}" for writing: {why}')


def open_below(directory: PurePath, parts: tuple[str, ...], mode: int | None, *, sync: bool = False) -> int:
    """A descriptor for adding to the file, made with its missing folders. Raises OSError for whatever S1 forbids.

    `sync`: the name of a new file is on the disk, too.
    `directory` is the operator's and may be reached through links; below it none is followed. It is made if missing,
    the folder it lies in is not: a path with a slip of the pen should fail.
    """
    with contextlib.suppress(FileExistsError):
        Path(directory).mkdir(FOLDER_MODE)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            folder, above = _step(folder, part), folder
            os.close(above)
        # O_NONBLOCK: opening a named pipe must fail, not wait for a reader.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(parts[-1], flags, 0o600 if mode is None else mode, dir_fd=folder)
        if sync:
            os.fsync(folder)
    finally:
        os.close(folder)
    try:
        _check_file(fd, mode)
    except OSError:
        os.close(fd)
        raise
    return fd


def _check_file(fd: int, mode: int | None) -> None:
    """A regular file of our own user, with the mode. Raises OSError."""
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if status.st_uid != os.geteuid():
        raise OSError(errno.EPERM, "the file belongs to another user")
    if mode is not None and stat.S_IMODE(status.st_mode) != mode:
        os.fchmod(fd, mode)


def _step(folder: int, name: str) -> int:
    """A descriptor of the sub-folder, made if missing; its owner must be our user or root."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, FOLDER_MODE, dir_fd=folder)
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    if os.fstat(fd).st_uid not in {os.geteuid(), 0}:
        os.close(fd)
        raise OSError(errno.EPERM, "a folder belongs to another user")
    return fd
