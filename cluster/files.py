"""Two small files of a node's folder: the sealed keyring, and where the cluster's log begins.

`keyring` holds the envelope, `bootstrap` the generation and entry 1. Neither is secret without the root key. Written
aside, synced, renamed, folder synced: they are there whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .errors import DamagedError

if TYPE_CHECKING:
    from .seams import Disk

KEYRING = "keyring"
KEYRING_NEXT = f"put a copy of another member's {KEYRING} in its place"  # all members have the same one
BOOTSTRAP = "bootstrap"
MAGIC = b"SRBS"
FORMAT = 1


class Bootstrap(msgspec.Struct, array_like=True, frozen=True):
    """`entry` is the sealed entry 1 of the log; new fields go at the end."""

    format: int
    generation: bytes
    entry: bytes


def write_file(disk: Disk, name: str, data: bytes) -> None:
    """The file holds exactly `data`, on stable storage."""
    partial = f"{name}.partial"
    disk.remove(partial)
    file = disk.open(partial, create=True)
    file.write_at(0, [data])
    file.sync()
    file.close()
    disk.rename(partial, name)
    disk.sync_folder()


def read_file(disk: Disk, name: str) -> bytes | None:
    """The file's bytes, None if it does not exist."""
    try:
        file = disk.open(name)
    except FileNotFoundError:
        return None
    data = file.read_at(0, file.size())
    file.close()
    return data


def write_bootstrap(disk: Disk, bootstrap: Bootstrap) -> None:
    """See write_file."""
    write_file(disk, BOOTSTRAP, MAGIC + msgspec.msgpack.encode(bootstrap))


def read_bootstrap(disk: Disk) -> Bootstrap | None:
    """What init stored; raises DamagedError for anything else."""
    data = read_file(disk, BOOTSTRAP)
    if data is None:
        return None
    try:
        found = msgspec.msgpack.decode(data[len(MAGIC) :], type=Bootstrap)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DamagedError("the bootstrap file does not decode") from error
    if not data.startswith(MAGIC) or found.format != FORMAT:
        raise DamagedError("the bootstrap file has another format")
    return found
