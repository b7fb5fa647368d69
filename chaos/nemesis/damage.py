"""What rot does to a file, and what happens to whole folders: which bytes, decided by draws alone.

Product formats are known by the names of their folders. What is changed here is on stable storage afterwards: a loss of
power later in the run must not take back what a fault did, for the product has relied on what it found since.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chaos.targets.disks import sync, sync_tree

if TYPE_CHECKING:
    import random
    from pathlib import Path

SEGMENTS: Final = "journal/*.segment"
SNAPSHOTS: Final = "snapshots/*.snapshot"
FLIPS_MAX: Final = 8
TRUNCATED: Final = 0.3  # share of damage that cuts off an end
CUT_BYTES_MAX: Final = 64 * 1024


# ---- which bytes
@dataclass(frozen=True)
class Damage:
    """What happens to one file: bits that turn (place, bit), or its end that is gone."""

    kind: str  # "flip" or "truncate"
    flips: tuple[tuple[int, int], ...] = ()
    size: int = 0

    def applied(self, data: bytes) -> bytes:
        """The file afterwards."""
        if self.kind == "truncate":
            return data[: self.size]
        changed = bytearray(data)
        for place, bit in self.flips:
            changed[place] ^= 1 << bit
        return bytes(changed)


def written(data: bytes) -> int:
    """How many bytes were written: what is allocated ahead is zeros, and nobody reads those."""
    return len(data.rstrip(b"\0"))


def damage(data: bytes, rng: random.Random) -> Damage:
    """Of the part of a file that was written. Raises ValueError if none was."""
    size = written(data)
    if not size:
        raise ValueError("nothing was written to the file")
    if rng.random() < TRUNCATED:
        return Damage("truncate", size=size - rng.randint(1, min(size, CUT_BYTES_MAX)))
    places = {rng.randrange(size) for _ in range(rng.randint(1, FLIPS_MAX))}
    return Damage("flip", flips=tuple((place, rng.randrange(8)) for place in sorted(places)))


def choose(data: Path, rng: random.Random) -> Path | None:
    """A file of the journal, mostly, or a snapshot, rather where more was written; None if the folder has neither."""
    kinds = []
    for pattern, share in ((SEGMENTS, 2), (SNAPSHOTS, 1)):
        sizes = {file: written(file.read_bytes()) for file in sorted(data.glob(pattern))}
        if any(sizes.values()):
            kinds += [sizes] * share
    if not kinds:
        return None
    sizes = rng.choice(kinds)
    return rng.choices(list(sizes), list(sizes.values()))[0]


# ---- folders
def emptied(folder: Path) -> int:
    """Nothing is in it, and that is on stable storage; how many entries it had."""
    entries = list(folder.iterdir())
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    sync(folder)
    return len(entries)


def copied(source: Path, into: Path) -> None:
    """Everything of `source` is in `into`, on stable storage."""
    shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True)
    sync_tree(into)
