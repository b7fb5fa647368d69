"""What the folder of a member that is stopped still holds: the state behind its snapshot and its log. Blocking.

Reads; of the folder it changes nothing but that what it reads is synced. Invariants
  Z1  every entry of the log is opened and decoded, in its place; what does not open ends the history before it
  Z2  what was committed for certain, as far as this member ever knew, is said apart from what stands in its log
Source: docs/backup.md; raft/boot.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..errors import DamagedError, NotInitialisedError
from ..files import read_bootstrap
from ..journal.ballot import Ballot, read_ballot
from ..journal.recovery import recover
from ..keyring.sealing import Sealer, entry_kind
from ..raft.chassis import CONFIGURATION, NO_OP, TRANSACTION
from ..raft.loading import load_newest
from ..state import transaction
from ..state.snapshot import verify_digest

if TYPE_CHECKING:
    from ..keyring.keyring import Keyring
    from ..seams import Disk, Random
    from ..state.machine import State

SEGMENT_BYTES = 1 << 26  # said to the reader of the log, which makes no segment


class Survivor(NamedTuple):
    """One folder. `committed`: the highest index that this member knew to be committed, of itself or of another; it
    may be above what its log holds. `damaged`: a part of the log could not be used.
    """

    generation: bytes
    state: State
    committed: int
    damaged: bool

    @property
    def order(self) -> tuple[int, int]:
        """Of two logs, the higher one is more complete (Raft thesis 3.6.1)."""
        return self.state.applied_term, self.state.applied_index


def read_survivor(disk: Disk, keyring: Keyring, random: Random) -> Survivor:
    """The state of the folder; the keyring stays the caller's.

    Raises NotInitialisedError for a folder of no member, DamagedError if nothing opens.
    """
    bootstrap = read_bootstrap(disk)
    found = read_ballot(disk)
    if bootstrap is None or found is None:
        raise NotInitialisedError("this folder is no member's")
    sealer = Sealer(keyring, random, bootstrap.generation)
    state, snapshot, damaged = load_newest(disk, sealer)
    if any(right is False for right in verify_digest(state)):
        raise DamagedError("the snapshot does not have its digest")
    log = recover(disk, segment_bytes=SEGMENT_BYTES)
    entries = following(log.base, log.entries, snapshot)
    if snapshot is None and not entries:
        entries = [(1, 0, bootstrap.entry)]
    whole = _apply(state, entries, sealer)
    cut = log.damaged or not whole or state.applied_index < found[1].held
    return Survivor(bootstrap.generation, state, committed_of(found[1]), bool(damaged) or cut)


def following(
    base: tuple[int, int], entries: list[tuple[int, int, bytes]], snapshot: tuple[int, int] | None
) -> list[tuple[int, int, bytes]]:
    """The entries of the log that follow the snapshot; none if the log does not meet it. Pure."""
    index, term = snapshot or (0, 0)
    if base[0] > index:
        return []
    if base[0] < index:
        at = index - base[0] - 1
        if at >= len(entries) or entries[at][1] != term:
            return []
    return [entry for entry in entries if entry[0] > index]


def committed_of(ballot: Ballot) -> int:
    """The highest index that was committed, as far as the ballot says."""
    return max([ballot.held, *(durable for _, _, durable in ballot.peers.values())])


def _apply(state: State, entries: list[tuple[int, int, bytes]], sealer: Sealer) -> bool:
    """Whether all of them opened and were applied."""
    for index, term, command in entries:
        if index != state.applied_index + 1:
            return False
        if command[0] == NO_OP:
            state.apply_nothing(index, term)
            continue
        try:
            if entry_kind(command) not in {TRANSACTION, CONFIGURATION}:
                return False
            facts = transaction.decode(sealer.open_entry(term, command))
        except (DamagedError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IndexError):
            return False
        state.apply(index, term, facts)
    return True
