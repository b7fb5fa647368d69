"""What an operator brings, and what a leader offers: a saved snapshot, the tar within it, the keyring of a rekey.

The tar is given its checksums and sums back after most mutations: they find accidents, and whoever makes a file makes
them too.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
from functools import cache
from types import SimpleNamespace
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from cluster import rotation
from cluster.backup import archive, sealed
from cluster.backup import format as objects
from cluster.backup.archive import BLOCK_BYTES, META, STATE, SUMS, Gzip, read_archive, sums_of, verify
from cluster.errors import DamagedError, StrongroomError
from cluster.keyring import envelope, seal
from cluster.keyring.seal import NewSeal, rekey
from cluster.keyring.unsealers import peers
from cluster.rotation import Keyrings, Offer
from tests.hostile.running import Target
from tests.hostile.targets_files import GOLDEN
from tests.hostile.targets_keys import ENVELOPE, KEYRING, RANDOM, SEAL
from tests.hostile.targets_node import drive

STATE_BYTES_MAX = 1 << 22


class Room:
    """As much as was asked for, and no more."""

    def __init__(self) -> None:
        self._left = STATE_BYTES_MAX

    def check(self, size_bytes: int) -> None:
        self._left -= size_bytes
        if self._left < 0:
            raise DamagedError("there is no room for it")


def read_whole(data: bytes) -> None:
    """The file as somebody has it, and then with the keys."""
    found = read_archive(io.BytesIO(data), io.BytesIO(), Room().check)
    if not found.places:
        raise AssertionError("a snapshot of nothing")
    verify(found, KEYRING, RANDOM)


def read_tar(data: bytes) -> None:
    """What stands in the gzip."""
    packer = Gzip()
    read_whole(packer.add(data) + packer.end())


def repair_tar(data: bytes) -> bytes:
    """Checksums of the heads, and SHA256SUMS, are right wherever a head says where its file ends."""
    changed = bytearray(data)
    places: dict[str, tuple[int, int]] = {}
    at = 0
    while at + BLOCK_BYTES <= len(changed) and any(changed[at : at + BLOCK_BYTES]):
        head = changed[at : at + BLOCK_BYTES]
        head[148:156] = b" " * 8
        changed[at + 148 : at + 156] = b"%06o\0 " % sum(head)
        try:
            size = int(head[124:135].rstrip(b"\0 ") or b"0", 8)
        except ValueError:
            break
        if not 0 <= size <= len(changed) - at - BLOCK_BYTES:
            break
        places[head[:100].split(b"\0")[0].decode("latin-1")] = (at + BLOCK_BYTES, size)
        at += BLOCK_BYTES + size + -size % BLOCK_BYTES
    if {META, STATE, SUMS} <= places.keys():
        parts = {name: bytes(changed[start : start + size]) for name, (start, size) in places.items()}
        sums = sums_of(parts[META], hashlib.sha256(parts[STATE]).hexdigest())
        start, size = places[SUMS]
        changed[start : start + size] = sums[:size].ljust(size)
    return bytes(changed)


def a_snapshot() -> bytes:
    return (GOLDEN / "snapshot-archive-1.snap").read_bytes()


# ---- the keyring of a rekey
@cache
def certificate() -> bytes:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    name = x509.Name([])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + dt.timedelta(days=1))
    return made.sign(key, None).public_bytes(Encoding.DER)


@cache
def made() -> NewSeal:
    return rekey(KEYRING, SEAL, RANDOM, 1, shares=3, threshold=2)


class Following:
    """A member that follows n1, which gives the root key of its rekey to whoever asks."""

    def __init__(self) -> None:
        self.leader_id = "n1"
        self.cluster_id = KEYRING.cluster_id
        self.unsealed = SimpleNamespace(is_key_of=lambda _envelope: False, root_key=bytearray(32))
        self.settings = SimpleNamespace(node_id="n2", certificate_der=certificate())
        self.running = SimpleNamespace(log=SimpleNamespace(incarnation=1))
        self.random = RANDOM
        self.links = self

    async def call(self, _peer: str, _method: str, body: bytes, _timeout_s: float) -> bytes:
        request = peers.Request.decode(body)
        standing = peers.Standing(
            peers=True, giver_id="n1", giver_marked=False, asker_marked=False, cluster_id=request.cluster_id,
            epoch=request.epoch, member_spki=request.spki, link_spki=request.spki, address="a", absence_s=1.0,
            absence_max_s=60.0, challenge_fresh=True, majority=False, local=(),
        )  # fmt: skip
        fact = peers.hand_out(request, standing)
        granted = {name: getattr(standing, name) for name in standing.__slots__} | {"local": (fact,)}
        return peers.grant(bytes(made().root_key), request, peers.Standing(**granted), RANDOM)


def take_offer(data: bytes) -> None:
    """As the leader sends it: nothing is kept but what the new root key opens."""
    member: Any = Following()
    keyrings = Keyrings(member)
    keyrings.in_use = ENVELOPE
    drive(keyrings.offered("n1", data))
    for unsealed in keyrings._offers.values():
        if bytes(unsealed.root_key) != bytes(made().root_key):
            raise AssertionError("keys of another rekey are kept")
        unsealed.wipe()


def an_offer() -> bytes:
    return msgspec.msgpack.encode(Offer(rotation.FORMAT, b"h" * 32, made().envelope))


ARCHIVE = (archive, objects, sealed)
ALL = (
    Target("snapshot-archive", read_whole, (DamagedError,), (a_snapshot(),), ARCHIVE, memory_base_bytes=1 << 24),
    Target("snapshot-archive-tar", read_tar, (DamagedError,), (gzip.decompress(a_snapshot()),), ARCHIVE,
           memory_base_bytes=1 << 24, repair=repair_tar),
    Target("keyring-offer", take_offer, (StrongroomError,), (an_offer(),), (rotation, envelope, seal, peers),
           packed_at=0),
)  # fmt: skip
