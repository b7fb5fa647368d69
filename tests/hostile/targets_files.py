"""Files of a node's folder, as a hostile disk gives them: segments, ballot, snapshots, bootstrap, frames of the child.

Checksums are made right again after most mutations: they find accidents, and whoever writes a file writes them too.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import files
from cluster.errors import DamagedError
from cluster.journal import (
    ballot,
    ballot_file,
    frames,
    judge,
    recovery,
    replay,
    scan,
    segments,
    snapshot_desk,
    snapshot_file,
    wal,
)
from cluster.journal.ballot_file import SLOT_BYTES
from tests.hostile.running import Target

if TYPE_CHECKING:
    from collections.abc import Iterable

GOLDEN = Path(__file__).parents[1] / "golden" / "formats"
BLOCK = wal.BLOCK_BYTES


def golden(name: str) -> dict[str, object]:
    return json.loads((GOLDEN / f"{name}.json").read_text())  # type: ignore[no-any-return]


class MemoryFile:
    """A seams.File over a bytearray."""

    def __init__(self, data: bytearray) -> None:
        self.data = data

    def write_at(self, offset: int, parts: Iterable[bytes | bytearray | memoryview]) -> int:
        data = b"".join(parts)
        self.data[len(self.data) :] = bytes(max(0, offset - len(self.data)))
        self.data[offset : offset + len(data)] = data
        return len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        return bytes(self.data[offset : offset + count])

    def allocate(self, size: int) -> None:
        self.data.extend(bytes(max(0, size - len(self.data))))

    def truncate(self, size: int) -> None:
        del self.data[size:]
        self.allocate(size)

    def sync(self) -> None:
        """Nothing is lost here."""

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        """Nothing to close."""


class MemoryDisk:
    """A seams.Disk without a disk."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = {name: bytearray(data) for name, data in contents.items()}

    def open(self, name: str, *, create: bool = False) -> MemoryFile:
        if create:
            self.contents.setdefault(name, bytearray())
        if name not in self.contents:
            raise FileNotFoundError(name)
        return MemoryFile(self.contents[name])

    def names(self, folder: str = "") -> list[str]:
        start = f"{folder}/" if folder else ""
        rest = [name.removeprefix(start) for name in self.contents if name.startswith(start)]
        return sorted(name for name in rest if "/" not in name)

    def rename(self, old: str, new: str) -> None:
        self.contents[new] = self.contents.pop(old)

    def remove(self, name: str) -> None:
        self.contents.pop(name, None)

    def make_folder(self, folder: str) -> None:
        """Folders are parts of names here."""

    def sync_folder(self, folder: str = "") -> None:
        """Nothing is lost here."""


# ---- segments
def recover_log(data: bytes) -> None:
    """One segment; a second file of the same bytes under the next number where there is much of it."""
    disk = MemoryDisk()
    disk.contents[wal.segment_name(1)] = bytearray(data)
    if len(data) > 4 * BLOCK:
        disk.contents[wal.segment_name(2)] = bytearray(data[BLOCK:])
    found = recovery.recover(disk, segment_bytes=1 << 16)  # type: ignore[arg-type]
    recovery.rewrite(disk, found)  # type: ignore[arg-type]
    recovery.recover(disk, segment_bytes=1 << 16)  # type: ignore[arg-type]


def repair_segment(data: bytes) -> bytes:
    """Checksums of the header and of every batch that stands at its block are right."""
    changed = bytearray(data)
    if len(changed) >= 22:
        changed[18:22] = zlib.crc32(changed[:18]).to_bytes(4)
    for at in range(BLOCK, len(changed) - wal.BATCH_HEADER_BYTES, BLOCK):
        if changed[at : at + 4] != b"SRBT":
            continue
        length, _, previous, last, mark = struct.unpack_from(">IIQQQ", changed, at + 12)
        length = min(length, len(changed) - at - wal.BATCH_HEADER_BYTES)
        payload = changed[at + wal.BATCH_HEADER_BYTES :][:length]
        changed[at : at + wal.BATCH_HEADER_BYTES] = wal.batch_header(
            1, at, [bytes(payload)], previous=previous, last=last, mark=mark
        )
    return bytes(changed)


def a_segment() -> bytes:
    blocks = golden("journal_segment")["blocks"]
    assert isinstance(blocks, list)
    return b"".join(bytes.fromhex(block).ljust(BLOCK, b"\0") for block in blocks)


def some_records() -> bytes:
    return (
        wal.append_record(1, 1, 1, b"entry") + wal.append_record(2, 2, 1, b"") + wal.truncate_record(3, 2)
        + wal.trim_record(4, 1, 1) + wal.reset_record(5, 9, 2)
    )  # fmt: skip


def read_records(data: bytes) -> None:
    log = replay.Replay()
    for record in wal.records(data):
        log.apply(record, data)
    log.whole()


# ---- ballot
def read_ballot(data: bytes) -> None:
    disk = MemoryDisk(ballot=data)
    found = ballot.read_ballot(disk)  # type: ignore[arg-type]
    if found is not None:
        ballot.write_ballot(disk, found[0] + 1, found[1])  # type: ignore[arg-type]


def repair_ballot(data: bytes) -> bytes:
    """Both slots are whole and have their checksum: what differs is what they say."""
    slots = []
    for at in (0, SLOT_BYTES):
        value = data[at + 24 : at + SLOT_BYTES].rstrip(b"\0") or b"\0"
        sequence = int.from_bytes(data[at + 14 : at + 22].ljust(8, b"\0")) % (1 << 63)
        slots.append(ballot_file.encode_slot(sequence, value[: ballot_file.VALUE_BYTES_MAX]))
    return b"".join(slots)


def a_ballot() -> bytes:
    slot = golden("ballot")["slot"]
    assert isinstance(slot, str)
    return 2 * bytes.fromhex(slot).ljust(SLOT_BYTES, b"\0")


def ballot_value() -> bytes:
    found = ballot_file.decode_slot(a_ballot()[:SLOT_BYTES])
    assert found is not None
    return found[1]


# ---- snapshot files
def read_snapshot(data: bytes) -> None:
    name = snapshot_file.snapshot_name(b"\1" * 8, 1000)
    disk = MemoryDisk()
    disk.contents[name] = bytearray(data)
    if snapshot_file.latest_snapshot(disk) != name:  # type: ignore[arg-type]
        raise AssertionError("the file has another name")
    with snapshot_file.open_snapshot(disk, name) as reader:  # type: ignore[arg-type]
        for _ in reader.chunks():
            pass


def receive_snapshot(data: bytes) -> None:
    """As a peer sends it: whole, in pieces, announced as what the golden file is."""
    desk = snapshot_desk.SnapshotDesk(MemoryDisk())  # type: ignore[arg-type]
    snapshot_id = bytes(range(1, 9))
    step = 1 + len(data) // 3
    for at in range(0, len(data), step):
        desk.receive(snapshot_id, 1000, 9, at, data[at : at + step])
    desk.commit(snapshot_id)


def repair_snapshot(data: bytes) -> bytes:
    """Checksums of header and file are right; counts are as they are."""
    changed = bytearray(data)
    head = 28 + int.from_bytes(changed[10:12])
    if len(changed) >= head + 4:
        changed[head : head + 4] = zlib.crc32(changed[:head]).to_bytes(4)
    if len(changed) >= head + 36:
        changed[-12:-8] = zlib.crc32(changed[:-32]).to_bytes(4)
        changed[-8:] = b"SRSNAPED"
    return bytes(changed)


def a_snapshot() -> bytes:
    file = golden("snapshot")["file"]
    assert isinstance(file, str)
    return bytes.fromhex(file)


# ---- the rest
def read_child_frames(data: bytes) -> None:
    reader = frames.FrameReader()
    for at in range(0, len(data), 7):
        for _tag, body in reader.feed(data[at : at + 7]):
            frames.split_id(body)


def read_bootstrap(data: bytes) -> None:
    files.read_bootstrap(MemoryDisk(bootstrap=data))  # type: ignore[arg-type]


def write_bootstrap() -> bytes:
    disk = MemoryDisk()
    files.write_bootstrap(disk, files.Bootstrap(1, b"g" * 16, b"entry"))  # type: ignore[arg-type]
    return bytes(disk.contents["bootstrap"])


ALL = (
    Target(
        "segment", recover_log, (), (a_segment(), a_segment()[: 3 * BLOCK]),
        (wal, scan, judge, replay, recovery, segments), repair=repair_segment,
    ),
    Target("wal-records", read_records, (DamagedError,), (some_records(),), (wal, replay)),
    Target("ballot", read_ballot, (DamagedError,), (a_ballot(),), (ballot, ballot_file), repair=repair_ballot),
    Target("ballot-value", ballot.decode_ballot, (DamagedError,), (ballot_value(),), (ballot,), packed_at=0),
    Target("snapshot-file", read_snapshot, (DamagedError,), (a_snapshot(),), (snapshot_file,), repair=repair_snapshot),
    Target(
        "snapshot-received", receive_snapshot, (), (a_snapshot(),), (snapshot_file, snapshot_desk),
        memory_base_bytes=2 * snapshot_file.ALLOCATE_BYTES + (1 << 20), repair=repair_snapshot,
    ),
    Target("child-frames", read_child_frames, (DamagedError,), (frames.frame(7, frames.with_id(b"id", b"rest")) * 3,),
           (frames,)),
    Target("bootstrap", read_bootstrap, (DamagedError,), (write_bootstrap(),), (files,), packed_at=4),
)  # fmt: skip
