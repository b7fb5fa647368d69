"""The end of a buffered journal, as the ballot tells it to the next life: whole, lost, or nothing said.

Blocking. Invariant: a write or sync that failed makes the next life recovering, whenever it failed; what was counted as
durable may be gone with it (journal/modes.py).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .errors import DamagedError
from .journal.modes import BUFFERED
from .raft.boot import mark_lost, mark_stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from .journal.handle import WriterHandle
    from .journal.parent import ChildWriter
    from .seams import Disk

log = logging.getLogger("strongroom.member")


def close_journal(disk: Disk, mode: str, writer: WriterHandle, child: ChildWriter | None) -> None:
    """The journal is written, as far as that could be; a buffered one is marked as whole, or as lost."""
    if writer.close():
        if mode == BUFFERED:
            _mark("stopped", mark_stopped, disk)  # else the next life, of another boot, is recovering
    else:
        lose_failed(disk, mode, child)


def lose_failed(disk: Disk, mode: str, child: ChildWriter | None) -> None:
    """The next life is recovering, if a buffered journal ended over a file."""
    if mode == BUFFERED and child is not None and child.write_failed:
        log.error("a write or sync of the journal failed: the next life of this node is recovering")
        _mark("lost", mark_lost, disk)


def _mark(word: str, mark: Callable[[Disk], None], disk: Disk) -> None:
    try:
        mark(disk)
    except (OSError, DamagedError) as error:  # a disk that takes nothing at all: its peers know, too
        why = error.strerror if isinstance(error, OSError) else error
        log.critical("the journal could not be marked as %s: %s", word, why)
