"""A disk that can lose power: a `seams.Disk` whose page cache and platter are apart. Deterministic, without latency.

What a process reads is the page cache; what survives is the platter. The model is harsher than any one file system:
    power_loss   of the pages and names not synced, none, all, a prefix in time, or any subset survive; of one page,
                 each version that was ever in the cache may be the one that survives, or the beginning of it
    kill         the process is gone, its open files with it; the page cache stays
    fail_next_sync  the pages become clean without having been written: a later sync, of a later life too, returns
                 success and writes nothing; `drop_clean_pages` makes the kernel forget them
    corrupt      a bit turns at rest
    space_bytes  a bound on the sizes of all files: `allocate` beyond it raises NoSpaceError

Areas not modelled: latency (the simulator schedules it), hard links, folders in folders, a page cache that writes back
by itself between two calls (a power loss that keeps everything is the same), a disk that lies about its syncs.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cluster.seams import NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

PAGE_BYTES: Final = 4096
SECTOR_BYTES: Final = 512


@dataclass(slots=True)
class Change:
    """One change of a file that is not on the platter: a page's new content, or (page None) a new size."""

    page: int | None
    content: bytes
    size: int


@dataclass(slots=True)
class Content:
    """A file without its name. Invariant: platter + pending, all applied = cache, unless a sync has failed.

    Zeros at the end of a file are its size alone: `cache` and `platter` go as far as something was written.
    """

    cache: bytearray = field(default_factory=bytearray)
    size: int = 0
    platter: bytearray = field(default_factory=bytearray)
    platter_size: int = 0
    pending: list[Change] = field(default_factory=list)

    def read(self, offset: int, count: int) -> bytes:
        """As the process sees it."""
        data = bytes(self.cache[offset : offset + count])
        missing = min(count, self.size - offset) - len(data)
        return data + bytes(missing) if missing > 0 else data

    def write(self, offset: int, data: bytes) -> None:
        """As the process does it."""
        cache = self.cache
        if offset > len(cache):
            cache.extend(bytes(offset - len(cache)))
        cache[offset : offset + len(data)] = data
        self.size = max(self.size, offset + len(data))

    def resize(self, size: int) -> None:
        """As the process does it."""
        del self.cache[size:]
        self.size = size

    def page(self, page: int) -> bytes:
        """A page as the process sees it."""
        return self.read(page * PAGE_BYTES, PAGE_BYTES)

    def land(self, change: Change, sectors: int | None = None) -> None:
        """The change is on the platter, or only its first sectors."""
        platter = self.platter
        if change.page is None:
            del platter[change.size :]
            self.platter_size = change.size
            return
        start = change.page * PAGE_BYTES
        content = change.content if sectors is None else change.content[: sectors * SECTOR_BYTES]
        if start > len(platter):
            platter.extend(bytes(start - len(platter)))
        platter[start : start + len(content)] = content
        self.platter_size = max(self.platter_size, start + len(content))

    def forget_clean_pages(self) -> None:
        """Every page that is held for written is read from the platter again."""
        dirty = {change.page for change in self.pending}
        for page in range(-(-self.size // PAGE_BYTES)):
            if page not in dirty:
                start = page * PAGE_BYTES
                count = min(PAGE_BYTES, self.size - start)
                self.write(start, bytes(self.platter[start : start + count]).ljust(count, b"\0"))

    def turn(self, offset: int, mask: int) -> None:
        """Bits of one byte turn at rest, in the cache and on the platter."""
        self.write(offset, bytes((self.read(offset, 1)[0] ^ mask,)))
        if offset < self.platter_size:
            self.platter.extend(bytes(max(0, offset + 1 - len(self.platter))))
            self.platter[offset] = self.cache[offset]
        for change in self.pending:
            if change.page == offset // PAGE_BYTES:
                change.content = self.page(change.page)


@dataclass(slots=True)
class Naming:
    """One change of a folder that is not on the platter: `old` is gone, `new` names `content`."""

    old: str | None
    new: str | None
    content: Content | None

    def apply(self, names: dict[str, Content]) -> None:
        """The change has happened to these names."""
        if self.old is not None:
            names.pop(self.old, None)
        if self.new is not None and self.content is not None:
            names[self.new] = self.content


class SimFile:
    """An open file of one life; after `kill` or `power_loss` every call fails."""

    def __init__(self, disk: SimDisk, content: Content) -> None:
        self._disk = disk
        self._life = disk.life
        self._content = content
        self._open = True

    def write_at(self, offset: int, parts: Iterable[bytes | bytearray | memoryview]) -> int:
        """See seams.File."""
        self._begin("write")
        data = b"".join(parts)
        if self._disk.write_error is not None:
            number, self._disk.write_error = self._disk.write_error, None
            raise OSError(number, "a write failed")
        if not data:
            return 0
        content = self._content
        grown = offset + len(data) - content.size
        if grown > 0:
            self._disk.charge(grown, OSError(errno.ENOSPC, "no space left"))
        content.write(offset, data)
        for page in range(offset // PAGE_BYTES, -(-(offset + len(data)) // PAGE_BYTES)):
            content.pending.append(Change(page, content.page(page), 0))
        return len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        """See seams.File."""
        self._check()
        return self._content.read(offset, count)

    def allocate(self, size: int) -> None:
        """See seams.File."""
        self._begin("allocate")
        grown = size - self._content.size
        if grown > 0:
            self._disk.charge(grown, NoSpaceError(errno.ENOSPC, "no space left"))
            self._resize(size)

    def truncate(self, size: int) -> None:
        """See seams.File."""
        self._begin("truncate")
        self._resize(size)

    def sync(self) -> None:
        """See seams.File."""
        self._begin("sync")
        content = self._content
        if self._disk.sync_error is not None:
            number, self._disk.sync_error = self._disk.sync_error, None
            content.pending = [change for change in content.pending if change.page is None]
            raise OSError(number, "a sync failed")
        for change in content.pending:
            content.land(change)
        content.pending.clear()

    def size(self) -> int:
        """See seams.File."""
        self._check()
        return self._content.size

    def close(self) -> None:
        """See seams.File."""
        self._check()
        self._open = False

    def _resize(self, size: int) -> None:
        self._content.resize(size)
        self._content.pending.append(Change(None, b"", size))

    def _begin(self, operation: str) -> None:
        self._check()
        self._disk.begin(operation)

    def _check(self) -> None:
        if self._life != self._disk.life or not self._open:
            raise OSError(errno.EBADF, "the file belongs to an earlier life or is closed")


class SimDisk:
    """A seams.Disk. `on_operation` is called before each change and may raise, which is how a test crashes in between.

    `life` counts lives; `operations` counts changes asked for.
    """

    def __init__(self, *, space_bytes: int | None = None) -> None:
        self.space_bytes = space_bytes
        self.life = 0
        self.operations = 0
        self.on_operation: Callable[[str], None] = lambda _operation: None
        self.sync_error: int | None = None
        self.write_error: int | None = None
        self.slow_until_s = 0.0  # for whoever schedules its syncs: until then one takes slow_s
        self.slow_s = 0.0
        self._names: dict[str, Content] = {}
        self._platter: dict[str, Content] = {}
        self._pending: list[Naming] = []
        self._folders = {""}

    # ---- seams.Disk

    def open(self, name: str, *, create: bool = False) -> SimFile:
        """See seams.Disk."""
        content = self._names.get(name)
        if content is None:
            if not create or _folder(name) not in self._folders:
                raise FileNotFoundError(errno.ENOENT, "no such file", name)
            self.begin("create")
            content = Content()
            self._change(Naming(None, name, content))
        return SimFile(self, content)

    def names(self, folder: str = "") -> list[str]:
        """See seams.Disk."""
        return sorted(name.rpartition("/")[2] for name in self._names if _folder(name) == folder)

    def rename(self, old: str, new: str) -> None:
        """See seams.Disk. Within one folder only."""
        assert _folder(old) == _folder(new), "a rename stays in its folder"
        if old not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", old)
        self.begin("rename")
        self._change(Naming(old, new, self._names[old]))

    def remove(self, name: str) -> None:
        """See seams.Disk."""
        self.begin("remove")
        if name in self._names:
            self._change(Naming(name, None, None))

    def make_folder(self, folder: str) -> None:
        """See seams.Disk. Durable at once: an empty folder tells nothing."""
        self._folders.add(folder)

    def sync_folder(self, folder: str = "") -> None:
        """See seams.Disk."""
        self.begin("sync_folder")
        kept = []
        for change in self._pending:
            if _folder(change.old or change.new or "") == folder:
                change.apply(self._platter)
            else:
                kept.append(change)
        self._pending = kept

    # ---- faults

    def kill(self) -> None:
        """The process is gone: its open files are stale, what it wrote stays in the page cache."""
        self.life += 1

    def power_loss(self, rng: Random) -> None:
        """What is left is the platter, and what of the rest the draw lets survive."""
        self.life += 1
        self.sync_error = self.write_error = None
        for change in _survivors(rng, self._pending):
            change.apply(self._platter)
        self._pending.clear()
        for content in {id(content): content for content in (*self._names.values(), *self._platter.values())}.values():
            _settle(rng, content)
        self._names = dict(self._platter)

    def fail_next_sync(self, number: int = errno.EIO) -> None:
        """The next sync of any file raises, and its pages are clean without having been written."""
        self.sync_error = number

    def fail_next_write(self, number: int = errno.EIO) -> None:
        """The next write of any file raises and changes nothing."""
        self.write_error = number

    def drop_clean_pages(self) -> None:
        """The kernel forgets every page that it holds for written: a later read asks the platter."""
        for content in self._names.values():
            content.forget_clean_pages()

    def corrupt(self, name: str, offset: int, mask: int = 1) -> None:
        """Bits of one byte turn at rest, and whoever reads the file sees it."""
        self._names[name].turn(offset, mask)

    def lose(self, name: str) -> None:
        """A file is gone at rest, name and all."""
        self._names.pop(name)
        self._platter.pop(name, None)
        self._pending = [change for change in self._pending if name not in {change.old, change.new}]

    def finds(self, data: bytes) -> str | None:
        """The name of a file on whose platter, or in whose pages, the bytes stand; files without a name count too."""
        for names in (self._names, self._platter):
            for name, content in names.items():
                if data in content.platter or data in content.cache:
                    return name
        return None

    # ---- for SimFile

    def begin(self, operation: str) -> None:
        """A change is about to happen."""
        self.operations += 1
        self.on_operation(operation)

    @property
    def used_bytes(self) -> int:
        """The sizes of all files."""
        return sum(content.size for content in self._names.values())

    def charge(self, grown: int, error: OSError) -> None:
        """There is room for `grown` more bytes; raises the error if not."""
        if self.space_bytes is not None and grown + self.used_bytes > self.space_bytes:
            raise error

    def _change(self, change: Naming) -> None:
        change.apply(self._names)
        self._pending.append(change)


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _survivors(rng: Random, changes: list[Naming]) -> list[Naming]:
    """None, all, a prefix, or any subset."""
    draw = rng.randrange(4)
    if draw == 0:
        return []
    if draw == 1:
        return list(changes)
    if draw == 2:
        return changes[: rng.randint(0, len(changes))]
    return [change for change in changes if rng.random() < 0.5]


def _settle(rng: Random, content: Content) -> None:
    """The file is what its platter holds after a power loss.

    Of one page's versions a later one holds the earlier ones, so of each page a prefix of its versions survives.
    """
    draw = rng.randrange(4)
    pending = content.pending
    if draw == 1:
        pending = pending[: rng.randint(0, len(pending))]
    if draw != 0:
        versions: dict[int | None, int] = {}
        for change in pending:
            versions[change.page] = versions.get(change.page, 0) + 1
        if draw == 3:
            versions = {page: rng.randint(0, count) for page, count in versions.items()}
        for change in pending:
            left = versions[change.page]
            versions[change.page] = left - 1
            if left > 0:
                content.land(change)
            elif left == 0 and change.page is not None and draw == 3 and rng.random() < 0.5:
                content.land(change, sectors=rng.randint(1, PAGE_BYTES // SECTOR_BYTES - 1))
    content.pending = []
    content.cache = bytearray(content.platter)
    content.size = content.platter_size
