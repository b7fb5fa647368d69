"""The form of a saved snapshot: the golden one opens for ever, and no byte of it can be another."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from cluster.backup.archive import SUMS_PART, Archive, read_archive, tar_head, tar_padding, verify
from cluster.backup.replay import Replay
from cluster.backup.restore import Point, Restore
from cluster.backup.sealed import BackupSealer
from cluster.backup.sinks.base import SinkError, SinkRefusedError, stored_of
from cluster.backup.sinks.snapshot import SnapshotSink, checked, is_snapshot
from cluster.errors import DamagedError
from cluster.keyring import Keyring, open_keyring
from cluster.keyring.seal import open_envelope
from cluster.seams import SystemRandom
from cluster.state.tables import Table

GOLDENS = Path(__file__).parents[2] / "golden" / "formats"
GOLDEN = GOLDENS / "snapshot-archive-1.snap"
DIGEST = "1f93dbcc4ff5e0ad7df9daecce3c39ca"


@pytest.fixture(name="old")
def _old() -> dict[str, bytes]:
    fields = json.loads((GOLDENS / "keyring_envelope.json").read_text())
    return {key: bytes.fromhex(value) for key, value in fields.items() if isinstance(value, str)}


def keyring_of(old: dict[str, bytes]) -> Keyring:
    return open_keyring(old["root_key"], old["envelope"])


def read(name: Path, state: Any = None) -> Archive:
    return read_archive(str(name), io.BytesIO() if state is None else state)


async def test_the_golden_snapshot_is_restored(old: dict[str, bytes]) -> None:
    """Through the sink, with its sums verified and its digest compared."""
    sink = SnapshotSink(GOLDEN)
    await sink.look()
    [generation] = await sink.generations()
    opener = checked(sink, lambda envelope: open_envelope(bytearray(old["root_key"]), envelope), SystemRandom())
    restore = Restore(sink, generation, opener, SystemRandom())
    await restore.open()
    state = await restore.replay(Point())
    restore.wipe()
    await sink.close()

    assert (generation.generation, state.applied_index, state.applied_term) == (old["generation"], 7, 3)
    assert state.digest.to_bytes(16, "little").hex() == DIGEST
    assert [state.counts[table] for table in (Table.CONFIG, Table.KEYRING)] == [1, 1]
    assert (is_snapshot(sink), read(GOLDEN).meta["Index"]) == (True, 7)


def test_the_sums_are_no_part_of_the_base(old: dict[str, bytes]) -> None:
    """Sealed as an object of it, and refused in the place of one."""
    archive = read(GOLDEN)
    keyring = keyring_of(old)
    verify(archive, keyring, SystemRandom())
    from cluster.backup.format import parse

    parsed = parse(archive.sealed)
    assert parsed.header.part == SUMS_PART
    replay = Replay(old["generation"], BackupSealer(keyring, SystemRandom()), keyring.digest_key)
    with pytest.raises(DamagedError):
        replay.part(stored_of(parsed, len(archive.sealed)), archive.sealed)


def test_any_changed_byte_is_noticed(old: dict[str, bytes], tmp_path: Path) -> None:
    """By gzip, by the sums, or by the sealed sums; what is left as it was by the padding of a tar, is the same."""
    data, whole = GOLDEN.read_bytes(), read(GOLDEN)
    keyring = keyring_of(old)
    source = random.Random(7)
    for _ in range(150):
        at = source.randrange(len(data))
        changed = tmp_path / "changed"
        changed.write_bytes(data[:at] + bytes([data[at] ^ (1 << source.randrange(8))]) + data[at + 1 :])
        try:
            found = read(changed)
            verify(found, keyring, SystemRandom())
        except DamagedError:
            continue
        assert found == whole


@pytest.mark.parametrize("kept", [0, 1, 10, 500, 2000, 5000])
def test_a_part_of_it_is_no_snapshot(tmp_path: Path, kept: int) -> None:
    """Wherever it was cut off before its last file ends."""
    cut = tmp_path / "cut"
    cut.write_bytes(GOLDEN.read_bytes()[:kept])

    with pytest.raises(DamagedError):
        read(cut)


def test_a_tar_s_files_begin_and_end_at_blocks() -> None:
    """Also one that is past what ustar can say."""
    assert [len(tar_head("a", size, 1)) % 512 for size in (0, 1, 9 << 30)] == [0, 0, 0]
    assert [(size + len(tar_padding(size))) % 512 for size in (0, 1, 511, 512, 513)] == [0] * 5


async def test_what_is_not_open_gives_nothing(tmp_path: Path) -> None:
    """A sink that was closed, or whose file is gone."""
    sink = SnapshotSink(GOLDEN)
    with pytest.raises(SinkError, match="not opened"):
        await sink.generations()
    await sink.open()
    stored, *_ = [one async for one in sink.objects((await sink.generations())[0].generation)]
    assert len(await sink.read(b"", stored)) == stored.size
    assert [one async for one in sink.objects(b"another")] == []
    await sink.close()
    with pytest.raises(SinkError, match="not opened"):
        await sink.read(b"", stored)
    with pytest.raises(SinkError, match="No such file"):
        await SnapshotSink(tmp_path / "gone").look()
    (tmp_path / "text").write_text("text")
    with pytest.raises(SinkRefusedError, match="this is no snapshot"):
        await SnapshotSink(tmp_path / "text").look()
