"""A member's state saved as one file, for whoever asks: sealed into a nameless file first, then read out in pieces.

A shell. The size of state.bin must be known before it is sent, and a large state does not fit twice into memory.

Invariants
  V1  what is saved is the applied state of one index, however it changes meanwhile; the loop is given back at each part
  V2  only ciphertext reaches the disk, in a file without a name: nothing is left by an end of the process
  V3  the disk keeps FREE_BYTES_MIN for what the node itself has to write
  V4  everything is sealed with one keyring, whose envelope the file carries: a rotation meanwhile ends it
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from typing import TYPE_CHECKING, Any

from ..errors import SealedError, UnavailableError
from ..state import records
from ..state.tables import Table
from .archive import (
    META,
    PIECE_BYTES,
    SEALED,
    STATE,
    SUMS,
    TAR_END,
    Gzip,
    framed,
    meta_of,
    seal_sums,
    sums_of,
    tar_head,
    tar_padding,
)
from .bases import head_of_base, objects_of_base
from .member_source import PinnedBase
from .sealed import BackupSealer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import BinaryIO

    from ..member import Member

FREE_BYTES_MIN = 256 << 20
NS_PER_S = 1_000_000_000


class NoRoomError(UnavailableError):
    """The disk has too little room beside what the node needs itself."""


class Saved:
    """A whole snapshot. Read it once, and close it."""

    def __init__(self, file: BinaryIO, size_bytes: int, small: dict[str, bytes], index: int, time_s: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._small = small
        self._time_s = time_s
        self.index = index

    @property
    def closed(self) -> bool:
        """Nothing of it is on the disk any more."""
        return self._file.closed

    def close(self) -> None:
        """Nothing of it is left. May be said twice."""
        self._file.close()

    async def parts(self) -> AsyncIterator[bytes]:
        """The bytes of the file, in pieces; then it is closed."""
        gzip = Gzip()
        try:
            yield gzip.add(self._whole(META))
            yield gzip.add(tar_head(STATE, self._size_bytes, self._time_s))
            await asyncio.to_thread(self._file.seek, 0)
            while piece := await asyncio.to_thread(self._file.read, PIECE_BYTES):
                yield gzip.add(piece)
            rest = tar_padding(self._size_bytes) + self._whole(SUMS) + self._whole(SEALED) + TAR_END
            yield gzip.add(rest) + gzip.end()
        finally:
            self.close()

    def _whole(self, name: str) -> bytes:
        data = self._small[name]
        return tar_head(name, len(data), self._time_s) + data + tar_padding(len(data))


async def save_snapshot(member: Member) -> Saved:
    """The state as it is applied now. Raises SealedError, NoRoomError, UnavailableError (V4), OSError."""
    envelope, unsealed = member.keyrings.in_use, member.unsealed
    if not envelope or unsealed is None:
        raise SealedError("no keyring is in use")
    sealer = BackupSealer(unsealed.keyring, member.random)
    # What is pinned is copied before each change until it is released: whatever can fail comes before.
    file: BinaryIO = tempfile.TemporaryFile(dir=member.settings.data_dir)  # noqa: SIM115 - `Saved` closes it
    base = PinnedBase(member.running)
    try:
        head = head_of_base(
            member.generation, base.index, base.term, base.time_ns, follows=None, envelope=envelope,
            node_id=member.settings.node_id, random=member.random,
        )  # fmt: skip
        digest, size_bytes, last = hashlib.sha256(), 0, None
        for data, parsed in objects_of_base(head, base.chunks(), lambda: sealer):
            last = parsed
            size_bytes += await asyncio.to_thread(_append, file, digest, framed(data))
        assert last is not None
        meta = meta_of(head, member.cluster_id, size_bytes, servers(member))
        small = {META: meta, SUMS: sums_of(meta, digest.hexdigest())}
        small[SEALED] = seal_sums(sealer, last, small[SUMS])
    except SealedError:
        file.close()
        if member.sealed:
            raise
        raise UnavailableError("the keys were rotated while the snapshot was made: ask again") from None
    except BaseException:
        file.close()
        raise
    finally:
        base.abort()
        sealer.wipe()
    return Saved(file, size_bytes, small, base.index, base.time_ns // NS_PER_S)


def _append(file: BinaryIO, digest: Any, data: bytes) -> int:
    """In a thread. V3."""
    left = os.fstatvfs(file.fileno())
    if left.f_bavail * left.f_frsize < FREE_BYTES_MIN + len(data):
        raise NoRoomError("this node's disk has too little room to make a snapshot; backups to a sink need none")
    digest.update(data)
    return file.write(data)


def servers(member: Member) -> list[dict[str, Any]]:
    """The members, as Raft's configuration names them in Vault's meta.json."""
    found = []
    for key, _, record in member.view.items(Table.MEMBER):
        one = records.readable(records.Member, record) or records.Member()
        found.append({"ID": key.decode(), "Address": one.peer_address, "Suffrage": 0})
    return sorted(found, key=lambda server: str(server["ID"]))


__all__ = ["NoRoomError", "Saved", "save_snapshot"]
