"""Groups by id and by name: making, changing, reading, deleting them.

Pure. Invariants: a group keeps its type; the members of an external group are nobody's to set.
Source: Vault API, "Identity: group"; OpenBao, identity store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Draft

from ...auth.typed_fields import shown as shortened
from ...auth.typed_fields import to_names, to_text
from ...identity import groups, keys
from ...identity.changes import Changes
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import parameters
from . import given as givens
from . import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster import Group

    from ..fields import Given
    from ..system.routes import Captures

FIELDS = frozenset({"id", "name", "type", "metadata", "policies", "member_group_ids", "member_entity_ids"})


def decide_group(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The group of the id or name is as the request says; a new one where there is none. Raises Refusal."""
    given = parameters(request)
    changes = Changes(context.view)
    name = givens.named("name", given, captures)
    group, is_new = _group_for(changes, name, given, captures), False
    policies = givens.policies(given["policies"]) if "policies" in given else None
    type_ = _type(given, group)
    if name:
        keys.check_name(name)
        holder = groups.by_name(changes, name)
        if holder is not None and (group is None or holder.id != group.id):
            raise Refusal(400, "group name is already in use")
    metadata = givens.metadata(given["metadata"], "group") if "metadata" in given else None
    if group is None:
        group, is_new = groups.create(changes, context.random, context.now_ns, name, type_), True
    elif name and name != group.name:
        groups.rename(changes, group, name)
    if policies is not None:
        group.policies = policies
    if "metadata" in given:
        group.metadata = metadata
    _set_members(changes, group, given)
    if not is_new:
        group.updated_ns = context.now_ns
        group.modify_index += 1
    changes.put(keys.group(group.id), group)
    data = {"id": group.id, "name": group.name}
    return Plan(Answer(data=data) if is_new else Answer(), changes.into(Draft()))


def _group_for(changes: Changes, name: str, given: Mapping[str, Given], captures: Captures) -> Group | None:
    if "id" in captures or "id" in given:
        group_id = givens.named("id", given, captures)
        if not group_id:
            raise Refusal(400, "empty group ID")
        group = groups.by_id(changes, group_id)
        if group is None:
            raise Refusal(400, "invalid group ID")
        if "name" in captures:
            givens.check_id(group_id, groups.by_name(changes, name))
        return group
    if "name" in given and not name:
        raise Refusal(400, "empty group name")
    return groups.by_name(changes, name) if name else None


def _type(given: Mapping[str, Given], group: Group | None) -> str:
    type_ = to_text("type", given.get("type"))
    if group is not None:
        if "type" in given and type_ != group.type:
            raise Refusal(400, "group type cannot be changed")
        return group.type
    type_ = type_ or groups.INTERNAL
    if type_ not in {groups.INTERNAL, groups.EXTERNAL}:
        raise Refusal(400, f'invalid group type "{shortened(type_)}"')
    return type_


def _set_members(changes: Changes, group: Group, given: Mapping[str, Given]) -> None:
    if "member_entity_ids" in given:
        if group.type == groups.EXTERNAL:
            raise Refusal(400, "member entities can't be set manually for external groups")
        groups.set_member_entities(changes, group, to_names("member_entity_ids", given["member_entity_ids"]))
    if "member_group_ids" in given:
        if group.type == groups.EXTERNAL:
            raise Refusal(400, "member groups can't be set for external groups")
        groups.set_member_groups(changes, group, to_names("member_group_ids", given["member_group_ids"]))


def read_group(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The group with its members; 404 where there is none."""
    changes = Changes(context.view)
    group = _found(changes, captures)
    if group is None:
        raise Refusal(404)
    return Answer(data=shown.group(changes, group))


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The group is gone; whoever was in it has its policies no more, from the next request on."""
    changes = Changes(context.view)
    group = _found(changes, captures)
    if group is not None:
        groups.delete(changes, group)
    return Plan(Answer(), changes.into(Draft()))


def _found(changes: Changes, captures: Captures) -> Group | None:
    if "id" in captures:
        return groups.by_id(changes, captures["id"])
    return groups.by_name(changes, captures["name"])
