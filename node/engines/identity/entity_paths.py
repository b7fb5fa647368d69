"""Entities by id and by name: making, changing, reading, deleting them.

Pure. Invariants: what an answer of 204 changed is in one transaction; deleting what is not there is 204.
Source: Vault API, "Identity: entity"; OpenBao, identity store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Draft

from ...identity import entities, keys
from ...identity.changes import Changes, check_count
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import parameters, to_bool
from . import given as givens
from . import shown

if TYPE_CHECKING:
    from cluster import Entity

    from ..system.routes import Captures

FIELDS = frozenset({"id", "name", "metadata", "policies", "disabled"})
BATCH_FIELDS = frozenset({"entity_ids"})


def decide_entity(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The entity of the id or name is as the request says; a new one where there is none. Raises Refusal."""
    given = parameters(request)
    changes = Changes(context.view)
    entity_id, name = givens.named("id", given, captures), givens.named("name", given, captures)
    if entity_id and "name" in captures:
        givens.check_id(entity_id, entities.by_name(changes, name))
    entity, is_new = _entity_for(changes, entity_id, name), False
    policies = givens.policies(given["policies"]) if "policies" in given else None
    metadata = givens.metadata(given["metadata"], "entity") if "metadata" in given else None
    disabled = to_bool("disabled", given["disabled"]) if "disabled" in given else None
    if name:
        keys.check_name(name)
    if entity is None:
        entity, is_new = entities.create(changes, context.random, context.now_ns, name), True
    elif name and name != entity.name:
        entities.rename(changes, entity, name)
    if policies is not None:
        entity.policies = policies
    if "metadata" in given:
        entity.metadata = metadata
    if disabled is not None:
        entity.disabled = disabled
    entity.updated_ns = context.now_ns
    changes.put(keys.entity(entity.id), entity)
    data = {"id": entity.id, "name": entity.name, "aliases": None}
    return Plan(Answer(data=data) if is_new else Answer(), changes.into(Draft()))


def _entity_for(changes: Changes, entity_id: str, name: str) -> Entity | None:
    by_name = entities.by_name(changes, name) if name else None
    if not entity_id:
        return by_name
    entity = entities.by_id(changes, entity_id)
    if entity is None:
        raise Refusal(400, "entity not found from id")
    if by_name is not None and by_name.id != entity.id:
        raise Refusal(400, "entity name is already in use")
    return entity


def read_entity(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The entity with its aliases and groups; 404 where there is none."""
    changes = Changes(context.view)
    entity = _found(changes, captures)
    if entity is None:
        raise Refusal(404)
    return Answer(data=shown.entity(changes, entity))


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The entity is gone; its tokens may do nothing from now on."""
    changes = Changes(context.view)
    entity = _found(changes, captures)
    if entity is not None:
        entities.delete(changes, entity)
    return Plan(Answer(), changes.into(Draft()))


def decide_batch_delete(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """All of the entities are gone, in one transaction."""
    given = parameters(request)
    entity_ids = givens.ids("entity_ids", given["entity_ids"]) if "entity_ids" in given else []
    if not entity_ids:
        raise Refusal(400, "missing entity ids to delete")
    changes = Changes(context.view)
    found = [entity for entity_id in entity_ids if (entity := entities.by_id(changes, entity_id)) is not None]
    check_count(sum(entities.records_of(entity) for entity in found))
    for entity in found:
        entities.delete(changes, entity)
    return Plan(Answer(), changes.into(Draft()))


def _found(changes: Changes, captures: Captures) -> Entity | None:
    if "id" in captures:
        return entities.by_id(changes, captures["id"])
    return entities.by_name(changes, captures["name"])
