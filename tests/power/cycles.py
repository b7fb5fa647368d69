"""Lives of one folder, each ended by a loss of power, each next one checked against everything promised.

With root: the product's journal child on ext4, shut down by an ioctl at a moment that nobody chose. Without: the same
product code over a disk that drops what was not synced, in the way that a seed draws.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.disk.loop import LoopDisk
from chaos.sim.disk import SimDisk
from cluster.journal.parent import ChildWriter

from .disks import ClosingDisk
from .life import InlineWriter, Life
from .promises import SEGMENT_BYTES, Promises, begin

if TYPE_CHECKING:
    from cluster.raft.boot import Opened

LIVES_MAX = 12  # of one folder, then a new one
BACKLOG_BYTES_MAX = 256 * 1024
END_S = 20.0


class PowerLossError(Exception):
    """The process ends here."""


# ---- ext4
def run_ext4(cycles: int, seed: int, folder: Path, *, buffered: bool = False) -> Counter[str]:
    """So many losses of power; the counts of what happened. Raises AssertionError where a promise was broken.

    `buffered` reports before it syncs, as the mode of that name does: promises that a loss of power breaks.
    """
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    with LoopDisk(folder, "cycles") as disk:
        promises, lives = Promises(), 0
        for cycle in range(cycles):
            if lives == LIVES_MAX:
                disk.unmount()
                disk.format()
                disk.mount()
                promises, lives = Promises(), 0
            try:
                asyncio.run(_life(disk, promises, rng, counts, buffered=buffered))
            except AssertionError as error:
                error.add_note(f"cycle {cycle} of seed {seed}, life {lives} of its folder")
                raise
            lives += 1
            disk.again()
            promises.dark = False
        _start_ext4(disk, promises)
        counts["cycles"] = cycles
    return counts


def _start_ext4(disk: LoopDisk, promises: Promises) -> Opened:
    system = ClosingDisk(disk.root)
    try:
        return begin(system, promises)
    finally:
        system.close()


async def _life(
    disk: LoopDisk, promises: Promises, rng: random.Random, counts: Counter[str], *, buffered: bool
) -> None:
    """One, from its start to the end of its child."""
    scatter = rng.random() < 0.5
    at_start = rng.random() < 0.2
    reports = promises.reports
    delay_s = rng.uniform(0, 0.012 if at_start else 0.15)
    cut = threading.Timer(delay_s, _cut, (disk, promises, scatter))
    if at_start:
        cut.start()
    try:
        opened = _start_ext4(disk, promises)
    except OSError:
        assert at_start, "the disk failed before it was cut"
        promises.dark = True
    if promises.dark:
        cut.join()
        counts["cut while starting"] += 1
        return
    life = Life(promises, rng)
    handle = ChildWriter.start(
        disk.root, segment_bytes=SEGMENT_BYTES, start=opened.start, callbacks=life.callbacks, buffered=buffered
    )
    life.begin(opened, handle)
    if not at_start:
        while not life.failed and promises.reports == reports:  # the child is up
            life.step()
            await asyncio.sleep(0.002)
        cut.start()
    end = asyncio.get_running_loop().time() + END_S
    while not life.failed:
        assert asyncio.get_running_loop().time() < end, "the child goes on without a disk"
        if handle.backlog_bytes + handle.snapshot_backlog_bytes < BACKLOG_BYTES_MAX:
            life.step()
        await asyncio.sleep(rng.choice((0, 0, 0.0005, 0.003)) if rng.random() < 0.995 else 0.25)  # the child falls idle
    cut.join()
    handle.close()
    counts["cut while writing"] += 1
    counts["reports"] += promises.reports - reports
    counts.update(life.counts)


def _cut(disk: LoopDisk, promises: Promises, scatter: bool) -> None:
    """Some pages may be on their way to the platter by themselves, in any order, before the power goes."""
    if scatter:
        for path in disk.root.rglob("*"):
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                with contextlib.suppress(OSError):
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)
    promises.dark = True
    disk.cut()


# ---- a disk that drops
def run_dropping(cycles: int, seed: int) -> Counter[str]:
    """The same without root: crashes between any two changes, then the platter and what a draw lets survive."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    disk, promises, lives = SimDisk(), Promises(), 0
    for cycle in range(cycles):
        if lives == LIVES_MAX:
            disk, promises, lives = SimDisk(), Promises(), 0
        reports = promises.reports
        try:
            _live_dropping(disk, promises, rng, counts)
        except AssertionError as error:
            error.add_note(f"cycle {cycle} of seed {seed}, life {lives} of its folder")
            raise
        counts["reports"] += promises.reports - reports
        lives += 1
        disk.on_operation = lambda _: None
        disk.power_loss(rng)
    begin(disk, promises)
    counts["cycles"] = cycles
    return counts


def _live_dropping(disk: SimDisk, promises: Promises, rng: random.Random, counts: Counter[str]) -> None:
    limit = disk.operations + rng.randint(1, rng.choice((30, 300)))

    def look(_: str) -> None:
        if disk.operations >= limit:
            raise PowerLossError

    disk.on_operation = look
    where = "cut while starting"
    with contextlib.suppress(PowerLossError):
        opened = begin(disk, promises)
        where = "cut while writing"
        life = Life(promises, rng)
        handle = InlineWriter(disk, opened, life.callbacks, rng)
        life.begin(opened, handle)
        life.counts = counts
        while True:
            if rng.random() < 0.5:
                life.step()
            handle.turn()
    counts[where] += 1
