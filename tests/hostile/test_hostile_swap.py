"""The swap test: every sealed blob, moved along every dimension of its authenticated data, opens nowhere.

The dimensions are read from the code: arguments of the functions that build the data, fields of what they are given.
One that is added without a case here fails `test_every_dimension_has_a_case`, and so does a purpose that nothing here
seals. Borders between neighbours, flipped bits and prefixes: tests/cluster/keyring.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from cluster.errors import DamagedError, WrongKeyError
from cluster.keyring import envelope, purposes, sealing
from cluster.keyring.envelope import Envelope, SealConfig, key_check, seal_keyring
from cluster.keyring.keyring import Keyring
from cluster.keyring.purposes import Purpose
from cluster.keyring.sealing import Sealer
from cluster.keyring.unsealers import peers, static
from tests.hostile.targets_keys import Drawn

if TYPE_CHECKING:
    from collections.abc import Callable

NONCE = b"nonce-of-12b"
ROOT_KEY = bytes(range(32))
KEYRING = Keyring.create(Drawn(), b"cluster-of-tests", 1)
GENERATION = b"generation"
UUID = b"mount-uuid-16-by"
SEAL = SealConfig("shamir", 5, 3, key_check(ROOT_KEY), True, 4, b"wrapped")
START = {"format": 2, "purpose": Purpose.BATCH, "key_term_id": b"other-id", "cluster_id": b"another cluster."}

VALUE = {"table": 1, "mount uuid": UUID, "path": b"app/db", "field": b"data", "record_id": b"rid-1"}
ENTRY: dict[str, Any] = {"kind": 1, "term": 7, "sequence": 9, "hashes": (b"hash-one", b"hash-two")}
CHUNK: dict[str, Any] = {"snapshot_id": b"snapshot", "index": 100, "term": 7, "number": 3, "final": False}
ASKED = {
    "node_id": "n3", "spki": b"s" * 32, "incarnation": 3, "cluster_id": b"c" * 16, "epoch": 1, "challenge": b"h" * 32,
}  # fmt: skip

# kind → dimension → values that it is moved to. What all kinds have in common is START.
CASES: dict[str, dict[str, tuple[Any, ...]]] = {
    "value": {
        "table": (0, 2, 255),
        "mount uuid": (b"mount-uuid-16-bz",),
        "path": (b"app/dc", b"app/d", b"app/db/", b""),
        "field": (b"custom", b""),
        "record_id": (b"rid-2", b""),
    },
    "entry": {
        "generation": (b"generatioN", b""),
        "kind": (0, 2, 255),
        "term": (6, 8, 0, (1 << 64) - 1),
        "sequence": (8, 10, 0),
        "hashes": (
            (b"hash-two", b"hash-one"), (b"hash-One", b"hash-two"), (b"hash-one", b"hash-Two"), (b"hash-one",),
            (b"hash-two",), (), (b"hash-one", b"hash-two", b"hash-two"), (b"hash-one", bytes(8)),
        ),
    },
    "chunk": {
        "generation": (b"generatioN", b""),
        "snapshot_id": (b"snapshoT", b""),
        "index": (99, 101, 0),
        "term": (6, 8, 0),
        "number": (2, 4, 0),
        "final": (True,),
    },
    "keyring": {
        "type": ("static",),
        "shares": (4, 0),
        "threshold": (2, 0),
        "key_check": (key_check(bytes(32)),),
        "peers": (False,),
        "epoch": (3, 5, 0),
        "wrapped_root": (b"", b"wrappeD"),
        "envelope's cluster id": (b"another cluster.",),
        "envelope's bytes": (b"\xa0",),
    },
    "batch token": {"generation": (b"generatioN", b"")},
    "wrapped root key": {"check": (key_check(bytes(32)),), "epoch": (3, 5, 0)},
    "hand-out": {
        "giver_id": ("n2", ""),
        "giver_public_key": (b"p" * 32,),
        "node_id": ("n2",),
        "spki": (b"t" * 32,),
        "incarnation": (2, 4),
        "cluster_id of the request": (b"d" * 16,),
        "epoch": (0, 2),
        "challenge": (b"i" * 32,),
        "public_key": (b"k" * 32,),
    },
}  # fmt: skip


# ---- the dimensions, as the code has them
def arguments(function: Callable[..., object], *without: str) -> set[str]:
    found = set(inspect.signature(function).parameters)
    assert set(without) <= found, f"{function.__qualname__} has other arguments"
    return found - set(without)


def dimensions() -> dict[str, set[str]]:
    """Kind → what its authenticated data is built of, besides what all begin with."""
    key = {"mount uuid", "path"}
    generation = arguments(Sealer.__init__, "self", "keyring", "random")
    fields = set(SealConfig.__struct_fields__)
    request = set(peers.Request.__struct_fields__) - {"cluster_id"}
    return {
        "value": arguments(sealing._value_aad, "start", "key") | key,
        "entry": arguments(sealing._entry_aad, "start", "head") | generation
        | arguments(Sealer.seal_entry, "self", "nonce", "payload"),
        "chunk": arguments(sealing._chunk_aad, "start") | generation,
        "keyring": fields | {
            f"envelope's {name.replace('_', ' ').replace('seal bytes', 'bytes')}"
            for name in set(Envelope.__dataclass_fields__) - {"seal", "box"}
        },
        "batch token": arguments(Sealer.seal_token, "self", "nonce", "payload") | generation,
        "wrapped root key": arguments(static._aad),
        "hand-out": arguments(peers._transcript, "request") | request | {"cluster_id of the request"},
    }  # fmt: skip


def test_every_dimension_has_a_case() -> None:
    """A field that is authenticated, or only thought to be, is moved by a test."""
    assert {kind: set(cases) for kind, cases in CASES.items()} == dimensions()
    assert set(START) == arguments(purposes.aad_start) | {"format"}
    assert arguments(Sealer.seal_value, "self", "nonce", "plaintext") == arguments(sealing._value_aad, "start")
    assert arguments(Sealer.seal_chunk, "self", "nonce", "payload") == arguments(sealing._chunk_aad, "start")
    assert arguments(envelope._aad) == {"parts", "head"}


def test_every_purpose_that_seals_is_moved_here() -> None:
    """Objects of a backup are a room of their own."""
    used = {
        node.attr
        for room in ("cluster", "node")
        for path in sorted((Path(__file__).parents[2] / room).rglob("*.py"))
        if "backup" not in path.parts and "Purpose." in (text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"Purpose", "purposes.Purpose"}
    }

    assert used == {"VALUE", "ENTRY", "SNAPSHOT", "KEYRING", "KEY_CHECK", "STATIC_WRAP", "HAND_OUT", "BATCH_TOKEN"}
    assert {one.name for one in Purpose} - used == {"BATCH"}


# ---- moving
def open_value(**moved: Any) -> object:
    sealer = Sealer(KEYRING, Drawn(), GENERATION)
    place = sealer.value_salt()
    sealer.learn_salt(1, *place)
    box = sealer.seal_value(NONCE, b"secret", **_keyed(VALUE))
    opener = Sealer(KEYRING, Drawn(), GENERATION)
    opener.learn_salt(1, *place)
    _patch(moved)
    return opener.open_value(1, box, **_keyed(VALUE | moved))


def _keyed(place: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in place.items() if name not in {"mount uuid", "path"}}
    return rest | {"key": place["mount uuid"] + place["path"]}


def open_entry(**moved: Any) -> object:
    """What is in the clear is written anew; what is not is told to the opener."""
    entry = Sealer(KEYRING, Drawn(), GENERATION).seal_entry(**ENTRY, payload=b"secret", nonce=NONCE)
    generation = moved.pop("generation", GENERATION)
    _patch(moved)
    place = ENTRY | moved
    head = sealing._ENTRY.pack(place["kind"], len(place["hashes"]), place["sequence"]) + b"".join(place["hashes"])
    return Sealer(KEYRING, Drawn(), generation).open_entry(place["term"], head + entry[26:])


def open_chunk(**moved: Any) -> object:
    chunk = Sealer(KEYRING, Drawn(), GENERATION).seal_chunk(**CHUNK, payload=b"secret", nonce=NONCE)
    generation = moved.pop("generation", GENERATION)
    _patch(moved)
    place = CHUNK | moved
    head = sealing._CHUNK.pack(place["number"], place["final"])
    return Sealer(KEYRING, Drawn(), generation).open_chunk(
        snapshot_id=place["snapshot_id"], index=place["index"], term=place["term"], chunk=head + chunk[5:]
    )


def open_token(**moved: Any) -> object:
    sealed = Sealer(KEYRING, Drawn(), GENERATION).seal_token(NONCE, b"policies")
    generation = moved.pop("generation", GENERATION)
    _patch(moved)
    return Sealer(KEYRING, Drawn(), generation).open_token(sealed)


def open_keyring(**moved: Any) -> object:
    parts = Envelope.decode(seal_keyring(ROOT_KEY, KEYRING, SEAL, NONCE))
    cluster_id = moved.pop("envelope's cluster id", parts.cluster_id)
    behind = moved.pop("envelope's bytes", b"")
    _patch(moved)
    seal = msgspec.structs.replace(SEAL, **moved)
    seal_bytes = msgspec.msgpack.encode(seal)
    if behind:  # the same configuration in other bytes: a field from the future
        seal_bytes = bytes([seal_bytes[0] + 1]) + seal_bytes[1:] + behind
    return envelope.open_keyring(ROOT_KEY, Envelope(cluster_id, seal, seal_bytes, parts.box).encode())


def open_wrapped(**moved: Any) -> object:
    wrapped = static.wrap(b"w" * 32, ROOT_KEY, SEAL.key_check, SEAL.epoch, NONCE)
    _patch(moved)
    place = {"check": SEAL.key_check, "epoch": SEAL.epoch} | moved
    return static.unwrap(b"w" * 32, wrapped, place["check"], place["epoch"])


def open_hand_out(**moved: Any) -> object:
    """The grant of one request, opened as the grant of another."""
    asking = peers.Asking(Drawn(), **ASKED)
    standing = peers.Standing(
        peers=True, giver_id="n1", giver_marked=False, asker_marked=False, cluster_id=asking.request.cluster_id,
        epoch=1, member_spki=b"s" * 32, link_spki=b"s" * 32, address="a", absence_s=1.0, absence_max_s=60.0,
        challenge_fresh=True, majority=False, local=(),
    )  # fmt: skip
    fact = peers.hand_out(asking.request, standing)
    fields = {name: getattr(standing, name) for name in peers.Standing.__slots__}
    grant = peers.grant(ROOT_KEY, asking.request, peers.Standing(**fields | {"local": (fact,)}), Drawn())
    giver = moved.pop("giver_id", "n1")
    key = moved.pop("giver_public_key", None)
    if key is not None:
        grant = grant[:6] + key + grant[38:]
    if "cluster_id of the request" in moved:
        moved["cluster_id"] = moved.pop("cluster_id of the request")
        asking.request = msgspec.structs.replace(asking.request, **moved)
        return asking.open(giver, grant)
    _patch(moved)
    asking.request = msgspec.structs.replace(asking.request, **moved)
    return asking.open(giver, grant)


OPEN: dict[str, Callable[..., object]] = {
    "value": open_value, "entry": open_entry, "chunk": open_chunk, "keyring": open_keyring,
    "batch token": open_token, "wrapped root key": open_wrapped, "hand-out": open_hand_out,
}  # fmt: skip
STARTS = "what it begins with: "
_patches: list[pytest.MonkeyPatch] = []


def _patch(moved: dict[str, Any]) -> None:
    """From here on authenticated data begins otherwise; the keys stay what they are."""
    for name in [name for name in moved if name.startswith(STARTS)]:
        value, what = moved.pop(name), name.removeprefix(STARTS)
        if what == "format":
            _patches[-1].setattr(purposes, "FORMAT", value)
            continue
        real, at = purposes.aad_start, list(inspect.signature(purposes.aad_start).parameters).index(what)

        def start(*given: Any, real: Any = real, at: int = at, value: Any = value) -> bytes:
            return real(*given[:at], value, *given[at + 1 :])  # type: ignore[no-any-return]

        _patches[-1].setattr(purposes, "aad_start", start)


@pytest.fixture(autouse=True)
def _opener_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    _patches[:] = [monkeypatch]


@pytest.mark.parametrize("kind", CASES)
def test_a_blob_opens_where_it_was_sealed(kind: str) -> None:
    """The twin of every refusal below."""
    assert OPEN[kind]() is not None


MOVES = [(kind, name, value) for kind, cases in CASES.items() for name, values in cases.items() for value in values]
MOVES += [(kind, STARTS + name, value) for kind in CASES for name, value in START.items()]


@pytest.mark.parametrize(("kind", "name", "value"), MOVES, ids=[f"{kind}: {name} {n}" for n, (kind, name, _) in
                                                                enumerate(MOVES)])  # fmt: skip
def test_a_blob_that_is_moved_opens_nowhere(kind: str, name: str, value: Any) -> None:
    """One dimension at a time, the keys being the same."""
    with pytest.raises((DamagedError, WrongKeyError)):
        OPEN[kind](**{name: value})
