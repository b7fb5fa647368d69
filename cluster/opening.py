"""The start of a member's life from its folder: state, log and ballot. Blocking; for a thread, before Raft runs.

Invariant: when `open_files` returns, everything it gives is on stable storage (raft/boot.py).
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import msgspec

from .journal.ballot import write_ballot
from .raft.boot import Opened, open_journal
from .raft.loading import load_newest

if TYPE_CHECKING:
    from .keyring.sealing import Sealer
    from .seams import Disk
    from .state.machine import State

log = logging.getLogger("strongroom.member")


def open_files(
    disk: Disk, sealer: Sealer, *, segment_bytes: int, wall_ns: int
) -> tuple[State, Opened, set[bytes]]:
    """State, log and ballot of the new life, and the ids of snapshots that do not open.

    Whoever opens a member that an operator sealed has given a threshold of shares: the mark is gone.
    """
    state, found, damaged = load_newest(disk, sealer)
    if damaged:
        log.error("%d snapshots are damaged: an older one, or the peers, must do", len(damaged))
    opened = open_journal(disk, segment_bytes=segment_bytes, wall_ns=wall_ns, snapshot=found)
    if opened.ballot.sealed_by_operator:
        ballot = msgspec.structs.replace(opened.ballot, sealed_by_operator=False)
        sequence = opened.ballot_sequence + 1
        write_ballot(disk, sequence, ballot)
        opened = dataclasses.replace(opened, ballot=ballot, ballot_sequence=sequence)
    return state, opened, damaged
