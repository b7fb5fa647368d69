"""Disks around the product's own: one closes what a start leaves open, one ends the process at a chosen change."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from cluster.seams import SystemDisk, SystemFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cluster.seams import Disk, File

T = TypeVar("T")


class ClosingDisk(SystemDisk):
    """A start that fails leaves files open, because its process must end; in a test the process goes on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._files: list[ClosedOnce] = []

    def open(self, name: str, *, create: bool = False) -> SystemFile:
        file = ClosedOnce(super().open(name, create=create)._fd)
        self._files.append(file)
        return file

    def close(self) -> None:
        """No file is open."""
        for file in self._files:
            file.close()
        self._files.clear()


class ClosedOnce(SystemFile):
    """May be closed again."""

    def close(self) -> None:
        if self._fd >= 0:
            super().close()
            self._fd = -1


class CountingFile:
    """See CountingDisk."""

    def __init__(self, disk: CountingDisk, name: str, file: File) -> None:
        self._disk = disk
        self._name = name
        self._file = file

    def write_at(self, offset: int, parts: Iterable[bytes | bytearray | memoryview]) -> int:
        data = b"".join(parts)
        half = len(data) // 2
        return self._disk.around(
            "write",
            lambda: self._file.write_at(offset, [data]),
            lambda: self._file.write_at(offset, [data[:half]]),
        )

    def read_at(self, offset: int, count: int) -> bytes:
        return self._file.read_at(offset, count)

    def allocate(self, size: int) -> None:
        self._disk.around("allocate", lambda: self._file.allocate(size))

    def truncate(self, size: int) -> None:
        self._disk.around("truncate", lambda: self._file.truncate(size))

    def sync(self) -> None:
        self._disk.around("sync", self._file.sync)

    def size(self) -> int:
        return self._file.size()

    def close(self) -> None:
        self._file.close()


class CountingDisk:
    """Counts every change; at the one with number `at` it calls `stop`, which must not return.

    when: "before" the change, "after" it, or in the "middle": half of what is written stands in the file.
    """

    def __init__(
        self, disk: Disk, *, at: int = 0, when: str = "before", stop: Callable[[], None] | None = None
    ) -> None:
        self._disk = disk
        self._at = at
        self._when = when
        self._stop = stop
        self.kinds: list[str] = []  # of every change so far

    def around(self, kind: str, change: Callable[[], T], half: Callable[[], object] | None = None) -> T:
        """Do it, and end where the count says so."""
        self.kinds.append(kind)
        if self._stop is None or len(self.kinds) != self._at:
            return change()
        if self._when == "middle" and half is not None:
            half()
        elif self._when == "after":
            change()
        self._stop()
        raise AssertionError("the process went on")

    def open(self, name: str, *, create: bool = False) -> CountingFile:
        if not create:
            return CountingFile(self, name, self._disk.open(name))
        return CountingFile(self, name, self.around("create", lambda: self._disk.open(name, create=True)))

    def names(self, folder: str = "") -> list[str]:
        return self._disk.names(folder)

    def rename(self, old: str, new: str) -> None:
        self.around("rename", lambda: self._disk.rename(old, new))

    def remove(self, name: str) -> None:
        self.around("remove", lambda: self._disk.remove(name))

    def make_folder(self, folder: str) -> None:
        self.around("make_folder", lambda: self._disk.make_folder(folder))

    def sync_folder(self, folder: str = "") -> None:
        self.around("sync_folder", lambda: self._disk.sync_folder(folder))
