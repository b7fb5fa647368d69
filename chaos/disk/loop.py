"""ext4 on a loop device that loses power: an ioctl stops the file system, and what was not synced is gone.

Needs root, mkfs.ext4 and loop devices; `unavailable` says what is missing. Everything made here carries `PREFIX` and
the id of its process in its name, and is gone at the end of the `with`, at the exit of the process, or by `clean`.

Invariants
  D1  the journal of the file system is written back by nobody's timer (`commit=600`): what survives was synced
  D2  `cut` flushes nothing, not even that journal (NOLOGFLUSH); every later write and sync fails with EIO
  D3  `cut_all` opens everything first, so that what lies between the first and the last cut is the ioctls alone
  D4  nothing is done to a file system but the one of the image: where none is mounted, `opened` raises
Source: Linux, fs/ext4/ioctl.c, EXT4_IOC_SHUTDOWN; xfstests, src/godown.c.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "strongroom-power-"
IMAGE_BYTES: Final = 64 << 20
_SHUTDOWN: Final = 0x8004587D  # _IOR('X', 125, u32): the same number on ext4, XFS and f2fs
_NOLOGFLUSH: Final = struct.pack("I", 2)
# Processes of their own, which nothing of the load interrupts and none of which waits for another's file system.
_CUT: Final = """
import fcntl, os, struct, sys, time
fds = [os.open(root, os.O_RDONLY | os.O_DIRECTORY) for root in sys.argv[1:]]
if any(os.fstat(fd).st_dev == os.stat(os.path.dirname(root)).st_dev for fd, root in zip(fds, sys.argv[1:])):
    sys.exit("nothing is mounted there")
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
except OSError:
    pass
reading, writing = os.pipe()
begin = time.monotonic() + 0.01
for fd in fds:
    if os.fork() == 0:
        time.sleep(max(0.0, begin - time.monotonic()))
        fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))  # EXT4_IOC_SHUTDOWN, NOLOGFLUSH
        os.write(writing, b"%.6f " % (time.monotonic() - begin))
        os._exit(0)
codes = [os.wait()[1] for _ in fds]
print(max(map(float, os.read(reading, 4096).split())))
sys.exit(any(codes))
"""
_MOUNTS: Final = Path("/proc/self/mounts")
_UNMOUNT_S: Final = 10.0


class LoopDisk:
    """One file system. `root` is where it is mounted; it is mounted inside the `with` unless `unmount` was called."""

    def __init__(self, folder: Path, name: str = "disk", *, image_bytes: int = IMAGE_BYTES) -> None:
        stem = f"{PREFIX}{os.getpid()}-{name}"
        self.root = folder / stem
        self.image = folder / f"{stem}.image"
        self._image_bytes = image_bytes
        _open_disks.add(self)

    def __enter__(self) -> Self:
        self.format()
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def format(self) -> None:
        """The file system is empty. Not while it is mounted."""
        self.image.unlink(missing_ok=True)
        with self.image.open("wb") as file:
            file.truncate(self._image_bytes)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))

    def mount(self) -> None:
        """It is mounted at `root`; after a cut this replays the journal as any machine does when it starts again."""
        self.root.mkdir(mode=0o700, exist_ok=True)
        _run("mount", "-o", "loop,commit=600", str(self.image), str(self.root))
        self.root.chmod(0o700)

    def unmount(self) -> None:
        """It is not mounted. Whoever has a file open is waited for."""
        end = time.monotonic() + _UNMOUNT_S
        while _is_mounted(self.root):
            done = subprocess.run(["umount", str(self.root)], check=False, capture_output=True)  # noqa: S603, S607
            if done.returncode and time.monotonic() > end:
                raise OSError(f"umount: {done.stderr.decode(errors='replace').strip()}")
            if done.returncode:
                time.sleep(0.01)

    def opened(self) -> int:
        """Its root, open (D4). Raises OSError if it is not mounted: what is meant for it must not hit the machine."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if os.fstat(fd).st_dev == self.root.parent.stat().st_dev:
            os.close(fd)
            raise OSError(errno.ENODEV, "nothing is mounted there", str(self.root))
        return fd

    def cut(self) -> None:
        """The power is gone: nothing is written any more."""
        fd = self.opened()
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _NOLOGFLUSH)
        finally:
            os.close(fd)

    def again(self) -> None:
        """The machine starts again after a cut."""
        self.unmount()
        self.mount()

    def remove(self) -> None:
        """Nothing is left, whoever still has a file open."""
        if _is_mounted(self.root):
            subprocess.run(["umount", "-l", str(self.root)], check=False, capture_output=True)  # noqa: S603, S607
        with contextlib.suppress(OSError):
            self.root.rmdir()
        self.image.unlink(missing_ok=True)
        _open_disks.discard(self)


_open_disks: set[LoopDisk] = set()


@atexit.register
def _remove_all() -> None:
    for disk in list(_open_disks):
        disk.remove()


def cut_all(disks: Iterable[LoopDisk]) -> float:
    """All of them lose power at once; returns the seconds from the moment agreed on to the end of the last cut."""
    roots = [str(disk.root) for disk in disks]
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-I", "-S", "-c", _CUT, *roots], check=True, capture_output=True
    )
    return float(done.stdout)


@cache
def unavailable() -> str:
    """Why this machine cannot do it; empty if it can. Tried once, on a small file system."""
    if os.geteuid() != 0:
        return "not root"
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
    if missing:
        return f"no {missing[0]}"
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, LoopDisk(Path(folder), image_bytes=8 << 20) as disk:
            disk.cut()
            disk.unmount()
    except OSError as error:
        return str(error)
    return ""


def clean() -> list[str]:
    """What processes that are gone have left is gone, too; returns the mount points."""
    found = []
    for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
        root = Path(line.split()[1])
        if root.name.startswith(PREFIX) and not Path("/proc", root.name[len(PREFIX) :].partition("-")[0]).exists():
            subprocess.run(["umount", "-l", str(root)], check=False)  # noqa: S603, S607
            with contextlib.suppress(OSError):
                root.rmdir()
            root.with_name(f"{root.name}.image").unlink(missing_ok=True)
            found.append(str(root))
    return found


def _is_mounted(root: Path) -> bool:
    return any(line.split()[1] == str(root) for line in _MOUNTS.read_text(encoding="utf-8").splitlines())


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True)  # noqa: S603
    if done.returncode:
        raise OSError(f"{words[0]}: {done.stderr.decode(errors='replace').strip()}")
