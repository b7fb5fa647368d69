"""The form of a saved snapshot: a gzip'd tar of meta.json, state.bin, SHA256SUMS and SHA256SUMS.sealed, as Vault's.

Pure but for the file that is read. state.bin is a fresh base (bases.py), its sealed objects one after another, each
behind its length (u32); the sealed sums are one more object of that base, numbered as no part of a base is.

Invariants
  R1  nothing in the file is readable without a threshold of shares but what heads of backup objects say: indexes,
      times, ids of nodes and of the line of history
  R2  a file is taken for whole only if both sums are there and right; the sealed ones are compared with keys (`verify`)
Source: Vault API, "sys/storage/raft/snapshot"; POSIX ustar.
"""

from __future__ import annotations

import hashlib
import hmac
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
    from collections.abc import Iterator
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
FOREIGN = "could not verify hash file, possibly the snapshot is using a different set of unseal keys"

_LENGTH = struct.Struct(">I")


class Place(NamedTuple):
    """One object in state.bin."""

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
def read_archive(name: str, state: BinaryIO) -> Archive:
    """The file of that name; its state.bin stands in `state` afterwards. Raises DamagedError (R2), OSError."""
    small: dict[str, bytes] = {}
    state_sha256 = ""
    try:
        with tarfile.open(name, "r|gz") as tar:
            for entry in tar:
                source = tar.extractfile(entry)
                if source is None or entry.name not in {META, STATE, SUMS, SEALED}:
                    continue
                if entry.name == STATE and not state_sha256:
                    state_sha256 = _copied(source, state)
                elif entry.name != STATE and entry.name not in small and entry.size <= SMALL_BYTES_MAX:
                    small[entry.name] = source.read()
                else:
                    raise DamagedError("a file of the snapshot stands there twice, or is too large")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DamagedError("this is no snapshot, or not all of it") from error
    if small.keys() != {META, SUMS, SEALED} or not state_sha256:
        raise DamagedError("this is no snapshot, or not all of it")
    if not hmac.compare_digest(sums_of(small[META], state_sha256), small[SUMS]):
        raise DamagedError("the sums of the snapshot are not those of its files: it is damaged")
    return Archive(_meta(small[META]), list(_objects(state)), small[SUMS], small[SEALED])


def verify(archive: Archive, keyring: Keyring, random: Random) -> None:
    """The sums are the ones that the cluster of these keys sealed. Raises DamagedError."""
    sealer = BackupSealer(keyring, random)
    try:
        parsed, last = parse(archive.sealed), archive.places[-1].parsed
        same = sealer.open(parsed) == archive.sums and parsed.header.part == SUMS_PART
    except DamagedError:
        raise DamagedError(FOREIGN) from None
    finally:
        sealer.wipe()
    if not same or parsed.header.previous != last.hash or parsed.header.generation != last.header.generation:
        raise DamagedError(FOREIGN)


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


def _copied(source: Any, state: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := source.read(PIECE_BYTES):
        digest.update(piece)
        state.write(piece)
    return digest.hexdigest()


def _objects(state: BinaryIO) -> Iterator[Place]:
    """Raises DamagedError for what is no base."""
    end, offset = state.tell(), 0
    while offset < end:
        state.seek(offset)
        head = state.read(_LENGTH.size)
        size = int.from_bytes(head)
        if len(head) < _LENGTH.size or not 0 < size <= min(OBJECT_BYTES_MAX, end - offset - _LENGTH.size):
            raise DamagedError("an object of the snapshot has an impossible length")
        parsed = parse(state.read(size))
        if parsed.header.kind != Kind.BASE:
            raise DamagedError("a snapshot holds one base, and this one something else")
        yield Place(offset + _LENGTH.size, parsed, size)
        offset += _LENGTH.size + size
    if not end:
        raise DamagedError("a snapshot without a state")
