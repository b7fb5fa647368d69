"""What a restored state must not bring back, and what makes it a cluster of its own: decided on plain states.

Pure. The rules are in one table each, so that a new table of records cannot be forgotten: a test fails for a table that
is in none.

Invariants
  N1  a point before the newest entry: tokens, accessors, secret-ids, what tokens kept for themselves, and leases are
      void, unless they are kept on a typed word; then everything that was revoked or changed afterwards is void, or has
      its newer form, and root tokens are void
  N2  policies, auth and identity records that changed afterwards come back in their newer form, unless the older one is
      asked for; what was created afterwards does not come back
  N3  write ids are forgotten, and the floor says so: no repetition of an old one is executed again
  N4  no audit device is enabled and no lease is revoked until an operator adopts the cluster
  N5  batch tokens are void: they carry the generation they were made in, and a fact says so, too
  N6  what a void token kept for itself is gone with it
  N7  the restored state names a new generation and cluster id, and the newest key term was made for it
Source: docs/threat-model.md, backup and restore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..state import records, sweeps
from ..state.sweeps import cubbyhole
from ..state.tables import MOUNT_UUID_BYTES, Table
from ..state.transaction import Draft, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..state.machine import State

VOID = frozenset({Table.TOKEN, Table.ACCESSOR, Table.LEASE})
"""What gives access for a time."""

PASSES = (b"secret-id/", b"accessor/")
"""Names, in auth mounts, of what lets somebody in for a time; like tokens, they are VOID."""

CUBBYHOLE = "cubbyhole"  # type of the mount where tokens keep what is theirs, wrapped answers among it

NEWER = frozenset({Table.POLICY, Table.IDENTITY})
"""What says who may do what: taken as it is now. Auth mounts and what their methods store, too (see `_access`)."""

FORGOTTEN = frozenset({Table.WRITE_ID, Table.BACKUP_POSITION, Table.AUDIT_HEAD})
"""What belongs to the history that is left."""

AS_IT_WAS = frozenset({Table.SECRET, Table.VERSION, Table.MOUNT, Table.ENTRY, Table.SALT, Table.SWEEP, Table.FACT})
OWN = frozenset({Table.CONFIG, Table.MEMBER, Table.KEYRING, Table.AUDIT_DEVICE, Table.FLOOR})
"""Written by `renew` itself."""

RECORDS_PER_TRANSACTION = 500
RESTORED = b"restored"
HELD_DEVICES = b"restored/audit-devices"
BATCH_TOKENS_VOID = b"batch-tokens/void"
"""Key of the fact that batch tokens made until its time are void."""

AUTH = b"auth/"
ORPHANER = "orphaner"  # the type that node gives to what is left of a token whose children stay


class Wish(NamedTuple):
    """What the operator asked for."""

    keep_tokens: bool = False
    old_access: bool = False


class Fresh(NamedTuple):
    """What the new line of history is called, and who its members are: id → record."""

    cluster_id: bytes
    cluster_name: str
    generation: bytes
    profile: str
    envelope: bytes
    epoch: int
    members: dict[str, records.Member]
    now_ns: int


class Restored(records.Record):
    """The fact that a cluster began by a restore. Key in FACT: b"restored". In `Fact.data`, as a msgpack array."""

    parent: bytes = b""
    parent_index: int = 0
    time_ns: int = 0
    adopted: bool = False


class Change(NamedTuple):
    """One access record that is restored in its newer form, for the operator's list."""

    table: Table
    key: bytes
    what: str  # "changed", "removed"


def changes_since(point: State, end: State) -> list[Change]:
    """The policies, auth and identity records of the point that are different, or gone, at the end."""
    found = []
    for table, key, record in _access(point):
        now = end.get(table, key)
        if now is None:
            found.append(Change(table, key, "removed"))
        elif now[1] != record:
            found.append(Change(table, key, "changed"))
    return sorted(found)


def renew(
    point: State, end: State | None, wish: Wish, fresh: Fresh, extra: list[tuple[Table, bytes, records.Record]]
) -> list[Transaction]:
    """The transactions that turn the state of a point into the first state of a new cluster, each small, in order.

    `end` is the state behind the newest entry, None where the point is that. `extra` is added as it is.
    """
    facts = Facts(fresh.now_ns)
    facts.drop_tables(point, FORGOTTEN)
    if end is not None:
        _access_as_now(facts, point, end, wish)
    _drop_cubbyholes(facts, point, end, wish)
    facts.put(Table.FACT, BATCH_TOKENS_VOID, records.Fact(time_ns=fresh.now_ns, text="batch tokens are void"))
    facts.put(Table.FLOOR, b"write-id", records.Floor(time_ns=_floor_ns(point, end, fresh.now_ns)))
    _hold_devices(facts, point)
    parent = _generation(point)
    restored = Restored(parent=parent, parent_index=point.applied_index, time_ns=fresh.now_ns)
    facts.put(Table.FACT, RESTORED, records.Fact(time_ns=fresh.now_ns, text="restored", data=records.encode(restored)))
    facts.drop_tables(point, {Table.MEMBER})
    for name, member in sorted(fresh.members.items()):
        facts.put(Table.MEMBER, name.encode(), member)
    facts.put(Table.KEYRING, b"keyring", records.KeyringRecord(epoch=fresh.epoch, envelope=fresh.envelope))
    config = records.Config(
        cluster_id=fresh.cluster_id, cluster_name=fresh.cluster_name, generation=fresh.generation,
        profile=fresh.profile, created_ns=fresh.now_ns,
    )  # fmt: skip
    facts.put(Table.CONFIG, b"cluster", config)
    for table, key, record in extra:
        facts.put(table, key, record)
    return list(facts.transactions())


class Facts:
    """Puts and drops, cut into transactions."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._drafts = [Draft()]

    def _draft(self) -> Draft:
        draft = self._drafts[-1]
        if len(draft.puts) + len(draft.drops) >= RECORDS_PER_TRANSACTION:
            draft = Draft()
            self._drafts.append(draft)
        return draft

    def put(self, table: Table, key: bytes, record: records.Record | bytes) -> None:
        """See Draft."""
        self._draft().put(table, key, record)

    def drop(self, table: Table, key: bytes) -> None:
        """See Draft."""
        self._draft().drop(table, key)

    def drop_tables(self, state: State, tables: frozenset[Table] | set[Table]) -> None:
        """Everything in these tables."""
        for table in sorted(tables):
            for key, _, _ in state.items(table):
                self.drop(table, key)

    def transactions(self) -> Iterator[Transaction]:
        """In the order they were written."""
        for number, draft in enumerate(self._drafts, 1):
            yield Transaction(0, number, self._now_ns, [], draft.puts, draft.drops)


def _access_as_now(facts: Facts, point: State, end: State, wish: Wish) -> None:
    for key, _, record in end.items(Table.SALT):  # what is taken from the end was sealed with salts of the end
        if point.get(Table.SALT, key) is None:
            facts.put(Table.SALT, key, record)
    roots = set(_root_tokens(point))
    for table in sorted(VOID):
        for key, _, record in point.items(table):
            now = end.get(table, key) if wish.keep_tokens and _stands(end, table, key) else None
            if now is None:
                facts.drop(table, key)
            elif (table, key) in roots:
                _leave_parent(facts, table, key, record)
            elif now[1] != record:
                facts.put(table, key, now[1])
    for key, record in _passes(point):
        # With roles as they were, one that was removed since would make its secret-ids good again.
        now = end.get(Table.ENTRY, key) if wish.keep_tokens and not wish.old_access else None
        if now is None:
            facts.drop(Table.ENTRY, key)
        elif now[1] != record:
            facts.put(Table.ENTRY, key, now[1])
    if wish.old_access:
        return
    for change in changes_since(point, end):
        found = end.get(change.table, change.key)
        if found is None:
            facts.drop(change.table, change.key)
        else:
            facts.put(change.table, change.key, found[1])


def _stands(end: State, table: Table, key: bytes) -> bool:
    """Whether what is still recorded at the end was good for anything there: a sweep may not have come to it yet."""
    found = end.get(table, key)
    if found is None:
        return False
    if table == Table.LEASE:
        lease = records.readable(records.Lease, found[1])
        return lease is not None and not sweeps.lease_is_swept(end, key, lease.issued_ns)
    if table == Table.TOKEN:
        token = records.readable(records.Token, found[1])
        if token is None or not token.mount:
            return token is not None
        mount = end.get(Table.MOUNT, token.mount_path.encode())
        known = None if mount is None else records.readable(records.Mount, mount[1])
        return known is not None and known.uuid == token.mount
    return True


def _drop_cubbyholes(facts: Facts, point: State, end: State | None, wish: Wish) -> None:
    """N6. A root token that is only kept as a parent keeps nothing else."""
    if end is None:
        return
    roots = {key for table, key in _root_tokens(point) if table == Table.TOKEN}
    for key, _, _ in point.items(Table.TOKEN):
        if wish.keep_tokens and key not in roots and end.get(Table.TOKEN, key) is not None:
            continue
        folder = cubbyhole(point, key)
        for name in point.indexes.entries.walk(folder) if folder else ():
            facts.drop(Table.ENTRY, name)


def _leave_parent(facts: Facts, table: Table, key: bytes, record: bytes) -> None:
    """Of a root token, what its children hang on: valid for nobody. Of its accessor, nothing."""
    token = records.readable(records.Token, record) if table == Table.TOKEN else None
    if token is None:
        facts.drop(table, key)
    else:
        facts.put(table, key, records.Token(type=ORPHANER, created_ns=token.created_ns, renewable=False))


def _root_tokens(state: State) -> Iterator[tuple[Table, bytes]]:
    """Tokens that may do everything, and their accessors: even where tokens are kept, a new one comes from the keys."""
    for key, _, record in state.items(Table.TOKEN):
        token = records.readable(records.Token, record)
        if token is None or "root" in token.policies:
            yield Table.TOKEN, key
            if token is not None:
                yield Table.ACCESSOR, token.accessor


def _access(state: State) -> Iterator[tuple[Table, bytes, bytes]]:
    """(table, key, record) of everything that says who may do what."""
    for table in sorted(NEWER):
        for key, _, record in state.items(table):
            yield table, key, record
    for key, _, record in state.items(Table.MOUNT):
        if key.startswith(AUTH):
            yield Table.MOUNT, key, record
    uuids = _mount_uuids(state)[0]
    for key, _, record in state.items(Table.ENTRY):
        if key[:MOUNT_UUID_BYTES] in uuids and not key.startswith(PASSES, MOUNT_UUID_BYTES):
            yield Table.ENTRY, key, record


def _passes(state: State) -> Iterator[tuple[bytes, bytes]]:
    """(key, record) of every entry that lets somebody in for a time, or that is a token's own."""
    auth, cubbyholes = _mount_uuids(state)
    for key, _, record in state.items(Table.ENTRY):
        uuid = key[:MOUNT_UUID_BYTES]
        if uuid in cubbyholes or (uuid in auth and key.startswith(PASSES, MOUNT_UUID_BYTES)):
            yield key, record


def _mount_uuids(state: State) -> tuple[set[bytes], set[bytes]]:
    """Of auth methods; of cubbyholes."""
    auth, cubbyholes = set(), set()
    for key, _, record in state.items(Table.MOUNT):
        mount = records.readable(records.Mount, record)
        if mount is None:
            continue
        if key.startswith(AUTH):
            auth.add(mount.uuid)
        elif mount.type == CUBBYHOLE:
            cubbyholes.add(mount.uuid)
    return auth, cubbyholes


def _hold_devices(facts: Facts, point: State) -> None:
    """N4: what was enabled is kept in a fact, until somebody adopts the cluster."""
    devices = {key: record for key, _, record in point.items(Table.AUDIT_DEVICE)}
    for key in sorted(devices):
        facts.drop(Table.AUDIT_DEVICE, key)
    if devices:
        data = msgspec.msgpack.encode(sorted(devices.items()))
        facts.put(Table.FACT, HELD_DEVICES, records.Fact(text="audit devices until adoption", data=data))


def _generation(state: State) -> bytes:
    for _, _, record in state.items(Table.CONFIG):
        config = records.readable(records.Config, record)
        if config is not None:
            return config.generation
    return b""


def _floor_ns(point: State, end: State | None, now_ns: int) -> int:
    """N3: above the time of every id that was remembered. An id may be a little ahead of the clock, and come again."""
    known = [now_ns]
    for state in (point,) if end is None else (point, end):
        for _, _, record in state.items(Table.WRITE_ID):
            kept = records.readable(records.WriteId, record)
            known.append(0 if kept is None else kept.id_time_ns + 1)
    return max(known)
