"""One node's disk: an ext4 of its own (chaos/disk) that loses power, fails, fills up and stands still.

The data folder is `data`, below the root of the file system, so that what faults put beside it is no business of the
node's. Invariants
  K1  mount and image stand in the ledger before they are made, and `remove` leaves neither
  K2  a file system that stands still is let go before anything waits for it: what hangs in it cannot even be killed
Source: Linux, fs/ioctl.c (FIFREEZE, FITHAW); fs/ext4/ioctl.c (EXT4_IOC_SHUTDOWN).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from chaos.disk.loop import LoopDisk
from chaos.ledger import thaw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.ledger import Ledger

FREEZE: Final = 0xC0045877  # _IOWR('X', 119, int)
BLOCK_BYTES: Final = 4096
CHUNK_BYTES: Final = 8 << 20  # of the filler, halved whenever so much is not left
PROBE_S: Final = 10.0


class NodeDisk(LoopDisk):
    """See the module's paragraph. Mounted from `made` to `remove`, but while a machine without power is played."""

    @classmethod
    def made(cls, folder: Path, node: str, ledger: Ledger) -> NodeDisk:
        """Empty, mounted, with an empty data folder on stable storage (K1)."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk = cls(folder, node)
        ledger.note("mounts", str(disk.root))
        ledger.note("files", str(disk.image))
        disk.format()
        disk.mount()
        disk.data.mkdir(mode=0o700)
        sync(disk.root)
        return disk

    @property
    def data(self) -> Path:
        """Where the node's data lies."""
        return self.root / "data"

    @property
    def fails(self) -> bool:
        """Writing and syncing a file gives EIO: it has no power, or is broken."""
        try:
            self._probe()
        except OSError as error:
            return error.errno == errno.EIO
        return False

    @contextlib.contextmanager
    def _file(self, name: str) -> Iterator[int]:
        """That file beside the data, open for writing; on this disk or nowhere."""
        root = self.opened()
        try:
            fd = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=root)
        finally:
            os.close(root)
        try:
            yield fd
        finally:
            os.close(fd)

    def _probe(self) -> None:
        with self._file("probe") as fd:
            os.write(fd, b"probe")
            os.fsync(fd)

    # ---- full
    def fill(self) -> int:
        """No block is free; how many bytes that took. Again: what has become free since is taken, too."""
        with self._file("filler") as fd:
            began = end = os.fstat(fd).st_size
            chunk = CHUNK_BYTES
            while chunk >= BLOCK_BYTES:
                try:
                    os.posix_fallocate(fd, end, chunk)
                    end += chunk
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    end = os.fstat(fd).st_size
                    chunk //= 2
            return end - began

    @property
    def is_full(self) -> bool:
        """A file of one block more cannot be written."""
        try:
            with self._file("room") as fd:
                os.posix_fallocate(fd, 0, BLOCK_BYTES)
        except OSError as error:
            return error.errno == errno.ENOSPC
        finally:
            (self.root / "room").unlink(missing_ok=True)
        return False

    def make_room(self) -> None:
        """What `fill` took is free again, and stays so when the disk loses power."""
        (self.root / "filler").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it may have failed meanwhile
            sync(self.root)

    # ---- standing still
    def freeze(self) -> None:
        """Whatever writes or syncs waits; what was written is on stable storage. Nothing if it stands still already."""
        fd = self.opened()
        try:
            fcntl.ioctl(fd, FREEZE, 0)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        finally:
            os.close(fd)

    def thaw(self) -> None:
        """It goes on; nothing if it did."""
        thaw(str(self.root))

    def stall_s(self, pause_s: float) -> float:
        """It stood still for so long; how long a write that began meanwhile took, as whoever wrote felt it."""
        felt_s: list[float] = []

        def write() -> None:
            began_s = time.monotonic()
            with contextlib.suppress(OSError):
                self._probe()
                felt_s.append(time.monotonic() - began_s)

        self.freeze()
        writer = threading.Thread(target=write, name="probe", daemon=True)
        try:
            writer.start()
            time.sleep(pause_s)
        finally:
            self.thaw()
        writer.join(PROBE_S)
        return felt_s[0] if felt_s else 0.0

    def again(self) -> None:
        """The machine starts again, or the disk was replaced: mounted afresh, what was synced is there."""
        self.thaw()
        super().again()

    def remove(self) -> None:
        """K1, K2."""
        with contextlib.suppress(OSError):
            self.thaw()
        super().remove()


def sync(path: Path) -> None:
    """That file, or the names in that folder, are on stable storage."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(folder: Path) -> None:
    """Everything below it is on stable storage."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            sync(path)
