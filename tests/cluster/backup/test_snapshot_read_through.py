"""A snapshot that is sent: taken in within bounds, and read through without building a state, verified as a whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster.backup import archive, arriving
from cluster.backup.archive import ForeignSnapshotError, read_archive
from cluster.backup.arriving import Arrived, Arriving
from cluster.backup.bases import head_of_base, objects_of_base
from cluster.backup.format import parse
from cluster.backup.read_through import ReadThrough
from cluster.backup.saving import NoRoomError
from cluster.backup.sealed import BackupSealer
from cluster.errors import DamagedError, SealedError, TooLargeError
from cluster.keyring import Keyring
from cluster.seams import SystemRandom
from cluster.state import records
from cluster.state.machine import State
from cluster.state.snapshot import PART_BYTES, End, Snapshot, records_of
from cluster.state.tables import Table, version_key
from cluster.state.transaction import Transaction

UUID = b"u" * 16
GENERATION = b"g" * 16


@pytest.fixture(name="keyring", scope="module")
def _keyring() -> Keyring:
    return Keyring.create(SystemRandom(), b"c" * 16, 1)


def a_state(keyring: Keyring) -> State:
    """Policies, a mount, and secrets; the versions of one are more than fits into one part."""
    state = State(keyring.digest_key)
    puts: list[tuple[int, bytes, bytes]] = [
        (Table.POLICY, b"p%d" % number, records.encode(records.Policy(text="x" * number))) for number in range(50)
    ]
    puts.append((Table.MOUNT, b"secret/", records.encode(records.Mount(uuid=UUID, type="kv"))))
    state.apply(1, 1, Transaction(1, 1, 5, [], puts, []))
    for number in range(1, 8):
        key = UUID + b"large"
        version = records.encode(records.Version(created_ns=number, box=bytes([number]) * (PART_BYTES // 3)))
        metadata = records.encode(records.Secret(current=number, rid=b"r" * 8))
        puts = [(Table.SECRET, key, metadata), (Table.VERSION, version_key(key, number), version)]
        state.apply(1 + number, 1, Transaction(1, 1 + number, 5 + number, [], puts, []))
    return state


def packed(
    state: State, keyring: Keyring, *, change: Any = lambda payloads: payloads, drop: tuple[int, ...] = ()
) -> bytes:
    """The state as a file that is whole, and sealed by its cluster; some of it changed, or left out, before."""
    sealer = BackupSealer(keyring, SystemRandom())
    snapshot = Snapshot(state)
    head = head_of_base(
        GENERATION, snapshot.index, snapshot.term, state.time_ns, follows=None, envelope=b"", node_id="n1",
        random=SystemRandom(),
    )  # fmt: skip
    objects = list(objects_of_base(head, iter(change(list(snapshot.chunks()))), lambda: sealer))
    kept = [one for number, one in enumerate(objects) if number not in drop]
    body = b"".join(archive.framed(data) for data, _ in kept)
    meta = archive.meta_of(head, b"c" * 16, len(body), [])
    sums = archive.sums_of(meta, hashlib.sha256(body).hexdigest())
    files = {
        archive.META: meta, archive.STATE: body, archive.SUMS: sums,
        archive.SEALED: archive.seal_sums(sealer, kept[-1][1], sums),
    }  # fmt: skip
    tar = b"".join(archive.tar_head(n, len(d), 1) + d + archive.tar_padding(len(d)) for n, d in files.items())
    return gzip.compress(tar + archive.TAR_END, 0)


def opened(data: bytes) -> Arrived:
    state = io.BytesIO()
    return Arrived(read_archive(io.BytesIO(data), state), state)


async def test_it_gives_every_record_of_the_state(keyring: Keyring) -> None:
    """Of a secret the metadata first; the index, the counts and the tables that were asked for."""
    state = a_state(keyring)
    through = ReadThrough(opened(packed(state, keyring)), keyring, SystemRandom())
    contents = await through.verify([Table.MOUNT])
    found = [one async for part in through.parts() for one in part]
    through.wipe()

    assert (contents.generation, contents.at_index, contents.time_ns) == (GENERATION, 8, 12)
    assert contents.kept == {Table.MOUNT: {b"secret/": state.get(Table.MOUNT, b"secret/")[1]}}  # type: ignore[index]
    assert sorted(found) == sorted((table, key, record) for table, key, _, record in state.records())
    own = [(table, key) for table, key, _ in found if key.startswith(UUID)]
    assert (own[0], len(own)) == ((Table.SECRET, UUID + b"large"), 8)


async def test_one_part_is_in_memory_at_a_time(keyring: Keyring) -> None:
    """Neither the list of its objects nor its records are held."""
    data = packed(a_state(keyring), keyring)
    state = io.BytesIO()
    tracemalloc.start()
    read = read_archive(io.BytesIO(data), state)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert all(place.parsed.box == b"" == place.parsed.head for place in read.places)
    assert held < len(data) + PART_BYTES // 2  # the copy in `state`, and nothing else of its size


def lied(payloads: list[bytes], **fields: Any) -> list[bytes]:
    """With an end that says something else."""
    end = records_of(payloads[-1])
    assert isinstance(end, End)
    return [*payloads[:-1], payloads[-1][:4] + msgspec.msgpack.encode(msgspec.structs.replace(end, **fields))]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda found: lied(found, digest=b"d" * 16), "digest"),
        (lambda found: lied(found, counts={9: 1}), "not complete"),
        (lambda found: lied(found, index=7), "not complete"),
        (lambda found: found[:-1], "not complete"),
        (lambda found: [*found, found[0]], "goes on behind its end"),
        (lambda found: [*found[1:]], "not complete"),
        (lambda found: [b"xx", *found], "does not decode"),
        (lambda found: [found[0][:2] + b"\x09\x00" + found[0][4:], *found[1:]], "no known kind"),
    ],
)
async def test_what_is_not_the_state_it_says_is_refused(keyring: Keyring, change: Any, text: str) -> None:
    """Though its cluster sealed it, each part in its place: the digest and the counts are the last word."""
    through = ReadThrough(opened(packed(a_state(keyring), keyring, change=change)), keyring, SystemRandom())
    with pytest.raises(DamagedError, match=text):
        await through.verify()


@pytest.mark.parametrize("drop", [(0,), (1,), (-1,)])
async def test_a_part_that_is_missing_is_noticed(keyring: Keyring, drop: tuple[int, ...]) -> None:
    """The first, one in the middle, the last: by the chain alone, the sums are right."""
    state = a_state(keyring)
    count = len(list(Snapshot(state).chunks()))
    data = packed(state, keyring, drop=tuple(number % count for number in drop))
    with pytest.raises(DamagedError, match=r"not in its place|no end"):
        await ReadThrough(opened(data), keyring, SystemRandom()).verify()


async def test_keys_of_another_cluster_and_keys_that_are_wiped(keyring: Keyring) -> None:
    """The one is foreign; the other is sealed, and says nothing of the file."""
    data = packed(a_state(keyring), keyring)
    with pytest.raises(ForeignSnapshotError):
        await ReadThrough(opened(data), Keyring.create(SystemRandom(), b"o" * 16, 1), SystemRandom()).verify()
    wiped = Keyring.decode(keyring.encode())
    through = ReadThrough(opened(data), wiped, SystemRandom())
    await through.verify()
    wiped.wipe()
    with pytest.raises(SealedError):
        await through.verify()


async def test_the_file_cannot_become_another_once_it_was_verified(keyring: Keyring) -> None:
    """Each part is compared with what was listed when it arrived."""
    arrived = opened(packed(a_state(keyring), keyring))
    through = ReadThrough(arrived, keyring, SystemRandom())
    await through.verify()
    place = arrived.archive.places[0]
    arrived.state.seek(place.offset + place.size - 1)
    arrived.state.write(b"x")
    with pytest.raises(DamagedError):
        [part async for part in through.parts()]


# ---- taking it in
async def taken(folder: Path, data: bytes, bytes_max: int, piece: int = 70_000) -> Arrived:
    one = Arriving(folder, bytes_max)
    try:
        for at in range(0, len(data), piece):
            await one.add(data[at : at + piece])
        return await one.unpack()
    except BaseException:
        one.close()
        raise


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_what_arrives_is_what_was_sent(keyring: Keyring, tmp_path: Path) -> None:
    """In pieces of any size; nothing has a name, and nothing is open afterwards."""
    data = packed(a_state(keyring), keyring)
    one = Arriving(tmp_path, 2 * len(data))
    for at in range(0, len(data), 999_983):
        await one.add(data[at : at + 999_983])
    arrived = await one.unpack()
    assert (await ReadThrough(arrived, keyring, SystemRandom()).verify()).at_index == 8
    assert names_in(tmp_path) == []
    one.close()
    one.close()
    assert arrived.state.closed


async def test_a_disk_keeps_what_the_node_needs(
    keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it comes, and while it is unpacked; and no more is taken than may be."""
    data = packed(a_state(keyring), keyring)
    with pytest.raises(TooLargeError):
        await taken(tmp_path, data, len(data) - 1)
    monkeypatch.setattr(arriving, "FREE_BYTES_MIN", 1 << 62)
    with pytest.raises(NoRoomError):
        await taken(tmp_path, data, 1 << 40)
    with pytest.raises(NoRoomError):
        await taken(tmp_path, data[:1000], 1 << 40)


# ---- what a tar could be
def tarred(**more: Any) -> bytes:
    entry = tarfile.TarInfo(more.pop("name", "state.bin"))
    for name, value in more.items():
        setattr(entry, name, value)
    return entry.tobuf(tarfile.GNU_FORMAT)


async def test_it_does_not_grow_when_it_is_unpacked(tmp_path: Path) -> None:
    """Much that was packed into little is no ciphertext, and is not unpacked, wherever it comes from."""
    size = 64 << 20
    bomb = gzip.compress(tarred(size=size) + bytes(size) + archive.TAR_END, 9)
    assert len(bomb) < size // 100
    with pytest.raises(DamagedError, match="packed smaller"):
        await taken(tmp_path, bomb, 1 << 40)
    state = io.BytesIO()
    (tmp_path / "bomb").write_bytes(bomb)
    with pytest.raises(DamagedError, match="packed smaller"):
        read_archive(str(tmp_path / "bomb"), state)
    assert state.getvalue() == b""


@pytest.mark.parametrize(
    "head",
    [
        tarred(type=tarfile.SYMTYPE, linkname="/etc"), tarred(type=tarfile.DIRTYPE), tarred(type=tarfile.LNKTYPE),
        tarred(type=tarfile.XHDTYPE, size=1 << 33), tarred(type=tarfile.GNUTYPE_LONGNAME, size=1 << 33),
        tarred(type=tarfile.GNUTYPE_SPARSE), tarred(name="else"), tarred(name="meta.json", size=1 << 30),
        tarred(size=10) + b"0123456789" + bytes(502) + tarred(size=1), b"x" * 512,
    ],
)  # fmt: skip
def test_nothing_else_that_a_tar_can_hold_is_understood(head: bytes) -> None:
    """Links, folders, sparse files, long names, extended heads, other names, one name twice: refused by the head."""
    with pytest.raises(DamagedError):
        read_archive(io.BytesIO(gzip.compress(head + bytes(2048), 0)), io.BytesIO())


def test_many_small_objects_are_refused(keyring: Keyring) -> None:
    """What is remembered of each would be more than there is room for; real parts are large."""
    data = packed(State(keyring.digest_key), keyring)
    state = io.BytesIO()
    [place] = read_archive(io.BytesIO(data), state).places
    state.seek(place.offset)
    one = archive.framed(state.read(place.size))
    body = one * 3000
    meta = archive.meta_of(parse(one[4:]).header, b"c" * 16, len(body), [])
    sums = archive.sums_of(meta, hashlib.sha256(body).hexdigest())
    files = {archive.META: meta, archive.STATE: body, archive.SUMS: sums, archive.SEALED: b"x"}
    tar = b"".join(archive.tar_head(n, len(d), 1) + d + archive.tar_padding(len(d)) for n, d in files.items())
    with pytest.raises(DamagedError, match="fewer and larger objects"):
        read_archive(io.BytesIO(gzip.compress(tar + archive.TAR_END, 0)), io.BytesIO())
