"""How answers show entities, groups and aliases, and which mounts aliases belong to.

Pure. Source: OpenBao, identity store (handleEntityReadCommon, handleGroupReadCommon, handleAliasReadCommon).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import Mount, Table, records

from ...identity import groups
from ..instants import rfc3339

if TYPE_CHECKING:
    from cluster import Alias, Entity, Group, View

    from ...identity.changes import Changes

MountsByAccessor = dict[str, tuple[str, Mount]]
_NAMESPACE = "root"


def mounts_by_accessor(view: View) -> MountsByAccessor:
    """(path, mount) of every mount, by its accessor."""
    found = {}
    for key, _, record in view.items(Table.MOUNT):
        mount = records.decode(Mount, record)
        found[mount.accessor] = (key.decode(), mount)
    return found


def entity(changes: Changes, one: Entity) -> dict[str, Any]:
    """What reading an entity says."""
    mounts = mounts_by_accessor(changes.view)
    direct = groups.parent_ids(changes, one.group_ids)
    inherited = groups.inherited_ids(changes, one)
    return {
        "aliases": [alias(own, one.id, mounts, local=True) for own in one.aliases],
        "creation_time": rfc3339(one.created_ns),
        "direct_group_ids": direct,
        "disabled": one.disabled,
        "group_ids": [*direct, *inherited],
        "id": one.id,
        "inherited_group_ids": inherited,
        "last_update_time": rfc3339(one.updated_ns),
        "merged_entity_ids": one.merged_ids or None,
        "metadata": one.metadata,
        "name": one.name,
        "namespace_id": _NAMESPACE,
        "policies": one.policies,
    }


def group(changes: Changes, one: Group) -> dict[str, Any]:
    """What reading a group says."""
    own = one.alias
    return {
        "alias": {} if own is None else alias(own, one.id, mounts_by_accessor(changes.view)),
        "creation_time": rfc3339(one.created_ns),
        "id": one.id,
        "last_update_time": rfc3339(one.updated_ns),
        "member_entity_ids": groups.member_entity_ids(changes, one) or None,
        "member_group_ids": groups.member_group_ids(changes, one) or None,
        "metadata": one.metadata,
        "modify_index": one.modify_index,
        "name": one.name,
        "namespace_id": _NAMESPACE,
        "parent_group_ids": groups.parent_ids(changes, one.parent_ids) or None,
        "policies": one.policies or None,
        "type": one.type,
    }


def alias(one: Alias, canonical_id: str, mounts: MountsByAccessor, *, local: bool = False) -> dict[str, Any]:
    """An alias as it stands in its entity or group; `local`: with what only aliases of entities have."""
    data: dict[str, Any] = {
        "canonical_id": canonical_id,
        "creation_time": rfc3339(one.created_ns),
        "id": one.id,
        "last_update_time": rfc3339(one.updated_ns),
        "merged_from_canonical_ids": one.merged_from or None,
        "metadata": one.metadata,
        "mount_accessor": one.mount_accessor,
        "name": one.name,
        **mount(one, mounts),
    }
    if local:
        data |= {"local": False, "custom_metadata": one.custom_metadata}
    return data


def alias_alone(one: Alias, canonical_id: str, mounts: MountsByAccessor) -> dict[str, Any]:
    """What reading an alias by its id says."""
    return {**alias(one, canonical_id, mounts, local=True), "namespace_id": _NAMESPACE}


def mount(one: Alias, mounts: MountsByAccessor) -> dict[str, str]:
    """Where the mount of an alias is; nothing where it is gone."""
    found = mounts.get(one.mount_accessor)
    return {} if found is None else {"mount_path": found[0], "mount_type": found[1].type}
