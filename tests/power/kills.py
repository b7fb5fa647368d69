"""kill -9 at every change that a row of lives makes to its disk: before it, after it, in the middle of a write.

`python -m tests.power.kills --folder F` forks a child for every change; the child kills itself there, and the folder it
leaves is judged. A loss of the process loses no page, so nothing here needs a special disk: the promises are what the
same row of lives had made in a dry run up to that change, which the child's own reports must equal.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.sim.disk import SimDisk
from cluster.seams import SystemDisk

from .disks import ClosingDisk, CountingDisk
from .life import InlineWriter, Life
from .promises import Promises, begin

if TYPE_CHECKING:
    from cluster.seams import Disk

LIVES: Final = 3
KINDS: Final = {"write", "allocate", "truncate", "sync", "create", "rename", "remove", "sync_folder", "make_folder"}
WHENS: Final = ("before", "middle", "after")


class StopError(Exception):
    """The dry run ends here."""


def row_of_lives(disk: Disk, promises: Promises, seed: int, turns: int) -> None:
    """Some lives, one behind the other, with everything that a journal does in them; `turns` bounds each."""
    rng = random.Random(seed)
    for _ in range(LIVES):
        opened = begin(disk, promises)
        life = Life(promises, rng)
        writer = InlineWriter(disk, opened, life.callbacks, rng)
        life.begin(opened, writer)
        for _ in range(turns):
            life.step()
            writer.turn()
            writer.turn()
        if rng.random() < 0.5:
            writer.settle()
        writer.close()


def changes(seed: int, turns: int) -> list[str]:
    """The kinds of all changes of a row of lives, in order."""
    disk = CountingDisk(SimDisk())
    row_of_lives(disk, Promises(), seed, turns)
    return disk.kinds


def promised(seed: int, turns: int, at: int, when: str) -> Promises:
    """What had been promised when the change `at` came."""

    def stop() -> None:
        raise StopError

    promises = Promises()
    try:
        row_of_lives(CountingDisk(SimDisk(), at=at, when=when, stop=stop), promises, seed, turns)
    except StopError:
        return promises
    raise AssertionError("the row of lives is shorter")


def kill_at(folder: Path, seed: int, turns: int, at: int, when: str) -> str:
    """A child of this process lives there until it kills itself at that change; returns what it had reported."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        promises = Promises()

        def stop() -> None:
            os.write(writing, said(promises).encode())
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            row_of_lives(CountingDisk(SystemDisk(folder), at=at, when=when, stop=stop), promises, seed, turns)
        finally:
            os._exit(1)
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"the child of change {at} ended in another way"
    with os.fdopen(reading, encoding="ascii") as pipe:
        return pipe.read()


def said(promises: Promises) -> str:
    """What was reported so far, in a line."""
    durable = sorted(snapshot_id.hex() for snapshot_id, one in promises.snapshots.items() if one.durable)
    return f"{promises.reported} {promises.ballot_reported} {promises.reports} {durable}"


def run(folder: Path, seed: int, turns: int, *, every: int = 1) -> Counter[str]:
    """Kill at every change (or each `every`-th of its kind); counts by kind. AssertionError: a promise was broken."""
    counts: Counter[str] = Counter()
    kinds = changes(seed, turns)
    places = [at for one in KINDS for at in [at for at, kind in enumerate(kinds, 1) if kind == one][::every]]
    for at in sorted(places):
        kind = kinds[at - 1]
        for when in WHENS:
            if when == "middle" and kind != "write":
                continue
            promises = promised(seed, turns, at, when)
            with tempfile.TemporaryDirectory(dir=folder) as root:
                assert kill_at(Path(root), seed, turns, at, when) == said(promises)
                disk = ClosingDisk(Path(root))
                try:
                    begin(disk, promises)
                except AssertionError as error:
                    error.add_note(f"killed {when} change {at}, a {kind}, of seed {seed}")
                    raise
                finally:
                    disk.close()
            counts[kind] += 1
    return counts


def main() -> int:
    """Print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.power.kills", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--turns", type=int, default=30)
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    for seed in arguments.seeds:
        counts += run(arguments.folder, seed, arguments.turns, every=arguments.every)
    missing = KINDS - counts.keys()
    print(f"{counts.total()} kills: " + ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
    print(f"never met: {sorted(missing)}" if missing else "every kind of change was met")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
