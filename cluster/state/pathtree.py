"""Folders and what lies in them: the index behind LIST, SCAN and removal by prefix.

Pure. A folder is a key that ends in "/" (or the bare root: the mount uuid, or nothing). Its children are whole keys,
sorted, of records directly in it and of folders below it.

Invariants
  P1  a folder exists exactly while a record lies somewhere below it; the tree is a function of the set of keys
  P2  children that are records are the table's own key objects: 8 bytes each instead of a name of their own
  P3  children are a tuple up to FEW (the collector forgets tuples of bytes), a list beyond
  P4  a child equal to its folder is a record with an empty name (a key that ends in "/"), not a folder
Sorting whole keys makes a walk, folder by folder, the order of all keys.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FEW = 64
LIST_PART_MAX = 100_000  # names one turn of the loop can answer; above it a LIST goes in parts


class PathTree:
    """Keys share a prefix of `root_bytes` bytes in which "/" means nothing."""

    __slots__ = ("folders", "root_bytes")

    def __init__(self, root_bytes: int) -> None:
        self.root_bytes = root_bytes
        self.folders: dict[bytes, tuple[bytes, ...] | list[bytes]] = {}

    def _parent(self, key: bytes, end: int) -> bytes:
        root = self.root_bytes
        return key[: max(key.rfind(b"/", root, end) + 1, root)]

    def add(self, key: bytes) -> None:
        """The key, which was not there, is in its folder, and each folder in the one above."""
        child, folder = key, self._parent(key, len(key))
        while True:
            children = self.folders.get(folder)
            if children is not None:
                self._insert(folder, children, child)
                return
            self.folders[folder] = (child,)
            if len(folder) <= self.root_bytes:
                return
            child, folder = folder, self._parent(folder, len(folder) - 1)

    def _insert(self, folder: bytes, children: tuple[bytes, ...] | list[bytes], child: bytes) -> None:
        if isinstance(children, list):
            insort(children, child)
            return
        place = bisect_left(children, child)
        if len(children) < FEW:
            self.folders[folder] = (*children[:place], child, *children[place:])
        else:
            self.folders[folder] = [*children[:place], child, *children[place:]]

    def remove(self, key: bytes) -> None:
        """The key, which was there, is gone, and every folder that held nothing else."""
        child, folder = key, self._parent(key, len(key))
        while True:
            children = self.folders[folder]
            if len(children) > 1:
                place = bisect_left(children, child)
                if isinstance(children, list):
                    del children[place]
                    if len(children) <= FEW // 2:
                        self.folders[folder] = tuple(children)
                else:
                    self.folders[folder] = children[:place] + children[place + 1 :]
                return
            del self.folders[folder]
            if len(folder) <= self.root_bytes:
                return
            child, folder = folder, self._parent(folder, len(folder) - 1)

    def children_count(self, folder: bytes) -> int:
        """How many names a LIST of the folder has."""
        return len(self.folders.get(folder, ()))

    def names(self, folder: bytes, *, after: bytes = b"", limit: int = 0) -> list[bytes]:
        """Sorted names in the folder, those after the name `after`, at most `limit` (0: all)."""
        children: Sequence[bytes] = self.folders.get(folder, ())
        start = bisect_right(children, folder + after) if after else 0
        if start or limit:
            children = children[start : start + limit if limit else None]
        cut = len(folder)
        return [child[cut:] for child in children]

    def descend(self, folder: bytes) -> Iterator[bytes]:
        """Every key below the folder, level by level, sorted in each folder. The tree may change meanwhile."""
        waiting = deque([folder])
        while waiting:
            here = waiting.popleft()
            for child in tuple(self.folders.get(here, ())):
                if child.endswith(b"/") and child != here:
                    waiting.append(child)
                else:
                    yield child

    def walk(self, folder: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Every key below the folder that is greater than the key `after`, in order of keys.

        The tree must not change while the walk goes on.
        """
        path: list[tuple[bytes, int]] = []  # folders on the way down, and where to go on in them
        here, place = folder, 0
        while after:
            children = self.folders.get(here, ())
            place = bisect_right(children, after)
            below = children[place - 1] if place else here
            if below == here or not below.endswith(b"/") or not after.startswith(below):
                break
            path.append((here, place))
            here, place = below, 0
        path.append((here, place))
        while path:
            here, place = path.pop()
            children = self.folders.get(here, ())
            while place < len(children):
                child = children[place]
                place += 1
                if child.endswith(b"/") and child != here:
                    path.append((here, place))
                    here, children, place = child, self.folders[child], 0
                else:
                    yield child
