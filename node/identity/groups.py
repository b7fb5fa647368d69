"""What may be done to groups: their members, the groups they are in, the name a mount has for one.

Pure: it changes records in a `Changes`. Invariants
  G1  a member says itself that it is one (an entity's `group_ids`, a group's `parent_ids`); the list of a group is
      only where to look, so a group or an entity goes without its members being touched
  G2  no group is in itself, directly or through others
  G3  a group has at most MEMBERS_MAX entities and MEMBER_GROUPS_MAX groups as direct members; an entity or group is a
      direct member of at most PARENTS_MAX
Source: Vault API, "Identity: group", "group-alias"; OpenBao, identity store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Alias, Entity, Group, GroupMembers

from ..request import Refusal
from . import keys
from .changes import check_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .changes import Changes

INTERNAL = "internal"
EXTERNAL = "external"
MEMBERS_MAX = 5_000
MEMBER_GROUPS_MAX = 500
PARENTS_MAX = 500
LOOKED_AT_MAX = 2_000  # groups above one, in looking for a circle
TOO_MANY_PARENTS = f"an entity or group is a direct member of at most {PARENTS_MAX} groups"


def by_id(changes: Changes, group_id: str) -> Group | None:
    """The group of an id."""
    return changes.look(Group, keys.group(group_id))


def by_name(changes: Changes, name: str) -> Group | None:
    """The group of a name."""
    return _named(changes, keys.group_name(name))


def by_alias_id(changes: Changes, alias_id: str) -> Group | None:
    """The group that has the alias."""
    return _named(changes, keys.group_alias_id(alias_id))


def by_alias(changes: Changes, mount_accessor: str, name: str) -> Group | None:
    """The group that the mount calls so."""
    return _named(changes, keys.group_alias(mount_accessor, name))


def create(changes: Changes, random: Callable[[int], bytes], now_ns: int, name: str, type_: str) -> Group:
    """A new group without members."""
    while not name:
        drawn = keys.new_name("group", random)
        name = "" if by_name(changes, drawn) else drawn
    group = Group(id=keys.new_id(random), name=name, type=type_, created_ns=now_ns, updated_ns=now_ns, modify_index=1)
    changes.name(keys.group_name(name), group.id)
    changes.put(keys.group(group.id), group)
    return group


def rename(changes: Changes, group: Group, name: str) -> None:
    """The group is called so; no other is (by the caller's own look)."""
    changes.drop(keys.group_name(group.name))
    changes.name(keys.group_name(name), group.id)
    group.name = name
    changes.put(keys.group(group.id), group)


def delete(changes: Changes, group: Group) -> None:
    """The group is gone, with its name, its alias and what it granted (G1)."""
    set_alias(changes, group, None)
    changes.drop(keys.members(group.id))
    changes.drop(keys.group_name(group.name))
    changes.drop(keys.group(group.id))


def set_alias(changes: Changes, group: Group, alias: Alias | None) -> None:
    """The group has this alias, or none; the one it had leads nowhere."""
    if group.alias is not None:
        changes.drop(keys.group_alias(group.alias.mount_accessor, group.alias.name))
        changes.drop(keys.group_alias_id(group.alias.id))
    group.alias = alias
    if alias is not None:
        changes.name(keys.group_alias(alias.mount_accessor, alias.name), group.id)
        changes.name(keys.group_alias_id(alias.id), group.id)
    changes.put(keys.group(group.id), group)


# ---- members
def member_entity_ids(changes: Changes, group: Group) -> list[str]:
    """The entities that are in the group directly."""
    listed = changes.look(GroupMembers, keys.members(group.id))
    found = [] if listed is None else [(name, changes.look(Entity, keys.entity(name))) for name in listed.entity_ids]
    return [name for name, entity in found if entity is not None and group.id in entity.group_ids]


def member_group_ids(changes: Changes, group: Group) -> list[str]:
    """The groups that are in the group directly."""
    listed = changes.look(GroupMembers, keys.members(group.id))
    found = [] if listed is None else [(name, by_id(changes, name)) for name in listed.group_ids]
    return [name for name, member in found if member is not None and group.id in member.parent_ids]


def parent_ids(changes: Changes, ids: Iterable[str]) -> list[str]:
    """Those of the groups that are there."""
    return [name for name in ids if by_id(changes, name) is not None]


def inherited_ids(changes: Changes, entity: Entity) -> list[str]:
    """The groups an entity is in only through other groups."""
    direct = dict.fromkeys(parent_ids(changes, entity.group_ids))
    seen = dict.fromkeys(direct)
    left = [*direct]
    while left:
        group = by_id(changes, left.pop())
        above = [] if group is None else parent_ids(changes, group.parent_ids)
        left += [name for name in above if name not in seen]
        seen.update(dict.fromkeys(above))
    return [name for name in seen if name not in direct]


def set_member_entities(changes: Changes, group: Group, ids: Iterable[str]) -> None:
    """Exactly these entities are in the group directly. Raises Refusal."""
    wanted = dict.fromkeys(ids)
    if len(wanted) > MEMBERS_MAX:
        raise Refusal(400, f"a group has at most {MEMBERS_MAX} member entities")
    before = dict.fromkeys(member_entity_ids(changes, group))
    check_count(len(before.keys() ^ wanted.keys()))
    for name in before:
        entity = changes.look(Entity, keys.entity(name))
        if name not in wanted and entity is not None:
            entity.group_ids = [kept for kept in entity.group_ids if kept != group.id]
            changes.put(keys.entity(name), entity)
    for name in wanted:
        entity = changes.look(Entity, keys.entity(name))
        if entity is None:
            raise Refusal(400, f'invalid entity ID "{_short(name)}"', wrapped=True)
        if group.id not in entity.group_ids:
            entity.group_ids = [*_above(changes, entity.group_ids), group.id]
            changes.put(keys.entity(name), entity)
    _list(changes, group, entity_ids=list(wanted))


def set_member_groups(changes: Changes, group: Group, ids: Iterable[str]) -> None:
    """Exactly these groups are in the group directly. Raises Refusal (G2)."""
    wanted = dict.fromkeys(ids)
    if len(wanted) > MEMBER_GROUPS_MAX:
        raise Refusal(400, f"a group has at most {MEMBER_GROUPS_MAX} member groups")
    above: set[str] | None = None
    for name in member_group_ids(changes, group):
        member = by_id(changes, name)
        if name not in wanted and member is not None:
            member.parent_ids = [kept for kept in member.parent_ids if kept != group.id]
            changes.put(keys.group(name), member)
    for name in wanted:
        member = by_id(changes, name)
        if member is None:
            raise Refusal(400, f'invalid member group ID "{_short(name)}"', wrapped=True)
        if name == group.id:
            raise Refusal(400, f'member group ID "{group.id}" is same as the ID of the group', wrapped=True)
        if group.id in member.parent_ids:
            continue
        above = _ids_above(changes, group) if above is None else above
        if name in above:
            raise Refusal(400, f'cyclic relationship detected for member group ID "{name}"')
        member.parent_ids = [*_above(changes, member.parent_ids), group.id]
        changes.put(keys.group(name), member)
    _list(changes, group, group_ids=list(wanted))


def _ids_above(changes: Changes, group: Group) -> set[str]:
    """The groups that the group is in, directly or through others. Raises Refusal."""
    above: set[str] = set()
    left = [group]
    while left:
        found = (by_id(changes, name) for name in left.pop().parent_ids if name not in above)
        for parent in found:
            if parent is not None and parent.id not in above:
                above.add(parent.id)
                left.append(parent)
        if len(above) > LOOKED_AT_MAX:
            raise Refusal(400, f"the group is in more than {LOOKED_AT_MAX} groups, directly or through others")
    return above


def _above(changes: Changes, ids: list[str]) -> list[str]:
    """The same with room for one more: where there is none, without groups that are gone. Raises Refusal."""
    if len(ids) < PARENTS_MAX:
        return ids
    there = parent_ids(changes, ids)
    if len(there) >= PARENTS_MAX:
        raise Refusal(400, TOO_MANY_PARENTS)
    return there


def _list(
    changes: Changes, group: Group, *, entity_ids: list[str] | None = None, group_ids: list[str] | None = None
) -> None:
    members = changes.look(GroupMembers, keys.members(group.id)) or GroupMembers()
    if entity_ids is not None:
        members.entity_ids = entity_ids
    if group_ids is not None:
        members.group_ids = group_ids
    changes.put(keys.members(group.id), members)


def _short(text: str) -> str:
    """The beginning of what may be a secret in the wrong place."""
    return text if len(text) <= 16 else text[:16] + "..."


def _named(changes: Changes, key: bytes) -> Group | None:
    group_id = changes.named(key)
    return None if group_id is None else by_id(changes, group_id)
