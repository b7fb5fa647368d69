"""A login finds the entity it belongs to, or makes it: in the transaction that makes the token, or not at all.

Pure. Invariants
  A1  one alias, one entity: the second login through an alias finds what the first one made
  A2  a login through an alias whose entity is disabled is refused
  A3  a login that finds its entity as it was changes nothing of it, so that it costs the token alone
Source: Vault concepts, "Identity: entities and aliases"; Vault internals, "Request handling" (login).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cluster import Alias, Draft, Entity

from ..request import Refusal
from . import entities, external, keys
from .changes import Changes
from .person import person_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster import View

    from ..engines.base import Context


def arrive(
    context: Context,
    draft: Draft,
    mount_accessor: str,
    alias_name: str,
    metadata: Mapping[str, str] | None = None,
    group_names: Iterable[str] | None = None,
) -> tuple[str, tuple[str, ...]]:
    """(entity id, the policies it adds) of whoever the mount calls so; the draft makes what is not there yet.

    `metadata`: what the auth method says of them, replaced where it has changed; None: nothing. `group_names`: what
    it calls the groups they are in (external.py); None: it knows nothing of groups. Raises Refusal.
    """
    keys.check_name(alias_name)
    changes = Changes(context.view)
    entity_id = changes.named(keys.entity_alias(mount_accessor, alias_name))
    entity = None if entity_id is None else changes.look(Entity, keys.entity(entity_id))
    if entity is None:
        entity = entities.create(changes, context.random, context.now_ns)
        alias = Alias(mount_accessor=mount_accessor, name=alias_name, metadata=dict(metadata or {}) or None)
        entities.add_alias(changes, entity, alias, context.random, context.now_ns)
    elif person_of(context.view, entity.id) is None:
        raise Refusal(403, "permission denied")
    else:
        _refresh(changes, entity, mount_accessor, alias_name, metadata, context.now_ns)
    if group_names is not None:
        external.refresh(changes, entity, mount_accessor, group_names)
    changes.into(draft)
    person = person_of(cast("View", external.After(context.view, draft)), entity.id)
    if person is None:  # it is in more groups than can be judged
        raise Refusal(403, "permission denied")
    return entity.id, person.policies


def _refresh(
    changes: Changes,
    entity: Entity,
    mount_accessor: str,
    alias_name: str,
    metadata: Mapping[str, str] | None,
    now_ns: int,
) -> None:
    """What templates may use is what the method says now, for the person they are now."""
    key = keys.entity_alias(mount_accessor, alias_name)
    for alias in entity.aliases:
        if keys.entity_alias(alias.mount_accessor, alias.name) == key:
            if metadata is None or dict(metadata) == (alias.metadata or {}):
                return
            alias.metadata = dict(metadata) or None
            alias.updated_ns = now_ns
            changes.put(keys.entity(entity.id), entity)
