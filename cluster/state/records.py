"""The shapes of replicated records. No rule about them: rules live in `node`.

A record is stored, digested, snapshotted and backed up as the bytes of the transaction that wrote it; decoding is
a view. New fields go at the end with a default, so that old bytes open; `change` keeps fields this program does not
know. Times are nanoseconds of the cluster's stamp, 0 = never. Keys of every table are bytes: see tables.py.
Invariant: a record is a msgpack array whose first element is its format number (1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class Record(msgspec.Struct, array_like=True, gc=False):
    """Base of all records; `format` is first in every one of them."""

    format: int = 1


class Secret(Record):
    """KV metadata of one path. Key: mount uuid (16) + path. Versions are records of their own.

    `gone` is sparse: version → time it is (to be) deleted in ns; 0 = destroyed, -t = destroyed after a deletion at t.
    `rid` is drawn when the path is created, so a deleted and recreated path never opens old ciphertext. `oldest` is 0
    until the first trim.
    """

    current: int = 0
    oldest: int = 0
    versions_max: int = 0
    cas_required: bool = False
    created_ns: int = 0
    updated_ns: int = 0
    rid: bytes = b""
    gone: dict[int, int] | None = None
    custom: dict[str, str] | None = None
    delete_after_ns: int = 0
    metadata_version: int = 0
    metadata_cas_required: bool = False


class Version(Record):
    """One version of a secret; never changes. Key: secret key + number (4, big-endian). `box`: nonce|ciphertext|tag."""

    created_ns: int = 0
    salt_id: int = 0
    box: bytes = b""


class Token(Record):
    """A service token. Key: keyed hash of the token (32). Valid only while every ancestor is.

    `mount` is the uuid of the auth mount at `mount_path` whose login made it; empty for others.
    """

    accessor: bytes = b""
    parent: bytes | None = None
    policies: list[str] = []
    created_ns: int = 0
    expires_ns: int = 0
    creation_ttl_s: int = 0
    explicit_max_ttl_s: int = 0
    period_s: int = 0
    num_uses: int = 0
    renewable: bool = True
    display_name: str = "token"
    path: str = "auth/token/create"
    meta: dict[str, str] | None = None
    entity_id: str = ""
    last_renewal_ns: int = 0
    bound_cidrs: list[str] | None = None
    role: str = ""
    type: str = "service"
    no_default_policy: bool = False
    mount_path: str = ""
    mount: bytes = b""


class Accessor(Record):
    """Accessor → token. Key: accessor bytes. A table and not an index, so that it is a function of the records."""

    token: bytes = b""


class Lease(Record):
    """A lease of a dynamic secret. Key: lease id bytes. `mount` is the uuid of the mount that gave it."""

    token: bytes = b""
    issued_ns: int = 0
    expires_ns: int = 0
    path: str = ""
    renewable: bool = False
    mount: bytes = b""
    ttl_s: int = 0
    max_ttl_s: int = 0
    last_renewal_ns: int = 0


class WriteId(Record):
    """The remembered outcome of a write. Key: keyed hash of (token, id), 16 bytes.

    `request` is a keyed hash of method, path and body. `answer` is the JSON data of the first answer, or None where
    it held a token, key, secret or wrap and was not kept.
    """

    id_time_ns: int = 0
    applied_ns: int = 0
    request: bytes = b""
    status: int = 200
    answer: bytes | None = None


class Floor(Record):
    """Write ids older than this were forgotten: their outcome is unknown. Key: b"write-id"."""

    time_ns: int = 0


class Entry(Record):
    """What an engine or auth method stores. Key: mount uuid (16) + its own key. `box` is sealed like a value.

    `rid` is drawn with each put, so that no earlier box opens as the present one.
    """

    salt_id: int = 0
    box: bytes = b""
    rid: bytes = b""


class Mount(Record):
    """A secrets engine ("secret/") or auth method ("auth/token/"). Key: that path, with its slash.

    `options` and `config` hold Vault's fields by Vault's names. Tokens of logins until `tokens_void_ns` are void: the
    mount was moved then.
    """

    uuid: bytes = b""
    type: str = ""
    description: str = ""
    accessor: str = ""
    options: dict[str, str] | None = None
    config: dict[str, Any] = {}
    local: bool = False
    seal_wrap: bool = False
    external_entropy_access: bool = False
    created_ns: int = 0
    tokens_void_ns: int = 0


class Policy(Record):
    """An ACL policy as its author wrote it. Key: its name, lower case."""

    text: str = ""
    version: int = 1
    modified_ns: int = 0


class Config(Record):
    """Facts of the cluster. Key: b"cluster". `generation` names this line of history; dev is for ever."""

    cluster_id: bytes = b""
    cluster_name: str = ""
    generation: bytes = b""
    profile: str = "production"
    created_ns: int = 0


class Member(Record):
    """A member of the configuration. Key: its id. `spki` is the SHA-256 of its node certificate's public key."""

    peer_address: str = ""
    api_address: str = ""
    role: str = "voter"
    spki: bytes = b""


class AuditDevice(Record):
    """An enabled audit device. Key: its path with the slash. `box` is the sealed HMAC salt, bound to `rid`."""

    type: str = "file"
    description: str = ""
    options: dict[str, str] = {}
    local: bool = False
    salt_id: int = 0
    box: bytes = b""
    rid: bytes = b""


class AuditHead(Record):
    """How far a device's chain got on one node. Key: node id + NUL + device path."""

    file: str = ""
    sequence: int = 0
    head: bytes = b""
    time_ns: int = 0


class KeyringRecord(Record):
    """The keyring, sealed under the root key. Key: b"keyring"."""

    epoch: int = 1
    envelope: bytes = b""


class BackupPosition(Record):
    """How far a sink reached when this was written: what the cluster believes, not the sink. Key: the sink's name."""

    generation: bytes = b""
    last: int = 0
    hash: bytes = b""
    time_ns: int = 0


class Salt(Record):
    """Which salt a small salt id means. Key: the id (4, big-endian)."""

    key_term: bytes = b""
    salt: bytes = b""


class Sweep(Record):
    """A big removal in progress: everything under `target` is already unreachable. Key: kind + NUL + target.

    `after` is the last key it removed or passed. `time_ns`: of leases, those issued until then are meant.
    """

    kind: str = "mount"
    target: bytes = b""
    after: bytes = b""
    time_ns: int = 0


class Fact(Record):
    """A small named fact (a seal of the cluster, a hand-out of keys). Key: its name."""

    time_ns: int = 0
    text: str = ""
    data: bytes = b""


class Alias(Record):
    """What one auth mount calls an entity or a group. No record of its own: it stands in theirs.

    `merged_from` are the ids of entities it belonged to before they were merged.
    """

    id: str = ""
    mount_accessor: str = ""
    name: str = ""
    metadata: dict[str, str] | None = None
    custom_metadata: dict[str, str] | None = None
    merged_from: list[str] = []
    created_ns: int = 0
    updated_ns: int = 0


class Entity(Record):
    """Somebody, by whatever mount they log in. Table IDENTITY; keys of that table: node/identity/keys.py.

    `group_ids` are the groups it is a direct member of, some of which may be gone; `merged_ids` the entities that
    were merged into it.
    """

    id: str = ""
    name: str = ""
    metadata: dict[str, str] | None = None
    policies: list[str] = []
    disabled: bool = False
    aliases: list[Alias] = []
    group_ids: list[str] = []
    merged_ids: list[str] = []
    created_ns: int = 0
    updated_ns: int = 0


class Group(Record):
    """Entities and groups that share policies. `parent_ids`: the groups it is a member of; some may be gone."""

    id: str = ""
    name: str = ""
    type: str = "internal"
    metadata: dict[str, str] | None = None
    policies: list[str] = []
    parent_ids: list[str] = []
    alias: Alias | None = None
    created_ns: int = 0
    updated_ns: int = 0
    modify_index: int = 0


class GroupMembers(Record):
    """Whoever was made a member of a group: each that is one still says so itself."""

    entity_ids: list[str] = []
    group_ids: list[str] = []


class IdentityName(Record):
    """The id of the entity or group that a name, an alias or a merged entity's id stands for."""

    id: str = ""


R = TypeVar("R", bound=Record)

encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type[Record], msgspec.msgpack.Decoder[Any]] = {}
_plain = msgspec.msgpack.Decoder()


def decoder(kind: type[R]) -> Callable[[bytes], R]:
    """`decode` for one kind, for where it is called on every request."""
    return msgspec.msgpack.Decoder(kind).decode


def decode(kind: type[R], record: bytes) -> R:
    """The record as `kind`; raises msgspec.MsgspecError (also RecursionError, UnicodeDecodeError) for other bytes."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    view: R = decoder.decode(record)
    return view


def readable(kind: type[R], record: bytes) -> R | None:
    """The record as `kind`, or None for bytes of another shape. Never raises."""
    try:
        return decode(kind, record)
    except Exception:  # noqa: BLE001 - RecursionError and UnicodeDecodeError come beside MsgspecError
        return None


def change(kind: type[Record], record: bytes, **fields: Any) -> bytes:
    """The record with the named fields set; elements beyond those `kind` knows survive. Raises as `decode`."""
    names = kind.__struct_fields__
    elements = _plain.decode(record)
    if len(elements) <= len(names):
        view = decode(kind, record)
        for name, value in fields.items():
            setattr(view, name, value)
        return encode(view)
    for name, value in fields.items():
        elements[names.index(name)] = value
    return encode(elements)
