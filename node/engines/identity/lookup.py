"""lookup/entity and lookup/group: by id, by name, by an alias's id, or by what a mount calls them.

Pure; any node answers. Source: Vault API, "Identity: lookup"; OpenBao, identity store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...auth.typed_fields import to_text
from ...identity import entities, groups
from ...identity.changes import Changes
from ...request import Answer, RawRequest, Refusal
from ..fields import parameters
from . import shown

if TYPE_CHECKING:
    from ..base import Context
    from ..system.routes import Captures

FIELDS = frozenset({"id", "name", "alias_id", "alias_name", "alias_mount_accessor"})


def read_entity(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The entity, or 204."""
    by = _query(request)
    changes = Changes(context.view)
    if by["id"]:
        entity = entities.by_id(changes, by["id"])
    elif by["name"]:
        entity = entities.by_name(changes, by["name"])
    elif by["alias_id"]:
        entity = entities.by_alias_id(changes, by["alias_id"])
    else:
        entity = entities.by_alias(changes, by["alias_mount_accessor"], by["alias_name"])
    return Answer() if entity is None else Answer(data=shown.entity(changes, entity))


def read_group(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The group, or 204."""
    by = _query(request)
    changes = Changes(context.view)
    if by["id"]:
        group = groups.by_id(changes, by["id"])
    elif by["name"]:
        group = groups.by_name(changes, by["name"])
    elif by["alias_id"]:
        group = groups.by_alias_id(changes, by["alias_id"])
    else:
        group = groups.by_alias(changes, by["alias_mount_accessor"], by["alias_name"])
    return Answer() if group is None else Answer(data=shown.group(changes, group))


def _query(request: RawRequest) -> dict[str, str]:
    """One way to ask, and no other. Raises FieldError, Refusal."""
    given = parameters(request)
    by = {name: to_text(name, given.get(name)) for name in FIELDS}
    count = sum(name in given for name in FIELDS)
    has_alias = bool(by["alias_name"] and by["alias_mount_accessor"])
    if count == 0:
        raise Refusal(400, "query parameter not supplied")
    if count > 1 and not (count == 2 and has_alias):
        raise Refusal(400, "query parameter conflict; please supply distinct set of query parameters")
    if count == 1 and (by["alias_name"] or by["alias_mount_accessor"]):
        raise Refusal(400, "both 'alias_name' and 'alias_mount_accessor' needs to be set")
    return by
