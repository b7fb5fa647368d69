"""What is kept of a secret-id: under its keyed hash, never itself; and the way to it from its accessor.

Pure. Stored are `secret-id/UID/HASH` and `accessor/UID/ACCESSOR` with the hash, where UID is the role's. The first
segment of these names says that they carry secret-ids: a restore of an older state drops them by it.
Invariants
  S1  a secret-id is known below the uid of its role: another role, or a later one of the same name, does not have it
  S2  a secret-id and its accessor are made, and are gone, in one transaction
  S3  a use that is paid for is in the transaction that makes the token; the last one drops the secret-id
  S4  what has expired by the cluster's stamp is as unknown as what never was
Source: docs/threat-model.md, who may do what; Vault API, "AppRole: generate new secret ID".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cluster import Draft, Table

from ...engines.entries import Found, drop, find, put
from ...request import Refusal

if TYPE_CHECKING:
    from ...engines.base import Context


class SecretId(msgspec.Struct, array_like=True):
    """A secret-id. `num_uses` are those left, 0 = any number; times in ns, 0 = never. New fields go at the end."""

    accessor: str
    role: str
    created_ns: int
    updated_ns: int
    expires_ns: int = 0
    ttl_s: int = 0
    num_uses: int = 0
    metadata: dict[str, str] = {}
    cidr_list: list[str] = []
    token_bound_cidrs: list[str] = []

    def __repr__(self) -> str:
        return "<SecretId>"


class Hashed(msgspec.Struct, array_like=True):
    """Which secret-id an accessor belongs to."""

    hash: str

    def __repr__(self) -> str:
        return "<Hashed>"


class Place(NamedTuple):
    """Where a secret-id is stored."""

    uid: str
    hash: str

    def __repr__(self) -> str:
        return "<Place>"

    @property
    def name(self) -> str:
        """Of its entry."""
        return f"{folder(self.uid)}{self.hash}"


def folder(uid: str) -> str:
    """Where the secret-ids of a role are."""
    return f"secret-id/{uid}/"


def accessors(uid: str) -> str:
    """Where the accessors of a role's secret-ids are."""
    return f"accessor/{uid}/"


def place_of(context: Context, uid: str, secret_id: str) -> Place:
    """Where the role would have this secret-id."""
    return Place(uid, context.sealing.token_hash(f"secret-id:{secret_id}").hex())


def find_secret_id(context: Context, place: Place, *, expired: bool = False) -> Found[SecretId] | None:
    """What is stored there; None where nothing is, or (unless `expired`) nothing that still counts."""
    found = find(context, place.name, SecretId)
    if found is None or (is_over(context, found.value) and not expired):
        return None
    return found


def is_over(context: Context, secret_id: SecretId) -> bool:
    """Whether its time has passed."""
    return 0 < secret_id.expires_ns <= context.now_ns


def place_of_accessor(context: Context, uid: str, accessor: str) -> Place | None:
    """Where the secret-id of an accessor is stored, or None."""
    if "/" in accessor:
        return None
    found = find(context, accessors(uid) + accessor, Hashed)
    return None if found is None else Place(uid, found.value.hash)


def create(context: Context, draft: Draft, place: Place, secret_id: SecretId) -> None:
    """The draft makes the secret-id and its accessor. Raises Refusal with 400 where the role has it."""
    before = find_secret_id(context, place, expired=True)
    if before is not None and not is_over(context, before.value):
        raise Refusal(400, "SecretID is already registered")
    if before is not None:
        _drop_accessor(context, draft, place.uid, before.value.accessor)
    put(context, draft, place.name, secret_id, before)
    put(context, draft, accessors(place.uid) + secret_id.accessor, Hashed(hash=place.hash), None)


def use(context: Context, draft: Draft, place: Place, found: Found[SecretId]) -> None:
    """The draft takes one use of a secret-id that has a number of them."""
    secret_id = found.value
    if secret_id.num_uses == 1:
        remove(context, draft, place, found)
        return
    left = msgspec.structs.replace(secret_id, num_uses=secret_id.num_uses - 1, updated_ns=context.now_ns)
    put(context, draft, place.name, left, found)


def remove(context: Context, draft: Draft, place: Place, found: Found[SecretId]) -> None:
    """The draft removes the secret-id and its accessor."""
    drop(context, draft, place.name, found)
    _drop_accessor(context, draft, place.uid, found.value.accessor)


def _drop_accessor(context: Context, draft: Draft, uid: str, accessor: str) -> None:
    drop_unread(context, draft, accessors(uid) + accessor)


def drop_unread(context: Context, draft: Draft, name: str) -> None:
    """The draft removes what is stored under the name, without opening it."""
    assert context.mount is not None  # the flow gives every engine its mount
    at = context.view.get(Table.ENTRY, context.mount.uuid + name.encode())
    if at is not None:
        drop(context, draft, name, Found(at[0], None))
