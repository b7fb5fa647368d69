"""Which external groups somebody is in: what the auth method they log in by says of them, at each login.

Pure: it changes records in a `Changes`. Invariants
  X1  a mount speaks of its own groups only: memberships that come from elsewhere stay
  X2  a group the method no longer names is left at the next login; one that is full is not entered, nor one more
      than somebody may be in
Source: Vault concepts, "Identity: external groups"; OpenBao, identity store (external group membership).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Entity, GroupMembers, Table

from . import groups, keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster import Draft, View

    from .changes import Changes


def refresh(changes: Changes, entity: Entity, mount_accessor: str, names: Iterable[str]) -> None:
    """The entity is directly in those groups of the mount that bear these names, and in no others of it."""
    named = (groups.by_alias(changes, mount_accessor, name) for name in names)
    wanted = {group.id: group for group in named if group is not None and group.type == groups.EXTERNAL}
    kept = [id_ for id_ in entity.group_ids if id_ in wanted or not _is_of(changes, id_, mount_accessor)]
    for id_ in wanted:
        if id_ not in kept and len(kept) < groups.PARENTS_MAX and _list(changes, id_, entity.id):
            kept.append(id_)
    if kept != entity.group_ids:
        entity.group_ids = kept
        changes.put(keys.entity(entity.id), entity)


def _is_of(changes: Changes, group_id: str, mount_accessor: str) -> bool:
    """Whether the group is external, and this mount's."""
    group = groups.by_id(changes, group_id)
    if group is None or group.type != groups.EXTERNAL:
        return False
    return group.alias is not None and group.alias.mount_accessor == mount_accessor


def _list(changes: Changes, group_id: str, entity_id: str) -> bool:
    """Whether the group has room for the entity; it is then where members are looked for."""
    listed = changes.look(GroupMembers, keys.members(group_id)) or GroupMembers()
    if entity_id in listed.entity_ids:
        return True
    there = listed.entity_ids
    if len(there) >= groups.MEMBERS_MAX:  # those who have left make room
        found = ((id_, changes.look(Entity, keys.entity(id_))) for id_ in there)
        there = [id_ for id_, entity in found if entity is not None and group_id in entity.group_ids]
    if len(there) >= groups.MEMBERS_MAX:
        return False
    listed.entity_ids = [*there, entity_id]
    changes.put(keys.members(group_id), listed)
    return True


class After:
    """A view as it will be once the draft is applied, as far as identity goes."""

    def __init__(self, view: View, draft: Draft) -> None:
        self._view = view
        self._puts = {key: record for table, key, record in draft.puts if table == Table.IDENTITY}
        self._drops = {key for table, key in draft.drops if table == Table.IDENTITY}

    def get(self, table: Table, key: bytes) -> tuple[int, bytes] | None:
        """See View."""
        if table == Table.IDENTITY and key in self._puts:
            return 0, self._puts[key]
        return None if table == Table.IDENTITY and key in self._drops else self._view.get(table, key)
