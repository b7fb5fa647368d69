"""Lists of entities, groups and aliases, with what Vault says about each.

Pure; any node answers. The table has no order, so a list looks at all of it, in one turn of the loop. Invariant: a list
that would hold the loop too long is refused, not begun to be cut short: LISTED_MAX entities and groups together.
Source: Vault API, "Identity"; OpenBao, identity store (ListResponseWithInfo).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import Entity, Group, Table, records

from ...identity import keys
from ...request import Answer, RawRequest, Refusal
from . import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Alias

    from ..base import Context
    from ..system.routes import Captures

LISTED_MAX = 10_000  # some 50 ms
SCANNED_MAX = 60_000


def list_entities(*, by_name: bool) -> Callable[[Context, RawRequest, Captures], Answer]:
    """LIST entity/id or entity/name."""

    def read(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        mounts = shown.mounts_by_accessor(context.view)
        found: dict[str, Any] = {}
        names = []
        for entity in _entities(context):
            info: dict[str, Any] = {"name": entity.name}
            if entity.aliases:
                info["aliases"] = [_brief(alias, mounts) for alias in entity.aliases]
            found[entity.id] = info
            names.append(entity.name if by_name else entity.id)
        return _answer(names, found)

    return read


def list_groups(*, by_name: bool) -> Callable[[Context, RawRequest, Captures], Answer]:
    """LIST group/id or group/name."""

    def read(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
        mounts = shown.mounts_by_accessor(context.view)
        entities, groups = _everybody(context)
        there = {group.id for group in groups}
        members: dict[str, int] = {}
        for entity in entities:
            for group_id in entity.group_ids:
                members[group_id] = members.get(group_id, 0) + 1
        found: dict[str, Any] = {}
        for group in groups:
            info: dict[str, Any] = {
                "name": group.name,
                "num_member_entities": members.get(group.id, 0),
                "num_parent_groups": sum(name in there for name in group.parent_ids),
            }
            if group.alias is not None:
                info["alias"] = _brief(group.alias, mounts)
            found[group.id] = info
        return _answer([group.name if by_name else group.id for group in groups], found)

    return read


def list_entity_aliases(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """LIST entity-alias/id."""
    mounts = shown.mounts_by_accessor(context.view)
    found = {
        alias.id: _described(alias, entity.id, mounts) for entity in _entities(context) for alias in entity.aliases
    }
    return _answer(list(found), found)


def list_group_aliases(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """LIST group-alias/id."""
    mounts = shown.mounts_by_accessor(context.view)
    groups = _everybody(context)[1]
    found = {group.alias.id: _described(group.alias, group.id, mounts) for group in groups if group.alias is not None}
    return _answer(list(found), found)


def _brief(alias: Alias, mounts: shown.MountsByAccessor) -> dict[str, Any]:
    brief = {"id": alias.id, "name": alias.name, "mount_accessor": alias.mount_accessor}
    return {**brief, **shown.mount(alias, mounts)}


def _described(alias: Alias, canonical_id: str, mounts: shown.MountsByAccessor) -> dict[str, Any]:
    return {
        "canonical_id": canonical_id,
        "custom_metadata": alias.custom_metadata,
        "local": False,
        "metadata": alias.metadata,
        "mount_accessor": alias.mount_accessor,
        "name": alias.name,
        **shown.mount(alias, mounts),
    }


def _answer(names: list[str], found: dict[str, Any]) -> Answer:
    if not names:
        raise Refusal(404)
    return Answer(data={"keys": sorted(names), "key_info": found})


def _entities(context: Context) -> list[Entity]:
    return _everybody(context)[0]


def _everybody(context: Context) -> tuple[list[Entity], list[Group]]:
    """Every entity and group; Refusal where they are too many."""
    entities: list[Entity] = []
    groups: list[Group] = []
    for scanned, (key, _, record) in enumerate(context.view.items(Table.IDENTITY)):
        if key.startswith(keys.ENTITY):
            entities.append(records.decode(Entity, record))
        elif key.startswith(keys.GROUP):
            groups.append(records.decode(Group, record))
        if scanned >= SCANNED_MAX or len(entities) + len(groups) > LISTED_MAX:
            raise Refusal(400, f"there are more than {LISTED_MAX} entities and groups: look them up one by one")
    return entities, groups
