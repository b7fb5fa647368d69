"""The seams between Strongroom and the world: clock, randomness, disk.

Everything outside this file receives them at construction and calls no operating-system clock, random source
or file directly; that is what lets chaos/sim run the product's own code.
Invariant: `Clock.boot` never goes back and counts suspended time (CLOCK_BOOTTIME).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Clock(Protocol):
    """Two readings; nothing else in the product reads time."""

    def boot(self) -> float:
        """Seconds on a clock that never stops or goes back. Meaningful only inside this process."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since the epoch, as the operator set the machine. May jump."""
        ...


class Random(Protocol):
    """Unpredictable bytes, and a draw for election timeouts."""

    def bytes(self, count: int) -> bytes:
        """`count` bytes from the operating system."""
        ...

    def uniform(self) -> float:
        """A number in [0, 1)."""
        ...


class NoSpaceError(OSError):
    """The disk is full. Raised by `File.allocate` and where a file or folder is made, not inside allocated space."""


class File(Protocol):
    """One open file. Offsets and sizes are bytes. Any OSError of write or sync is final: never retry it."""

    def write_at(self, offset: int, parts: Iterable[bytes | bytearray | memoryview]) -> int:
        """All parts stand one after another from `offset`, in the page cache; returns their length."""
        ...

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; shorter only at the end of the file."""
        ...

    def allocate(self, size: int) -> None:
        """The file is at least `size` bytes long, the new part reads as zeros. Raises NoSpaceError."""
        ...

    def truncate(self, size: int) -> None:
        """The file is exactly `size` bytes long."""
        ...

    def sync(self) -> None:
        """Everything written so far is on stable storage."""
        ...

    def size(self) -> int:
        """Current length."""
        ...

    def close(self) -> None:
        """The file is closed; nothing is implied about stable storage."""
        ...


class Disk(Protocol):
    """One folder. Names are relative and hold no separator beyond one sub-folder."""

    def open(self, name: str, *, create: bool = False) -> File:
        """An open file; raises FileNotFoundError unless it exists or `create`. New files have mode 0600."""
        ...

    def names(self, folder: str = "") -> list[str]:
        """Sorted names of the files in `folder` (empty list if it does not exist)."""
        ...

    def rename(self, old: str, new: str) -> None:
        """`new` names what `old` named; durable after `sync_folder`."""
        ...

    def remove(self, name: str) -> None:
        """The name is gone; no error if it was."""
        ...

    def make_folder(self, folder: str) -> None:
        """The sub-folder exists, mode 0700."""
        ...

    def sync_folder(self, folder: str = "") -> None:
        """Creations, renames and removals in `folder` are on stable storage."""
        ...


class SystemClock:
    """The machine's clocks."""

    def boot(self) -> float:
        """See Clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        """See Clock."""
        return time.time_ns()


class SystemRandom:
    """The operating system's generator, never a counter or a seed."""

    _source = secrets.SystemRandom()

    def bytes(self, count: int) -> bytes:
        """See Random."""
        return os.urandom(count)

    def uniform(self) -> float:
        """See Random."""
        return self._source.random()


def system_boot_id() -> str:
    """The kernel's name for the time since it started; empty where it has none. A page cache is of one boot."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - this file imports os alone
            return file.read().strip()
    except OSError:
        return ""


class SystemFile:
    """A file descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write_at(self, offset: int, parts: Iterable[bytes | bytearray | memoryview]) -> int:
        """See File."""
        data = b"".join(parts)
        view = memoryview(data)
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, view[done:], offset + done)
        return len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        """See File."""
        parts = []
        while count > 0 and (part := os.pread(self._fd, min(count, 1 << 24), offset)):
            parts.append(part)
            offset += len(part)
            count -= len(part)
        return b"".join(parts)

    def allocate(self, size: int) -> None:
        """See File."""
        have = os.fstat(self._fd).st_size
        if have >= size:
            return
        with _saying_no_space():
            os.posix_fallocate(self._fd, have, size - have)

    def truncate(self, size: int) -> None:
        """See File."""
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        """See File."""
        os.fdatasync(self._fd)

    def size(self) -> int:
        """See File."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """See File."""
        os.close(self._fd)


@contextlib.contextmanager
def _saying_no_space() -> Iterator[None]:
    """What the system says of a full disk is NoSpaceError."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:  # EFBIG: the limit on this process's files
            raise NoSpaceError(error.errno, "no space left for the journal") from error
        raise


class SystemDisk:
    """A folder of the file system. Created with mode 0700 if it does not exist."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self, name: str, *, create: bool = False) -> SystemFile:
        """See Disk."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
        with _saying_no_space():
            return SystemFile(os.open(self._root / name, flags, 0o600))

    def names(self, folder: str = "") -> list[str]:
        """See Disk."""
        path = self._root / folder
        return sorted(p.name for p in path.iterdir() if p.is_file()) if path.is_dir() else []

    def rename(self, old: str, new: str) -> None:
        """See Disk."""
        (self._root / old).rename(self._root / new)

    def remove(self, name: str) -> None:
        """See Disk."""
        (self._root / name).unlink(missing_ok=True)

    def make_folder(self, folder: str) -> None:
        """See Disk."""
        with _saying_no_space():
            (self._root / folder).mkdir(mode=0o700, exist_ok=True)

    def sync_folder(self, folder: str = "") -> None:
        """See Disk."""
        fd = os.open(self._root / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class ReadingFile(SystemFile):
    """A file that was opened for reading: the system refuses what would change it, and there is nothing to sync."""

    def sync(self) -> None:
        """Nothing was written."""


class ReadingDisk(SystemDisk):
    """A folder that is only read, and need not be writable: what would change it raises OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def open(self, name: str, *, create: bool = False) -> ReadingFile:
        """See Disk."""
        if create:
            raise _read_only(name)
        path = self._root / name
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would be waited for
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return ReadingFile(fd)

    def rename(self, old: str, new: str) -> None:
        """Refused."""
        raise _read_only(f"{old}, {new}")

    def remove(self, name: str) -> None:
        """Refused."""
        raise _read_only(name)

    def make_folder(self, folder: str) -> None:
        """Refused."""
        raise _read_only(folder)

    def sync_folder(self, folder: str = "") -> None:
        """Nothing was written."""


def _read_only(name: str) -> OSError:
    return OSError(errno.EROFS, "the folder is only read", name)
