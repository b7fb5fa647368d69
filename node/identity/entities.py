"""What may be done to entities and their aliases.

Pure: it changes records in a `Changes`. Invariants
  E1  a name, and a mount's alias, stand for one entity; an entity has one alias of a mount
  E2  what leads to an entity (name, aliases, ids of what was merged into it) goes with it, in one transaction; its
      id in lists of members stays there and means nothing, because ids never come back
  E3  merging moves aliases, policies and memberships; tokens of what was merged belong to what it was merged into
Source: Vault API, "Identity: entity", "entity-alias"; OpenBao, identity store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Alias, Entity, GroupMembers

from ..policy import builtin
from ..request import Refusal
from . import groups, keys
from .changes import check_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .changes import Changes

    Random = Callable[[int], bytes]

LISTED_MAX = 40_000  # members of all groups whose lists one merge writes anew: more ids do not fit one transaction
SAME_MOUNT = "Alias already exists for requested entity and mount accessor"


def by_id(changes: Changes, entity_id: str) -> Entity | None:
    """The entity of an id."""
    return changes.look(Entity, keys.entity(entity_id))


def by_name(changes: Changes, name: str) -> Entity | None:
    """The entity of a name."""
    return _named(changes, keys.entity_name(name))


def by_alias_id(changes: Changes, alias_id: str) -> Entity | None:
    """The entity that has the alias."""
    return _named(changes, keys.entity_alias_id(alias_id))


def by_alias(changes: Changes, mount_accessor: str, name: str) -> Entity | None:
    """The entity that the mount calls so."""
    return _named(changes, keys.entity_alias(mount_accessor, name))


def alias_of(entity: Entity, alias_id: str) -> Alias | None:
    """The alias of that id, of this entity."""
    return next((alias for alias in entity.aliases if alias.id == alias_id), None)


def create(changes: Changes, random: Random, now_ns: int, name: str = "") -> Entity:
    """A new entity with nothing but a name."""
    while not name:
        drawn = keys.new_name("entity", random)
        name = "" if by_name(changes, drawn) else drawn
    entity = Entity(id=keys.new_id(random), name=name, created_ns=now_ns, updated_ns=now_ns)
    changes.name(keys.entity_name(name), entity.id)
    changes.put(keys.entity(entity.id), entity)
    return entity


def rename(changes: Changes, entity: Entity, name: str) -> None:
    """The entity is called so; nobody else is (by the caller's own look)."""
    changes.drop(keys.entity_name(entity.name))
    changes.name(keys.entity_name(name), entity.id)
    entity.name = name
    changes.put(keys.entity(entity.id), entity)


def delete(changes: Changes, entity: Entity) -> None:
    """The entity is gone, and whatever leads to it (E2)."""
    for alias in entity.aliases:
        _forget_alias(changes, alias)
    for merged_id in entity.merged_ids:
        changes.drop(keys.merged(merged_id))
    changes.drop(keys.entity_name(entity.name))
    changes.drop(keys.entity(entity.id))


# ---- aliases
def add_alias(changes: Changes, entity: Entity, alias: Alias, random: Random, now_ns: int) -> None:
    """The entity has the alias, under a fresh id. Raises Refusal where it has one of that mount."""
    if has_mount(entity, alias.mount_accessor):
        raise Refusal(400, SAME_MOUNT)
    alias.id = keys.new_id(random)
    alias.created_ns = alias.updated_ns = now_ns
    take_alias(changes, entity, alias)


def take_alias(changes: Changes, entity: Entity, alias: Alias) -> None:
    """The alias, which nobody has, is the entity's."""
    entity.aliases = [*entity.aliases, alias]
    changes.name(keys.entity_alias(alias.mount_accessor, alias.name), entity.id)
    changes.name(keys.entity_alias_id(alias.id), entity.id)
    changes.put(keys.entity(entity.id), entity)


def drop_alias(changes: Changes, entity: Entity, alias: Alias) -> None:
    """The entity, and so everybody, is without the alias."""
    entity.aliases = [kept for kept in entity.aliases if kept.id != alias.id]
    _forget_alias(changes, alias)
    changes.put(keys.entity(entity.id), entity)


def has_mount(entity: Entity, mount_accessor: str) -> bool:
    """Whether the mount calls the entity something."""
    return any(alias.mount_accessor == mount_accessor for alias in entity.aliases)


# ---- merging
def records_of(entity: Entity) -> int:
    """How many records lead to the entity, itself included."""
    return 2 + 2 * len(entity.aliases) + len(entity.merged_ids)


def merge(changes: Changes, into: Entity, merged: Sequence[Entity], keep: Iterable[str], now_ns: int) -> None:
    """All of `merged` is part of `into`. Of two aliases of one mount the one in `keep` stays. Raises Refusal (E1)."""
    group_ids = dict.fromkeys(group_id for one in merged for group_id in one.group_ids)
    check_count(records_of(into) + sum(1 + records_of(one) for one in merged) + len(group_ids))
    kept = frozenset(keep)
    for one in merged:
        _move_aliases(changes, into, one, kept)
    into.policies = list(builtin.normalise_names(name for one in (into, *merged) for name in one.policies))
    ids = [merged_id for one in merged for merged_id in (*one.merged_ids, one.id)]
    into.merged_ids = [*into.merged_ids, *ids]
    _move_memberships(changes, into, {one.id for one in merged}, group_ids)
    into.updated_ns = now_ns
    for one in merged:
        delete(changes, one)
    for merged_id in ids:
        changes.name(keys.merged(merged_id), into.id)
    changes.put(keys.entity(into.id), into)


def _move_aliases(changes: Changes, into: Entity, merged: Entity, kept: frozenset[str]) -> None:
    for alias in list(merged.aliases):
        drop_alias(changes, merged, alias)
        rival = next((own for own in into.aliases if own.mount_accessor == alias.mount_accessor), None)
        if rival is not None and rival.id in kept:
            continue
        if rival is not None and alias.id not in kept:
            raise Refusal(
                400,
                "conflicting mount accessors in following alias IDs and neither were present in "
                f"conflicting_alias_ids_to_keep: {alias.id}, {rival.id}",
            )
        if rival is not None:
            drop_alias(changes, into, rival)
        alias.merged_from = [*alias.merged_from, merged.id]
        take_alias(changes, into, alias)


def _move_memberships(changes: Changes, into: Entity, merged_ids: set[str], group_ids: Iterable[str]) -> None:
    """`into` is a direct member of each of these groups that is there, in place of whatever was merged into it."""
    joined = groups.parent_ids(changes, group_ids)
    into.group_ids = list(dict.fromkeys([*groups.parent_ids(changes, into.group_ids), *joined]))
    if len(into.group_ids) > groups.PARENTS_MAX:
        raise Refusal(400, groups.TOO_MANY_PARENTS)
    gone, listed = {*merged_ids, into.id}, 0
    for group_id in joined:
        members = changes.look(GroupMembers, keys.members(group_id)) or GroupMembers()
        listed += len(members.entity_ids)
        if listed > LISTED_MAX:
            raise Refusal(400, f"the groups have more than {LISTED_MAX} members: merge in parts")
        members.entity_ids = [*(name for name in members.entity_ids if name not in gone), into.id]
        changes.put(keys.members(group_id), members)


def _forget_alias(changes: Changes, alias: Alias) -> None:
    changes.drop(keys.entity_alias(alias.mount_accessor, alias.name))
    changes.drop(keys.entity_alias_id(alias.id))


def _named(changes: Changes, key: bytes) -> Entity | None:
    entity_id = changes.named(key)
    return None if entity_id is None else by_id(changes, entity_id)
