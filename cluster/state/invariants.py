"""What must hold of every state: everything derived, computed again from the records alone.

Pure; takes seconds on a large state, so it is for tests, for the simulator and for an operator who asks.
`check` holds after any transactions. `orphans` holds as long as those who decide keep the rules about records.
No sentence names a key, a value or a token.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from . import records
from .indexes import INDEXED, Indexes
from .slots import METADATA, SECRET, SHARDS, VERSION, shard_of
from .sweeps import CUBBYHOLE_KIND, CUBBYHOLE_MOUNT, LEASE_KIND, MOUNT_KIND, RESTORE_KIND, TOKEN_KIND
from .tables import MOUNT_UUID_BYTES, VERSION_BYTES, Table

if TYPE_CHECKING:
    from .machine import State

R = TypeVar("R", bound=records.Record)


def check(state: State) -> list[str]:
    """Sentences about what is derived and is not what the records say; empty when all is well."""
    problems: list[str] = []
    derived = Indexes()
    counts: Counter[int] = Counter()
    digest = 0
    for table, key, index, record in state.records():
        digest ^= state.fingerprint(table, key, record)
        counts[int(table)] += 1
        if not 1 <= index <= state.applied_index:
            problems.append(f"table {int(table)}: a record of an index that is not applied")
        if table in INDEXED:
            derived.change(table, key, None, record)
    for shard in state.secrets:
        for key in shard:
            derived.secrets.add(key)
    if digest != state.digest:
        problems.append("digest: not that of the records")
    if counts != {table: count for table, count in state.counts.items() if count}:
        problems.append("counts: not those of the records")
    found, expected = state.indexes.contents(), derived.contents()
    problems += [f"{name}: not what the records say" for name in expected if found[name] != expected[name]]
    return problems + _misplaced(state) + _slots(state)


def _misplaced(state: State) -> list[str]:
    """Every key is in the shard where it is looked up."""
    problems = []
    for table in (SECRET, *state.tables):
        shards = state.shards(table)
        wrong = sum(shard_of(key) != number for number, shard in enumerate(shards) for key in shard)
        if wrong or len(shards) != SHARDS:
            problems.append(f"table {int(table)}: {wrong} keys in another shard")
    return problems


def _slots(state: State) -> list[str]:
    """L1 of slots.py: never empty, metadata first, versions newest first."""
    wrong = 0
    for shard in state.secrets:
        for slot in shard.values():
            numbers = [held[:VERSION_BYTES] for held in slot]
            versions = numbers[1:] if numbers[:1] == [METADATA] else numbers
            wrong += not numbers or METADATA in versions or versions != sorted(set(versions), reverse=True)
    return [f"secrets: {wrong} slots out of order"] if wrong else []


def orphans(state: State) -> list[str]:
    """Sentences about records that can be reached though what they belong to is gone, or that nothing will remove."""
    swept = _swept(state)
    mounts = {mount.uuid for mount in _decoded(state, Table.MOUNT, records.Mount).values()}
    mounts |= swept[MOUNT_KIND] | swept[RESTORE_KIND]
    tokens = _decoded(state, Table.TOKEN, records.Token)
    accessors = _decoded(state, Table.ACCESSOR, records.Accessor)
    counted = {
        "versions without metadata": sum(
            state.get(SECRET, key[:-VERSION_BYTES]) is None and key[:MOUNT_UUID_BYTES] not in swept[MOUNT_KIND]
            for key, _, _ in state.items(VERSION)
        ),
        "secrets of no mount": sum(key[:MOUNT_UUID_BYTES] not in mounts for shard in state.secrets for key in shard),
        "entries of no mount": sum(key[:MOUNT_UUID_BYTES] not in mounts for key, _, _ in state.items(Table.ENTRY)),
        "entries that a dead token kept and no sweep removes": len(_kept_by_nobody(state, tokens, swept)),
        "accessors of no token": sum(
            accessor.token not in tokens or tokens[accessor.token].accessor != key
            for key, accessor in accessors.items()
        ),
        "tokens without their accessor": sum(
            token.accessor not in accessors or accessors[token.accessor].token != key
            for key, token in tokens.items()
        ),
        "tokens of a dead parent that no sweep removes": sum(
            not _has_a_root(key, tokens, swept[TOKEN_KIND]) for key in tokens
        ),
    }
    return [f"{count} {name}" for name, count in counted.items() if count]


def _swept(state: State) -> dict[str, set[bytes]]:
    targets: dict[str, set[bytes]] = {
        kind: set() for kind in (MOUNT_KIND, TOKEN_KIND, LEASE_KIND, CUBBYHOLE_KIND, RESTORE_KIND)
    }
    for sweep in _decoded(state, Table.SWEEP, records.Sweep).values():
        targets.setdefault(sweep.kind, set()).add(sweep.target)
    return targets


def _kept_by_nobody(
    state: State, tokens: dict[bytes, records.Token], swept: dict[str, set[bytes]]
) -> list[bytes]:
    """Folders of the cubbyhole whose token is not there, and that no sweep removes."""
    found = state.get(Table.MOUNT, CUBBYHOLE_MOUNT)
    mount = None if found is None else records.readable(records.Mount, found[1])
    if mount is None or mount.uuid in swept[MOUNT_KIND]:
        return []
    living = {mount.uuid + key.hex().encode() + b"/" for key, token in tokens.items() if token.type == "service"}
    folders = (mount.uuid + name for name in state.list_entries(mount.uuid) if name.endswith(b"/"))
    return [folder for folder in folders if folder not in living and folder not in swept[CUBBYHOLE_KIND]]


def _has_a_root(key: bytes, tokens: dict[bytes, records.Token], swept: set[bytes]) -> bool:
    """Whether the chain of parents ends in a token without one, or in one whose descendants are being removed."""
    seen = set()
    while key not in seen:
        seen.add(key)
        if key not in tokens:
            return key in swept
        parent = tokens[key].parent
        if parent is None:
            return True
        key = parent
    return False


def _decoded(state: State, table: Table, kind: type[R]) -> dict[bytes, R]:
    """Records of the table that decode, by key."""
    read = {key: records.readable(kind, record) for key, _, record in state.items(table)}
    return {key: record for key, record in read.items() if record is not None}
