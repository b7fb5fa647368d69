"""Secrets and their versions: found, opened, added, dropped. What both KV engines are made of.

Pure. Keys: a secret's is mount uuid (16) + path, a version's is that + number (4, big-endian).
Invariants
  the numbers that exist are max(oldest, 1) … current; each has a Version record, a destroyed one with an empty box;
  `gone` is sparse: number → t. t > 0: deleted at t (ns, maybe in the future). t <= 0: destroyed, and deleted at -t
  before that (0: never deleted);
  a box is bound to (table, mount, path, field, rid, number), and rid is drawn anew for each life of a path;
  a decision that touches one path only carries that path's conflict hash.
Source: Vault API, KV v2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster import DamagedError, Draft, Secret, Table, Version, look, records, version_key

from ..request import Refusal
from .instants import rfc3339
from .json_values import encode

if TYPE_CHECKING:
    from .base import Context

FIELD = b"v"
VERSIONS_KEPT_MAX = 900  # so that dropping a path with all its versions fits the 1,000 records of a transaction
NUMBER_MAX = 2**32 - 1
INSTANT_NS_MAX = 2**63 - 1


class Found(NamedTuple):
    """A secret's metadata as stored: when it was written, its bytes, its view."""

    read_index: int
    record: bytes
    secret: Secret


_secret = records.decoder(Secret)
_version = records.decoder(Version)


class VersionTime(records.Record):
    """The start of a Version record: reading it copies no box."""

    created_ns: int = 0


def secret_key(context: Context, path: str) -> bytes:
    """Key of the metadata of `path` in this mount."""
    assert context.mount is not None  # the flow gives every engine its mount
    return context.mount.uuid + path.encode()


def look_secret(context: Context, key: bytes) -> Secret | None:
    """The metadata under `key`, or None: as `find`, for who will not change it."""
    found = context.view.get(Table.SECRET, key)
    return None if found is None else _secret(found[1])


def find(context: Context, key: bytes) -> Found | None:
    """The metadata under `key`, or None."""
    found = context.view.get(Table.SECRET, key)
    return None if found is None else Found(*found, records.decode(Secret, found[1]))


def has_version(secret: Secret, number: int) -> bool:
    """Whether the number exists (deleted and destroyed versions do)."""
    return max(secret.oldest, 1) <= number <= secret.current


def mark_of(secret: Secret, number: int) -> int | None:
    """When the version is deleted or was destroyed, as `gone` has it; None = neither."""
    return None if secret.gone is None else secret.gone.get(number)


def is_destroyed(mark: int | None) -> bool:
    """Its data are gone for good."""
    return mark is not None and mark <= 0


def is_deleted(mark: int | None, now_ns: int) -> bool:
    """Its deletion time has come (evaluated at reading: nothing has to happen at that time)."""
    return mark is not None and 0 < mark <= now_ns


def created_ns(context: Context, key: bytes, number: int) -> int:
    """When the version was made. Raises DamagedError if a version that must exist does not."""
    found = look(context.view, Table.VERSION, VersionTime, version_key(key, number))
    if found is None:
        raise DamagedError("a version named by its secret's metadata is missing")
    return found[1].created_ns


def open_version(context: Context, key: bytes, secret: Secret, number: int) -> tuple[int, bytes]:
    """(created in ns, plaintext) of a version that is not destroyed. Raises DamagedError if it does not open."""
    suffix = number.to_bytes(4, "big")
    found = context.view.get(Table.VERSION, key + suffix)
    if found is None:
        raise DamagedError("a version named by its secret's metadata is missing")
    version = _version(found[1])
    plaintext = context.sealing.open(
        version.salt_id,
        version.box,
        table=Table.VERSION,
        key=key,
        field=FIELD,
        record_id=secret.rid + suffix,
    )
    return version.created_ns, plaintext


def add_version(
    context: Context, key: bytes, found: Found | None, value: bytes, *, versions_max: int, deletion_ns: int
) -> tuple[Draft, int]:
    """The facts of one more version of the path, and its number.

    `versions_max` is how many versions stay: older ones are dropped, from `oldest` on, never by a scan.
    `deletion_ns` is when the new one is deleted, 0 = never. One draw of 32 random bytes gives nonce and rid.
    """
    fresh = context.random(32)
    now_ns = context.now_ns
    before = found.secret if found is not None else Secret(created_ns=now_ns, rid=fresh[24:])
    number = before.current + 1
    if number > NUMBER_MAX:
        raise Refusal(400, "the path has used all its version numbers: delete its metadata to begin again")
    oldest, trimmed = _window(before, number, versions_max)
    gone = before.gone
    if trimmed and gone:
        gone = {other: mark for other, mark in gone.items() if other >= oldest} or None
    if deletion_ns:
        gone = {**(gone or {}), number: deletion_ns}
    draft = Draft()
    for other in trimmed:
        draft.drop(Table.VERSION, version_key(key, other))
    changes = {
        "current": number,
        "oldest": oldest,
        "updated_ns": now_ns,
        "gone": gone,
        "created_ns": before.created_ns or now_ns,
    }
    draft.expect(Table.SECRET, key, 0 if found is None else found.read_index)
    stored = records.encode(before) if found is None else found.record
    draft.put(Table.SECRET, key, records.change(Secret, stored, **changes))
    put_version(context, draft, key, before.rid, number, value, fresh[:12])
    return draft, number


def put_version(
    context: Context, draft: Draft, key: bytes, rid: bytes, number: int, value: bytes, nonce: bytes
) -> None:
    """Adds the sealed version to the draft, and the path's conflict hash where nothing else is touched."""
    salt_id, box = context.sealing.seal(
        context.view,
        draft,
        value,
        table=Table.VERSION,
        key=key,
        field=FIELD,
        record_id=rid + number.to_bytes(4, "big"),
        nonce=nonce,
    )
    draft.put(Table.VERSION, version_key(key, number), Version(created_ns=context.now_ns, salt_id=salt_id, box=box))
    hash_path(context, draft, key)


def change_secret(context: Context, key: bytes, found: Found, **fields: object) -> Draft:
    """The facts of changed metadata; fields this program does not know survive."""
    draft = Draft()
    draft.expect(Table.SECRET, key, found.read_index)
    draft.put(Table.SECRET, key, records.change(Secret, found.record, **fields))
    hash_path(context, draft, key)
    return draft


def drop_secret(context: Context, key: bytes, found: Found) -> Draft:
    """The facts of a path that is gone with all its versions."""
    draft = Draft()
    draft.expect(Table.SECRET, key, found.read_index)
    for number in range(max(found.secret.oldest, 1), found.secret.current + 1):
        draft.drop(Table.VERSION, version_key(key, number))
    draft.drop(Table.SECRET, key)
    hash_path(context, draft, key)
    return draft


def hash_path(context: Context, draft: Draft, key: bytes) -> None:
    """A transaction that touches this path alone says so; one that already touches everything keeps doing so."""
    if not draft.hashes:
        draft.hashes = (context.sealing.path_hash(key),)


def version_json(number: int, made_ns: int, mark: int | None, custom: dict[str, str] | None) -> bytes:
    """Vault's metadata object of one version."""
    return (
        f'{{"created_time":"{rfc3339(made_ns)}","custom_metadata":{custom_json(custom)},'
        f'"deletion_time":"{deletion_text(mark)}","destroyed":{"true" if is_destroyed(mark) else "false"},'
        f'"version":{number}}}'
    ).encode()


def deletion_text(mark: int | None) -> str:
    """Vault's deletion_time: "" for a version that was never to be deleted."""
    return rfc3339(abs(mark)) if mark else ""


def custom_json(custom: dict[str, str] | None) -> str:
    """Custom metadata as JSON, null where there is none."""
    return encode(custom).decode() if custom else "null"


def _window(before: Secret, number: int, versions_max: int) -> tuple[int, range]:
    """(`oldest` once `number` is there, the numbers that leave); `oldest` stays 0 until the window is full."""
    if number - before.oldest < versions_max:
        return before.oldest, range(0)
    oldest = number - versions_max + 1
    return oldest, range(max(before.oldest, 1), oldest)
