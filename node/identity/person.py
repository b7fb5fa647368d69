"""Whom a token belongs to, and what that adds to its policies: asked at every request of a token with an entity.

Pure but for a cache, which is good for exactly the records it was made from. Invariants
  P1  a token whose entity is disabled, or gone without being merged into another, belongs to nobody: it may do nothing
  P2  what an entity adds is its own policies and those of the groups it is in, directly or through other groups; no
      record can make `root` one of them
  P3  a person is as the view's records are: a change counts from the next request on
  P4  an entity in more than GROUPS_MAX groups is nobody, because what they grant cannot be added up in a turn
Source: Vault concepts, "Identity"; OpenBao, fetchEntityAndDerivedPolicies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from cluster import Entity, Group, IdentityName, Table, View, records

from ..policy import Alias as TemplateAlias
from ..policy import Group as TemplateGroup
from ..policy import Identity, builtin
from . import keys

if TYPE_CHECKING:
    from cluster import Token

GROUPS_MAX = 1_000
CACHED_MAX = 10_000
Sources = tuple[tuple[bytes, bytes | None], ...]
PersonCache = dict[str, tuple[Sources, "Person"]]
"""Entity id → (what the person was made from: keys with their records, None for none; the person)."""

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Whoever is behind a token. `policies` are sorted; `identity` is what templates of policies are filled in from."""

    entity_id: str  # of the entity the token's was merged into, where it was
    policies: tuple[str, ...]
    identity: Identity

    def beside(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The policies of a token that has these itself."""
        return tuple(sorted({*names, *self.policies})) if self.policies else names


def person_of(view: View, entity_id: str, cache: PersonCache | None = None) -> Person | None:
    """Whoever the entity is; None: nobody (P1, P4)."""
    known = None if cache is None else cache.get(entity_id)
    if known is not None and _are_as_they_were(view, known[0]):
        return known[1]
    reading = _Reading(view)
    try:
        person = _person(reading, entity_id)
    except _UNREADABLE:  # what it says cannot be known: nobody
        return None
    if person is not None and cache is not None:
        if len(cache) >= CACHED_MAX:
            del cache[next(iter(cache))]
        cache[entity_id] = (tuple(reading.sources.items()), person)
    return person


def policies_of(view: View, token: Token) -> tuple[str, ...]:
    """What its entity adds to the token's policies."""
    person = person_of(view, token.entity_id) if token.entity_id else None
    return () if person is None else person.policies


class _Reading:
    """Records as read, each once, and remembered."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.sources: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        if key not in self.sources:
            found = self._view.get(Table.IDENTITY, key)
            self.sources[key] = None if found is None else found[1]
        return self.sources[key]


def _are_as_they_were(view: View, sources: Sources) -> bool:
    for key, record in sources:
        found = view.get(Table.IDENTITY, key)
        if (None if found is None else found[1]) != record:
            return False
    return True


def _person(reading: _Reading, entity_id: str) -> Person | None:
    entity = _entity(reading, entity_id)
    if entity is None or entity.disabled:
        return None
    groups: dict[str, Group] = {}
    left = [*entity.group_ids]
    while left:
        group_id = left.pop()
        record = None if group_id in groups else reading.get(keys.group(group_id))
        if record is None:
            continue
        if len(groups) >= GROUPS_MAX:
            return None
        groups[group_id] = group = records.decode(Group, record)
        left += group.parent_ids
    granted = [entity.policies, *(group.policies for group in groups.values())]
    policies = builtin.normalise_names(name for names in granted for name in names)
    return Person(entity.id, tuple(name for name in policies if name != builtin.ROOT), _identity(entity, groups))


def _entity(reading: _Reading, entity_id: str) -> Entity | None:
    record = reading.get(keys.entity(entity_id))
    if record is None:
        merged = reading.get(keys.merged(entity_id))
        record = None if merged is None else reading.get(keys.entity(records.decode(IdentityName, merged).id))
    return None if record is None else records.decode(Entity, record)


def _identity(entity: Entity, groups: dict[str, Group]) -> Identity:
    return Identity(
        id=entity.id,
        name=entity.name,
        metadata=entity.metadata or {},
        aliases=tuple(
            TemplateAlias(
                mount_accessor=alias.mount_accessor,
                id=alias.id,
                name=alias.name,
                metadata=alias.metadata or {},
                custom_metadata=alias.custom_metadata or {},
            )
            for alias in entity.aliases
        ),
        groups=tuple(TemplateGroup(group.id, group.name, group.metadata or {}) for group in groups.values()),
    )
