"""A restored state becomes the folder of a member: ballot, keyring, entry 1 and one snapshot, as after a clean life.

Blocking; touches one folder through its Disk. Two steps: `lay_out` writes everything but the ballot, `settle` makes the
folder a member's. In between the folder holds a mark: no server takes it, and `clear` empties it.

Invariants
  L1  a folder that holds a ballot, a keyring or a snapshot is refused: nothing is ever restored over a member
  L2  every member of a restored cluster gets the same snapshot, keyring and generation
  L3  the mark is there before anything else and goes last: what stands below it is nobody's, and may be removed
Source: docs/backup.md; raft/boot.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import StrongroomError
from ..files import BOOTSTRAP, KEYRING, Bootstrap, read_file, write_bootstrap, write_file
from ..folder import RESTORING, check_profile, has_profile
from ..journal.ballot import Ballot, read_ballot, write_ballot
from ..journal.ballot_file import BALLOT_NAME
from ..journal.snapshot_file import FOLDER, SnapshotWriter, remove_all_snapshots
from ..keyring.sealing import Sealer
from ..raft.chassis import CONFIGURATION
from ..state import transaction
from ..state.snapshot import Snapshot
from ..state.tables import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..keyring.keyring import Keyring
    from ..seams import Disk, Random
    from ..state.machine import State

NONCE_BYTES = 12
SNAPSHOT_ID_BYTES = 8


class OccupiedError(StrongroomError):
    """The folder belongs to a member already."""


def check_empty(disk: Disk) -> None:
    """Nothing of a member is here. Raises OccupiedError (L1)."""
    held = [name for name in (KEYRING, BOOTSTRAP) if read_file(disk, name) is not None]
    found = read_ballot(disk)
    if found is not None and (found[1].cluster_id or found[1].born):
        held.append("ballot")
    if held or any(name.endswith(".snapshot") for name in disk.names(FOLDER)) or disk.names("journal"):
        raise OccupiedError("the data folder belongs to a member: restore into an empty one")


def check_free(disk: Disk, profile: str) -> None:
    """A restore can be laid out here, for all that can be seen before it begins. Nothing is written.

    Raises OccupiedError, DamagedError for what is left of a member, FolderError (another profile), OSError.
    """
    has_profile(disk, profile)
    read_file(disk, BALLOT_NAME)  # `names` shows no link and no folder of that name
    if read_file(disk, RESTORING) is None:
        check_empty(disk)


def lay_out(
    disk: Disk, state: State, keyring: Keyring, *, envelope: bytes, generation: bytes, profile: str, random: Random
) -> Iterator[int]:
    """The folder holds what a member with that state has, but no ballot; yields the bytes written, chunk by chunk.

    Raises OccupiedError, FolderError (another profile), OSError. Whatever it leaves, `clear` removes (L3).
    """
    check_empty(disk)
    check_profile(disk, profile)
    write_file(disk, RESTORING, b"a restore into this folder has begun\n")
    sealer = Sealer(keyring, random, generation)
    snapshot_id = random.bytes(SNAPSHOT_ID_BYTES)
    snapshot = Snapshot(state)
    writer = SnapshotWriter(disk, snapshot_id, snapshot.index, snapshot.term)
    try:
        for sealed in _sealed(snapshot, sealer, snapshot_id, random):
            writer.append(sealed)
            yield len(sealed)
    except BaseException:
        writer.abort()
        raise
    write_bootstrap(disk, Bootstrap(1, generation, _entry_one(sealer, random)))
    write_file(disk, KEYRING, envelope)
    writer.commit()


def settle(disk: Disk, cluster_id: bytes) -> None:
    """What `lay_out` wrote is a member's folder."""
    found = read_ballot(disk)
    write_ballot(disk, 1 if found is None else found[0] + 1, Ballot(cluster_id=cluster_id))
    disk.remove(RESTORING)
    disk.sync_folder()


def clear(disk: Disk) -> None:
    """What an interrupted restore left is gone, and nothing else (L3). Raises OccupiedError for a member's folder."""
    if read_file(disk, RESTORING) is None:
        check_empty(disk)
        return
    remove_all_snapshots(disk)
    for name in (BALLOT_NAME, KEYRING, BOOTSTRAP):
        disk.remove(name)
    disk.sync_folder()
    disk.remove(RESTORING)
    disk.sync_folder()


def _sealed(snapshot: Snapshot, sealer: Sealer, snapshot_id: bytes, random: Random) -> Iterator[bytes]:
    number = 0
    held: bytes | None = None
    chunks = snapshot.chunks()
    while True:
        payload = next(chunks, None)
        if held is not None:
            yield sealer.seal_chunk(
                snapshot_id=snapshot_id, index=snapshot.index, term=snapshot.term, number=number,
                final=payload is None, payload=held, nonce=random.bytes(NONCE_BYTES),
            )  # fmt: skip
            number += 1
        if payload is None:
            return
        held = payload


def _entry_one(sealer: Sealer, random: Random) -> bytes:
    """What stands where init leaves entry 1: never applied, because the snapshot covers it."""
    facts = transaction.Transaction(0, 0, 0, [], [], [])
    return sealer.seal_entry(
        kind=CONFIGURATION, term=0, sequence=0, hashes=(EVERYTHING,), payload=transaction.encode(facts),
        nonce=random.bytes(NONCE_BYTES),
    )  # fmt: skip
