"""Lists of entities, groups and aliases, with what Vault says about each.

Pure; any node answers, in one turn of the loop. The names come from the order that the state keeps, so a list costs
what it gives. Invariants
  L1  what is said about each (`key_info`) is said of INFO_MAX at once, and where that takes no more than LOOKED_MAX
      looks; a longer list has the keys alone, and a warning that says how to have the rest: in parts
  L2  a list that would hold the loop too long all the same is refused, not cut short: more than KEYS_MAX keys
  L3  names are in the order in which they are compared, in lower case, so that a part goes on behind the one before
Source: Vault API, "Identity"; OpenBao, identity store (ListResponseWithInfo), "List pagination".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import Entity, Group, GroupMembers, IdentityName, Table, look

from ...identity import entities, keys
from ...request import Answer, RawRequest, Refusal
from ..pages import page
from . import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Alias, Record

    from ..base import Context
    from ..system.routes import Captures

    Reader = Callable[[Context, RawRequest, Captures], Answer]
    Described = tuple[str, str, dict[str, Any]]  # what the list calls it, its id, and what is said of it

KEYS_MAX = 50_000  # some 15 ms
INFO_MAX = 2_000  # some 10 ms
LOOKED_MAX = 8_000  # members and groups above; of one group there are at most 5,500


class _TooMuch(Exception):  # noqa: N818 - what is asked for, not an error of ours
    """What is to be said would take too many looks."""


@dataclass(slots=True)
class _Looking:
    """Reads records, and counts."""

    context: Context
    looked: int = 0  # at what is not listed itself

    def at(self, kind: type[Record], key: bytes) -> Any:
        """The record; None: there is none."""
        found = look(self.context.view, Table.IDENTITY, kind, key)
        return None if found is None else found[1]

    def further(self, kind: type[Record], key: bytes) -> Any:
        """As `at`, and it counts. Raises _TooMuch."""
        self.looked += 1
        if self.looked > LOOKED_MAX:
            raise _TooMuch
        return self.at(kind, key)


def list_entities(*, by_name: bool) -> Reader:
    """LIST entity/id or entity/name."""

    def describe(looking: _Looking, mounts: shown.MountsByAccessor, name: str) -> Described | None:
        entity = _named(looking, Entity, keys.entity_name, keys.entity, name, by_name=by_name)
        if entity is None:
            return None
        info: dict[str, Any] = {"name": entity.name}
        if entity.aliases:
            info["aliases"] = [_brief(alias, mounts) for alias in entity.aliases]
        return (entity.name if by_name else entity.id), entity.id, info

    return _reader(keys.entity_name("") if by_name else keys.ENTITY, describe, folded=by_name)


def list_groups(*, by_name: bool) -> Reader:
    """LIST group/id or group/name."""

    def describe(looking: _Looking, mounts: shown.MountsByAccessor, name: str) -> Described | None:
        group = _named(looking, Group, keys.group_name, keys.group, name, by_name=by_name)
        if group is None:
            return None
        above = [looking.further(Group, keys.group(parent_id)) for parent_id in group.parent_ids]
        info: dict[str, Any] = {
            "name": group.name,
            "num_member_entities": _members(looking, group.id),
            "num_parent_groups": sum(parent is not None for parent in above),
        }
        if group.alias is not None:
            info["alias"] = _brief(group.alias, mounts)
        return (group.name if by_name else group.id), group.id, info

    return _reader(keys.group_name("") if by_name else keys.GROUP, describe, folded=by_name)


def list_entity_aliases() -> Reader:
    """LIST entity-alias/id."""

    def describe(looking: _Looking, mounts: shown.MountsByAccessor, alias_id: str) -> Described | None:
        named = looking.at(IdentityName, keys.entity_alias_id(alias_id))
        entity = None if named is None else looking.at(Entity, keys.entity(named.id))
        alias = None if entity is None else entities.alias_of(entity, alias_id)
        if entity is None or alias is None:
            return None
        return alias_id, alias_id, _described(alias, entity.id, mounts)

    return _reader(keys.entity_alias_id(""), describe)


def list_group_aliases() -> Reader:
    """LIST group-alias/id."""

    def describe(looking: _Looking, mounts: shown.MountsByAccessor, alias_id: str) -> Described | None:
        named = looking.at(IdentityName, keys.group_alias_id(alias_id))
        group = None if named is None else looking.at(Group, keys.group(named.id))
        alias = None if group is None else group.alias
        if group is None or alias is None:
            return None
        return alias_id, alias_id, _described(alias, group.id, mounts)

    return _reader(keys.group_alias_id(""), describe)


def _reader(
    start: bytes, describe: Callable[[_Looking, shown.MountsByAccessor, str], Described | None], *, folded: bool = False
) -> Reader:
    def read(context: Context, request: RawRequest, _captures: Captures) -> Answer:
        names = _names(context, request, start, folded=folded)
        if not names:
            raise Refusal(404)
        if len(names) <= INFO_MAX:
            looking, mounts = _Looking(context), shown.mounts_by_accessor(context.view)
            try:
                told = [one for name in names if (one := describe(looking, mounts, name)) is not None]
            except _TooMuch:
                pass
            else:
                return Answer(data={"keys": [one[0] for one in told], "key_info": {one[1]: one[2] for one in told}})
        lower = ", and names are in lower case" if folded else ""
        warning = f"the list is long: key_info is left out{lower}; ask in parts for it, with limit and after"
        return Answer(data={"keys": names}, warnings=[warning])

    return read


def _names(context: Context, request: RawRequest, start: bytes, *, folded: bool) -> list[str]:
    """What the request asks for, as the table of identity has it. Raises Refusal (L2)."""
    after, limit = page(request)
    place = (after.lower() if folded else after).encode(errors="surrogatepass")
    wanted = limit if 0 < limit <= KEYS_MAX else KEYS_MAX + 1
    found = context.view.list_identity(start, after=place, limit=wanted)
    if len(found) > KEYS_MAX:
        raise Refusal(400, f"there are more than {KEYS_MAX} of them: ask in parts, with limit and after")
    return [name.decode(errors="surrogatepass") for name in found]


def _named(
    looking: _Looking,
    kind: type[Record],
    name_key: Callable[[str], bytes],
    id_key: Callable[[str], bytes],
    name: str,
    *,
    by_name: bool,
) -> Any:
    """What an id, or a name, stands for."""
    if not by_name:
        return looking.at(kind, id_key(name))
    named = looking.at(IdentityName, name_key(name))
    return None if named is None else looking.at(kind, id_key(named.id))


def _members(looking: _Looking, group_id: str) -> int:
    """How many entities are in the group directly (node/identity/groups.py, G1). Raises _TooMuch."""
    listed = looking.at(GroupMembers, keys.members(group_id))
    if listed is None:
        return 0
    found = (looking.further(Entity, keys.entity(entity_id)) for entity_id in listed.entity_ids)
    return sum(entity is not None and group_id in entity.group_ids for entity in found)


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
