"""The form of a saved snapshot: a gzip'd tar of meta.json, state.bin, SHA256SUMS and SHA256SUMS.sealed, as Vault's.

Pure but for the file that is read. state.bin is a fresh base (bases.py), its sealed objects one after another, each
behind its length (u32); the sealed sums are one more object of that base, numbered as no part of a base is.

Invariants
  R1  nothing in the file is readable without a threshold of shares but what heads of backup objects say: indexes,
      times, ids of nodes and of the line of history
  R2  a file is taken for whole only if both sums are there and right; the sealed ones are compared with keys (`verify`)
  R3  whatever a file says of itself, reading it takes memory for one object, and disk for twice its size: it holds
      four plain files of which ciphertext is the bulk, and nothing that a tar could hold beside them is understood
Source: Vault API, "sys/storage/raft/snapshot"; POSIX ustar.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
import struct
import tarfile
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..errors import DamagedError
from .format import OBJECT_BYTES_MAX, Header, Kind, parse
from .sealed import BackupSealer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from ..keyring.keyring import Keyring
    from ..seams import Random
    from .format import Parsed

FORMAT = 1
META, STATE, SUMS, SEALED = "meta.json", "state.bin", "SHA256SUMS", "SHA256SUMS.sealed"
SUMS_PART = 0xFFFFFFFF
SMALL_BYTES_MAX = 1 << 20
PIECE_BYTES = 1 << 16
BLOCK_BYTES = 512
TAR_END = bytes(2 * BLOCK_BYTES)
TAR_REST_BYTES_MAX = 1 << 20  # programs fill a tar up to whole records
OBJECTS_MIN = 1024  # beside as many as there are of this mean size: parts of a base are larger (R3)
OBJECT_BYTES_MEAN_MIN = 1 << 14
FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE)
NOT_WHOLE = "this is no snapshot, or not all of it"
FOREIGN = "could not verify hash file, possibly the snapshot is using a different set of unseal keys"

_LENGTH = struct.Struct(">I")


class ForeignSnapshotError(DamagedError):
    """The sealed sums are not those that the cluster of these keys made."""

    def __init__(self) -> None:
        super().__init__(FOREIGN)


class Place(NamedTuple):
    """One object in state.bin. `parsed` is without its head and box (R3)."""

    offset: int
    parsed: Parsed
    size: int


class Archive(NamedTuple):
    """What a file holds beside state.bin, and where the objects of that are. Whole, and not verified."""

    meta: dict[str, Any]
    places: list[Place]
    sums: bytes
    sealed: bytes


# ---- writing
def framed(data: bytes) -> bytes:
    """An object as it stands in state.bin."""
    return _LENGTH.pack(len(data)) + data


def meta_of(first: Header, cluster_id: bytes, size_bytes: int, members: list[dict[str, Any]]) -> bytes:
    """meta.json: the names that Vault's has, and ours below one of their own."""
    body = {
        "Version": 1,
        "ID": f"{first.term}-{first.last}-{first.time_ns // 1_000_000}",
        "Index": first.last,
        "Term": first.term,
        "Configuration": {"Servers": members},
        "ConfigurationIndex": 1,
        "Size": size_bytes,
        "Strongroom": {
            "Format": FORMAT,
            "Generation": first.generation.hex(),
            "ClusterID": cluster_id.hex(),
            "TimeNS": first.time_ns,
        },
    }
    return json.dumps(body, indent=1).encode() + b"\n"


def sums_of(meta: bytes, state_sha256: str) -> bytes:
    """SHA256SUMS, as sha256sum writes it."""
    return f"{hashlib.sha256(meta).hexdigest()}  {META}\n{state_sha256}  {STATE}\n".encode()


def seal_sums(sealer: BackupSealer, last: Parsed, sums: bytes) -> bytes:
    """SHA256SUMS.sealed. `last` is the final part of the base."""
    header = msgspec.structs.replace(
        last.header, part=SUMS_PART, final=False, fresh=False, previous=last.hash, place=sealer.place(), envelope=b""
    )
    return sealer.seal(header, sums)


def tar_head(name: str, size_bytes: int, time_s: int) -> bytes:
    """What stands before a file in a tar."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size_bytes, time_s, 0o600
    return entry.tobuf(tarfile.GNU_FORMAT)  # ustar ends at 8 GiB


def tar_padding(size_bytes: int) -> bytes:
    """What stands behind it."""
    return bytes(-size_bytes % BLOCK_BYTES)


class Gzip:
    """Bytes as gzip: stored, not compressed, because ciphertext does not become smaller."""

    def __init__(self) -> None:
        self._encoder = zlib.compressobj(0, zlib.DEFLATED, 31)

    def add(self, data: bytes) -> bytes:
        """What can be sent of it by now."""
        return self._encoder.compress(data)

    def end(self) -> bytes:
        """The rest."""
        return self._encoder.flush()


# ---- reading
def read_archive(
    source: str | BinaryIO, state: BinaryIO, check_room: Callable[[int], None] = lambda _size_bytes: None
) -> Archive:
    """The file, by its name or open; its state.bin stands in `state` afterwards. Raises DamagedError (R2), OSError.

    `check_room` is asked before so many bytes are written to `state`; what it raises is raised.
    """
    if isinstance(source, str):
        with open(source, "rb") as file:  # noqa: PTH123 - as it was named
            return read_archive(file, state, check_room)
    small: dict[str, bytes] = {}
    state_sha256 = ""
    state_bytes_max = 2 * source.seek(0, io.SEEK_END) + SMALL_BYTES_MAX
    source.seek(0)
    try:
        with gzip.GzipFile(fileobj=source) as plain:
            for name, size_bytes in _files(plain):
                if name == STATE and not state_sha256:
                    if size_bytes > state_bytes_max:
                        raise DamagedError("the snapshot was packed smaller than one can be: it is another file")
                    state_sha256 = _copied(plain, size_bytes, state, check_room)
                elif name in {META, SUMS, SEALED} and name not in small and size_bytes <= SMALL_BYTES_MAX:
                    small[name] = _exactly(plain, size_bytes)
                else:
                    raise DamagedError("the snapshot holds a file twice, too large, or of another name")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedError(NOT_WHOLE) from error
    if small.keys() != {META, SUMS, SEALED} or not state_sha256:
        raise DamagedError(NOT_WHOLE)
    if not hmac.compare_digest(sums_of(small[META], state_sha256), small[SUMS]):
        raise DamagedError("the sums of the snapshot are not those of its files: it is damaged")
    return Archive(_meta(small[META]), list(_objects(state)), small[SUMS], small[SEALED])


def _files(plain: gzip.GzipFile) -> Iterator[tuple[str, int]]:
    """(name, size) of each file of a tar, which must be read whole before the next is asked for (R3).

    At last all of the gzip was read, so its own sums are compared, too. Raises DamagedError.
    """
    while any(block := _exactly(plain, BLOCK_BYTES)):
        try:
            entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise DamagedError(NOT_WHOLE) from None
        if entry.type not in FILE_TYPES or entry.size < 0:
            raise DamagedError("the snapshot holds something that is no plain file")
        yield entry.name, entry.size
        _exactly(plain, -entry.size % BLOCK_BYTES)
    rest = plain.read(TAR_REST_BYTES_MAX + 1)
    if any(rest) or len(rest) > TAR_REST_BYTES_MAX:
        raise DamagedError("the snapshot goes on behind its end")


def _exactly(plain: gzip.GzipFile, size_bytes: int) -> bytes:
    data = plain.read(size_bytes)
    if len(data) < size_bytes:
        raise DamagedError(NOT_WHOLE)
    return data


def verify(archive: Archive, keyring: Keyring, random: Random) -> None:
    """The sums are the ones that the cluster of these keys sealed. Raises ForeignSnapshotError."""
    sealer = BackupSealer(keyring, random)
    try:
        parsed, last = parse(archive.sealed), archive.places[-1].parsed
        same = sealer.open(parsed) == archive.sums and parsed.header.part == SUMS_PART
    except DamagedError:
        raise ForeignSnapshotError from None
    finally:
        sealer.wipe()
    if not same or parsed.header.previous != last.hash or parsed.header.generation != last.header.generation:
        raise ForeignSnapshotError


def _meta(data: bytes) -> dict[str, Any]:
    try:
        meta = json.loads(data)
        number = meta["Strongroom"]["Format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DamagedError("a snapshot of another program") from None
    if number != FORMAT:
        raise DamagedError(f"a snapshot of another format; this program reads {FORMAT}")
    assert isinstance(meta, dict)
    return meta


def _copied(plain: gzip.GzipFile, size_bytes: int, state: BinaryIO, check_room: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    while size_bytes:
        piece = _exactly(plain, min(size_bytes, PIECE_BYTES))
        check_room(len(piece))
        digest.update(piece)
        state.write(piece)
        size_bytes -= len(piece)
    return digest.hexdigest()


def _objects(state: BinaryIO) -> Iterator[Place]:
    """Raises DamagedError for what is no base."""
    end, offset, left = state.tell(), 0, OBJECTS_MIN + state.tell() // OBJECT_BYTES_MEAN_MIN
    while offset < end:
        state.seek(offset)
        head = state.read(_LENGTH.size)
        size = int.from_bytes(head)
        if len(head) < _LENGTH.size or not 0 < size <= min(OBJECT_BYTES_MAX, end - offset - _LENGTH.size):
            raise DamagedError("an object of the snapshot has an impossible length")
        parsed = parse(state.read(size))
        if parsed.header.kind != Kind.BASE:
            raise DamagedError("a snapshot holds one base, and this one something else")
        left -= 1
        if left < 0:
            raise DamagedError("a snapshot has fewer and larger objects")
        yield Place(offset + _LENGTH.size, msgspec.structs.replace(parsed, head=b"", box=b""), size)
        offset += _LENGTH.size + size
    if not end:
        raise DamagedError("a snapshot without a state")
