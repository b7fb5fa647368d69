"""The start of a member's life from its folder: state, log and ballot. Blocking; for a thread, before Raft runs.

Invariant: when `open_files` returns, everything it gives is on stable storage (raft/boot.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import TYPE_CHECKING

import msgspec

from .errors import DamagedError, DamagedKeyringError
from .files import KEYRING, KEYRING_NEXT, read_bootstrap, read_file
from .journal.ballot import write_ballot
from .journal.ballot_file import BALLOT_NAME
from .journal.memory import MemoryWriter
from .journal.modes import BUFFERED, FSYNC, MEMORY
from .journal.parent import ChildWriter
from .keyring.envelope import read_seal
from .raft.boot import Opened, open_journal
from .raft.loading import load_newest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .journal.handle import Callbacks
    from .keyring.sealing import Sealer
    from .seams import Disk
    from .settings import MemberSettings
    from .state.machine import State

log = logging.getLogger("strongroom.member")


def check_readable(disk: Disk) -> None:
    """Keys may open this folder, or it is empty.

    Raises DamagedKeyringError or another DamagedError where none ever will, OSError for no file.
    """
    read_file(disk, BALLOT_NAME)  # a link or a folder of that name is not "never written"
    read_bootstrap(disk)
    kept = read_file(disk, KEYRING)
    if kept is None:
        return
    try:
        read_seal(kept)
    except DamagedError as error:
        raise DamagedKeyringError(
            f"{KEYRING}: {error}: {KEYRING_NEXT}, of one that ran as long, and nothing is lost;"
            " if there is no other member, restore a backup"
        ) from None


def open_files(
    disk: Disk, sealer: Sealer, *, segment_bytes: int, wall_ns: int, mode: str = FSYNC, boot_id: str = ""
) -> tuple[State, Opened, set[bytes]]:
    """State, log and ballot of the new life, and the ids of snapshots that do not open.

    Whoever opens a member that an operator sealed has given a threshold of shares: the mark is gone.
    """
    state, found, damaged = load_newest(disk, sealer)
    if damaged:
        log.error("%d snapshots are damaged: an older one, or the peers, must do", len(damaged))
    opened = open_journal(
        disk, segment_bytes=segment_bytes, wall_ns=wall_ns, snapshot=found, mode=mode, boot_id=boot_id
    )
    if opened.ballot.sealed_by_operator:
        ballot = msgspec.structs.replace(opened.ballot, sealed_by_operator=False)
        sequence = opened.ballot_sequence + 1
        write_ballot(disk, sequence, ballot)
        opened = dataclasses.replace(opened, ballot=ballot, ballot_sequence=sequence)
    return state, opened, damaged


def start_writer(
    settings: MemberSettings, opened: Opened, callbacks: Callbacks, *, pass_fds: Sequence[int]
) -> tuple[ChildWriter, MemoryWriter | None]:
    """The process that writes the journal of this life; and, in memory, what stands before it and keeps the rest.

    For the loop's thread. See ChildWriter.start.
    """
    child = ChildWriter.start(
        settings.data_dir,
        segment_bytes=settings.segment_bytes,
        start=None if opened.mode == MEMORY else opened.start,
        callbacks=callbacks,
        buffered=opened.mode == BUFFERED,
        pass_fds=pass_fds,
    )
    if opened.mode != MEMORY:
        return child, None
    return child, MemoryWriter(child, callbacks, asyncio.get_running_loop().call_soon)
