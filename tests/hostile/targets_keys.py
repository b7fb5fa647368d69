"""What is sealed, and what seals: envelope, keyring, sealed blobs, shares, key file, hand-outs of the root key."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cluster.errors import DamagedError, WrongKeyError
from cluster.keyring import envelope, keyring, purposes, seal, sealing, shamir
from cluster.keyring.keyring import Keyring
from cluster.keyring.purposes import Purpose
from cluster.keyring.seal import InvalidShareError, WrongSharesError
from cluster.keyring.sealing import Sealer
from cluster.keyring.shamir import SharesError
from cluster.keyring.unsealers import peers, static
from tests.hostile.running import Target
from tests.hostile.targets_files import golden

if TYPE_CHECKING:
    from collections.abc import Callable


class Drawn:
    """Bytes that repeat from run to run, no block twice."""

    def __init__(self) -> None:
        self._count = 0

    def bytes(self, count: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(count, "little") if count >= 4 else bytes(count)

    def uniform(self) -> float:
        return 0.5


def hexed(name: str, field: str) -> bytes:
    found = golden(name)[field]
    assert isinstance(found, str)
    return bytes.fromhex(found)


RANDOM = Drawn()
ROOT_KEY = hexed("keyring_envelope", "root_key")
GENERATION = hexed("keyring_envelope", "generation")
KEYRING = Keyring.decode(hexed("keyring_envelope", "keyring"))
SEALER = Sealer(KEYRING, RANDOM, GENERATION)
SEALER.learn_salt(1, hexed("sealed_value", "key_term_id"), hexed("sealed_value", "salt"))
NONCE = b"nonce-of-12b"
ENVELOPE = hexed("keyring_envelope", "envelope")
SEAL = envelope.read_seal(ENVELOPE)[1]


def open_sealed_again(plaintext: bytes) -> None:
    """A keyring of any bytes, sealed as only the holder of the root key could: what is behind the cipher is reached."""
    draft = envelope.Envelope(KEYRING.cluster_id, SEAL, envelope._encode_seal(SEAL), b"")
    head = draft.head()
    key = purposes.derive(ROOT_KEY, Purpose.KEYRING)
    box = NONCE + AESGCM(key).encrypt(NONCE, plaintext, envelope._aad(draft, head))
    envelope.open_keyring(ROOT_KEY, head + box).wipe()


def open_envelope(data: bytes) -> None:
    envelope.read_seal(data)
    envelope.open_keyring(ROOT_KEY, data)


def read_seal_config(data: bytes) -> None:
    """A seal configuration of any bytes, where a sealed node reads it: nothing of it is verified yet."""
    head = envelope._HEAD.pack(envelope.MAGIC, 1, b"c" * 16, len(data) & 0xFFFF)
    whole = head + data[:0xFFFF] + bytes(28)
    _, config = envelope.read_seal(whole)
    envelope.Envelope.decode(whole).encode()
    seal.init_problem(config.type, secret_shares=config.shares, secret_threshold=config.threshold)
    try:
        envelope.open_keyring(ROOT_KEY, whole)
    except (WrongKeyError, DamagedError):
        return
    raise AssertionError("an empty box opens")


def use_keyring(data: bytes) -> None:
    found = Keyring.decode(data)
    if Keyring.decode(found.encode()).encode() != found.encode():
        raise AssertionError("a keyring is not what was read")
    found.rotate(RANDOM, 1).wipe()
    found.conflict_hash(found.token_hash(b"x"))


def read_entry(data: bytes) -> None:
    sealing.entry_kind(data)
    sealing.entry_hashes(data)
    sealing.entry_sequence(data)
    SEALER.open_entry(7, data)


def read_chunk(data: bytes) -> None:
    SEALER.open_chunk(snapshot_id=hexed("sealed_snapshot_chunk", "snapshot_id"), index=100, term=7, chunk=data)


def read_value(data: bytes) -> None:
    place = {name: hexed("sealed_value", name) for name in ("key", "field", "record_id")}
    SEALER.open_value(1, data, table=1, **place)


def offer_shares(data: bytes) -> None:
    """Lines, one share each, as a client writes them."""
    progress = seal.UnsealProgress(envelope.SealConfig("shamir", 5, 3, SEAL.key_check, True, 1), RANDOM)
    for line in data.decode("utf-8", "replace").split("\n")[:40]:
        try:
            progress.offer(line)
        except (InvalidShareError, WrongSharesError):
            continue
    if progress.progress >= progress.threshold:
        raise AssertionError("more shares are kept than are needed")


def combine(data: bytes) -> None:
    size = 1 + data[0] % 40 if data else 1
    shamir.combine([data[at : at + size] for at in range(1, min(len(data), 255 * 40), size)])


def unwrap(data: bytes) -> None:
    static.unwrap(hexed("static_wrapped_root", "static_key"), data, SEAL.key_check, SEAL.epoch)


def ask_and_grant(data: bytes) -> None:
    """A request of a peer, as far as its grant."""
    grant_to(peers.Request.decode(data))


def grant_to(request: peers.Request) -> bytes:
    standing = peers.Standing(
        peers=True, giver_id="n1", giver_marked=False, asker_marked=False, cluster_id=request.cluster_id,
        epoch=request.epoch, member_spki=request.spki, link_spki=request.spki, address="a", absence_s=1.0,
        absence_max_s=60.0, challenge_fresh=True, majority=False, local=(),
    )  # fmt: skip
    fact = peers.hand_out(request, standing)
    granted = peers.Standing(**{name: getattr(standing, name) for name in standing.__slots__} | {"local": (fact,)})
    return peers.grant(ROOT_KEY, request, granted, RANDOM)


def open_grant(data: bytes) -> None:
    asking().open("n1", data)


def asking() -> peers.Asking:
    return peers.Asking(
        Drawn(), node_id="n2", spki=b"s" * 32, incarnation=1, cluster_id=b"c" * 16, epoch=1, challenge=b"h" * 32
    )


def shares() -> bytes:
    parts = shamir.split(ROOT_KEY, 5, 3, RANDOM)
    return b"\n".join([parts[0].hex().encode(), base64.b64encode(parts[1]), parts[0].hex().encode(), b"x"])


def target(name: str, run: Callable[[bytes], object], *seeds: bytes, raises: tuple[type[BaseException], ...] = (),
           packed_at: int | None = None) -> Target:  # fmt: skip
    modules = (envelope, keyring, purposes, seal, sealing, shamir, peers, static)
    return Target(name, run, raises or (DamagedError,), seeds, modules, packed_at=packed_at)


ALL = (
    target("envelope", open_envelope, ENVELOPE, raises=(DamagedError, WrongKeyError)),
    target("seal-config", read_seal_config, envelope._encode_seal(SEAL), packed_at=0),
    target("keyring-resealed", open_sealed_again, hexed("keyring_envelope", "keyring")),
    target("keyring", use_keyring, hexed("keyring_envelope", "keyring")),
    target("sealed-entry", read_entry, hexed("sealed_entry", "entry")),
    target("sealed-chunk", read_chunk, hexed("sealed_snapshot_chunk", "chunk")),
    target("sealed-value", read_value, hexed("sealed_value", "box")),
    target("shares", offer_shares, shares()),
    target("shares-combined", combine, b"\x20" + b"".join(shamir.split(ROOT_KEY, 5, 3, RANDOM)), raises=(SharesError,)),
    target("static-wrapped", unwrap, hexed("static_wrapped_root", "wrapped"), raises=(DamagedError, WrongKeyError)),
    target("key-file", static.parse_key, ROOT_KEY.hex().encode() + b"\n", base64.b64encode(ROOT_KEY),
           raises=(static.KeyFileError,)),
    target("hand-out-request", ask_and_grant, hexed("peers_grant", "request"), packed_at=6,
           raises=(DamagedError,)),
    target("hand-out-grant", open_grant, grant_to(asking().request)),
)  # fmt: skip
