"""Aliases of entities: what an auth mount calls somebody.

Pure. Invariants: an alias belongs to one entity, which has no other of that mount; the mount is there when an alias
is made or changed.
Source: Vault API, "Identity: entity alias"; OpenBao, identity store (handleAliasCreate, handleAliasUpdate).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Alias, Draft

from ...auth.typed_fields import shown as shortened
from ...auth.typed_fields import to_pairs, to_text
from ...identity import entities, keys
from ...identity.changes import Changes
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import parameters
from ..kv_metadata import check_custom
from . import given as givens
from . import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster import Entity

    from ..fields import Given
    from ..system.routes import Captures

FIELDS = frozenset({"id", "name", "mount_accessor", "canonical_id", "entity_id", "custom_metadata"})


def decide_alias(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The alias, found by its id or by mount and name, is as the request says; a new one without. Raises Refusal."""
    given = parameters(request)
    name, accessor = to_text("name", given.get("name")), to_text("mount_accessor", given.get("mount_accessor"))
    alias_id = givens.named("id", given, captures)
    canonical_id = to_text("canonical_id", given.get("canonical_id")) or to_text("entity_id", given.get("entity_id"))
    custom = _custom(given)
    changes = Changes(context.view)
    if alias_id:
        entity = entities.by_alias_id(changes, alias_id)
        alias = None if entity is None else entities.alias_of(entity, alias_id)
        if entity is None or alias is None:
            raise Refusal(400, "invalid alias ID provided")
        if custom is None:
            custom = alias.custom_metadata or {}
    elif not accessor or not name:
        raise Refusal(400, "'id' or 'mount_accessor' and 'name' must be provided")
    else:
        check_mount(context, accessor)
        entity = entities.by_alias(changes, accessor, name)
        if entity is None:
            return _create(context, changes, canonical_id, Alias(mount_accessor=accessor, name=name), custom)
        alias = next(own for own in entity.aliases if _is_called(own, accessor, name))
    wanted = Alias(
        mount_accessor=accessor or alias.mount_accessor,
        name=name or alias.name,
        custom_metadata=custom or None,
    )
    return _change(context, changes, entity, alias, wanted, canonical_id or entity.id)


def _create(context: Context, changes: Changes, canonical_id: str, alias: Alias, custom: dict[str, str] | None) -> Plan:
    keys.check_name(alias.name)
    entity = entities.by_id(changes, canonical_id) if canonical_id else None
    if canonical_id and entity is None:
        raise Refusal(400, "invalid canonical ID")
    if entity is None:
        entity = entities.create(changes, context.random, context.now_ns)
    alias.custom_metadata = custom or None
    entities.add_alias(changes, entity, alias, context.random, context.now_ns)
    return _ids(changes, alias, entity)


def _change(context: Context, changes: Changes, entity: Entity, alias: Alias, wanted: Alias, canonical_id: str) -> Plan:
    is_moving = canonical_id != entity.id
    is_same = (wanted.name, wanted.mount_accessor) == (alias.name, alias.mount_accessor)
    if is_same and not is_moving and (wanted.custom_metadata or {}) == (alias.custom_metadata or {}):
        return Plan(Answer())
    keys.check_name(wanted.name)
    if not is_moving and wanted.mount_accessor != alias.mount_accessor:
        _check_free(entity, wanted, "Alias cannot be updated as the entity already has an alias for the given "
                    "'mount_accessor' ")  # fmt: skip
    check_mount(context, wanted.mount_accessor)
    holder = entities.by_alias(changes, wanted.mount_accessor, wanted.name)
    if holder is not None and not (holder.id == entity.id and _is_called(alias, wanted.mount_accessor, wanted.name)):
        raise Refusal(400, "alias with combination of mount accessor and name already exists")
    target = entities.by_id(changes, canonical_id)
    if target is None:
        raise Refusal(400, "given 'canonical_id' is not associated with an entity")
    if is_moving:
        _check_free(target, wanted, "Alias cannot be updated as the given entity already has an alias for this mount ")
    entities.drop_alias(changes, entity, alias)
    alias.name, alias.mount_accessor = wanted.name, wanted.mount_accessor
    alias.custom_metadata, alias.updated_ns = wanted.custom_metadata, context.now_ns
    entities.take_alias(changes, target, alias)
    return _ids(changes, alias, target)


def read_alias(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The alias of the id; 404 where there is none."""
    changes = Changes(context.view)
    entity = entities.by_alias_id(changes, captures["id"])
    alias = None if entity is None else entities.alias_of(entity, captures["id"])
    if entity is None or alias is None:
        raise Refusal(404)
    return Answer(data=shown.alias_alone(alias, entity.id, shown.mounts_by_accessor(context.view)))


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """Nobody has the alias; the entity stays."""
    changes = Changes(context.view)
    entity = entities.by_alias_id(changes, captures["id"])
    alias = None if entity is None else entities.alias_of(entity, captures["id"])
    if entity is not None and alias is not None:
        entities.drop_alias(changes, entity, alias)
    return Plan(Answer(), changes.into(Draft()))


def check_mount(context: Context, accessor: str) -> None:
    """A mount has the accessor. Raises Refusal."""
    if accessor not in shown.mounts_by_accessor(context.view):
        raise Refusal(400, f'invalid mount accessor "{shortened(accessor)}"')


def _custom(given: Mapping[str, Given]) -> dict[str, str] | None:
    """The custom metadata given; None: none were. Raises FieldError, Refusal."""
    if "custom_metadata" not in given:
        return None
    custom = to_pairs("custom_metadata", given["custom_metadata"])
    check_custom(custom)
    return custom


def _check_free(entity: Entity, wanted: Alias, text: str) -> None:
    if entities.has_mount(entity, wanted.mount_accessor):
        raise Refusal(400, text)


def _is_called(alias: Alias, accessor: str, name: str) -> bool:
    return keys.entity_alias(alias.mount_accessor, alias.name) == keys.entity_alias(accessor, name)


def _ids(changes: Changes, alias: Alias, entity: Entity) -> Plan:
    return Plan(Answer(data={"id": alias.id, "canonical_id": entity.id}), changes.into(Draft()))
