"""Aliases of external groups: what an auth mount calls a group of its own.

Pure. They are stored and shown; no auth method here brings groups along yet, so nobody becomes a member by them.
Source: Vault API, "Identity: group alias"; OpenBao, identity store (handleGroupAliasUpdateCommon).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Alias, Draft

from ...auth.typed_fields import shown as shortened
from ...auth.typed_fields import to_text
from ...identity import groups, keys
from ...identity.changes import Changes
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..fields import parameters
from . import given as givens
from . import shown
from .alias_paths import check_mount

if TYPE_CHECKING:
    from cluster import Group

    from ..system.routes import Captures

FIELDS = frozenset({"id", "name", "mount_accessor", "canonical_id"})


def decide_alias(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The group's alias is as the request says; a new one without an id. Raises Refusal."""
    given = parameters(request)
    changes = Changes(context.view)
    previous = None
    if "id" in captures or "id" in given:
        previous = _previous(changes, givens.named("id", given, captures))
    name, accessor = to_text("name", given.get("name")), to_text("mount_accessor", given.get("mount_accessor"))
    if not name:
        raise Refusal(400, "missing alias name")
    if not accessor:
        raise Refusal(400, "missing mount_accessor")
    canonical_id = to_text("canonical_id", given.get("canonical_id"))
    alias = Alias() if previous is None or previous.alias is None else previous.alias
    is_same = (alias.name, alias.mount_accessor) == (name, accessor)
    if previous is not None and is_same and canonical_id in {"", previous.id}:
        return Plan(Answer())
    keys.check_name(name)
    target = _target(changes, canonical_id)
    _check_mount(context, accessor)
    holder = groups.by_alias(changes, accessor, name)
    if holder is not None and (previous is None or holder.id != previous.id):
        raise Refusal(400, "combination of mount and group alias name is already in use")
    target = target or previous
    if target is None:
        target = groups.create(changes, context.random, context.now_ns, "", groups.EXTERNAL)
    if previous is not None:
        groups.set_alias(changes, previous, None)
    wanted = Alias(
        id=alias.id or keys.new_id(context.random), mount_accessor=accessor, name=name,
        created_ns=alias.created_ns or context.now_ns, updated_ns=context.now_ns,
    )  # fmt: skip
    groups.set_alias(changes, target, wanted)
    return Plan(Answer(data={"id": wanted.id, "canonical_id": target.id}), changes.into(Draft()))


def _previous(changes: Changes, alias_id: str) -> Group:
    if not alias_id:
        raise Refusal(400, "empty group alias ID")
    group = groups.by_alias_id(changes, alias_id)
    if group is None:
        raise Refusal(400, "invalid group alias ID")
    return group


def _target(changes: Changes, canonical_id: str) -> Group | None:
    if not canonical_id:
        return None
    group = groups.by_id(changes, canonical_id)
    if group is None:
        raise Refusal(400, "invalid group ID given in 'canonical_id'")
    if group.type != groups.EXTERNAL:
        raise Refusal(400, "alias can't be set on an internal group")
    return group


def _check_mount(context: Context, accessor: str) -> None:
    check_mount(context, accessor)
    if shown.mounts_by_accessor(context.view)[accessor][1].local:
        raise Refusal(400, f'mount accessor "{shortened(accessor)}" is a local mount')


def read_alias(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The alias of the id; 404 where there is none."""
    group = groups.by_alias_id(Changes(context.view), captures["id"])
    if group is None or group.alias is None:
        raise Refusal(404)
    return Answer(data=shown.alias_alone(group.alias, group.id, shown.mounts_by_accessor(context.view)))


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """No group has the alias; the group stays."""
    changes = Changes(context.view)
    group = groups.by_alias_id(changes, captures["id"])
    if group is not None:
        groups.set_alias(changes, group, None)
    return Plan(Answer(), changes.into(Draft()))
