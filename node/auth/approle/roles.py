"""The paths of roles: each whole, its single fields, and its id.

Pure. Stored are `role/NAME`, and `role-id/HASH` with the name, where HASH is the keyed hash of the role's id in lower
case.
Invariants
  N1  a role-id belongs to one role of the mount: the entry of the id and the role change in one transaction. Where they
      disagree (a restore takes each record as it is now, or not at all) nobody logs in by it, until the next write.
      Two ids that differ in case alone are one, because they are one alias to identity; who logs in writes it as it is
  N2  a role that is deleted takes its secret-ids with it at once, however many there are: they hang on its uid, which
      no later role has. What is left of them in storage is removed by `sweeping`, a bounded number at a time
Source: Vault API, "AppRole".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from cluster import Draft

from ...engines.base import Context, Plan
from ...engines.entries import Found, drop, find, put
from ...engines.fields import parameters
from ...engines.pages import listed
from ...request import Answer, RawRequest, Refusal
from ..typed_fields import to_text
from . import role_fields, sweeping
from .role_fields import Part, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...engines.fields import Given
    from ...engines.system.routes import Captures

ROLE_ID_CHARACTERS_MAX = 512
_FOLDER = "role/"


class Named(msgspec.Struct, array_like=True):
    """Which role a role-id belongs to."""

    role: str


def name_of(captures: Captures) -> str:
    """The role in the path: names are lower-cased."""
    return captures["name"].lower()


def find_role(context: Context, name: str) -> Found[Role] | None:
    """The role, or None."""
    return find(context, _FOLDER + name, Role)


def find_by_id(context: Context, role_id: str) -> tuple[str, Role] | None:
    """(name, role) of a role-id, or None."""
    found = _holder(context, role_id)
    return None if found is None or found[1].role_id != role_id else found


def _holder(context: Context, role_id: str) -> tuple[str, Role] | None:
    """(name, role) of whoever has the role-id, however it is written."""
    named = find(context, _id_name(context, role_id), Named)
    found = None if named is None else find_role(context, named.value.role)
    if named is None or found is None or _folded(found.value.role_id) != _folded(role_id):
        return None
    return named.value.role, found.value


def known_role(context: Context, name: str, *, wrapped: bool = False) -> Found[Role]:
    """The role. Raises Refusal with 404 and Vault's text where there is none."""
    found = find_role(context, name)
    if found is None:
        raise Refusal(404, f'role "{name}" does not exist', wrapped=wrapped)
    return found


def new_uuid(context: Context) -> str:
    """A fresh UUID of version 4, as text."""
    return str(UUID(bytes=context.random(16), version=4))


# ---- whole roles
def read_list(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The names of all roles; 404 without one."""
    return listed(context, request, _FOLDER)


def read_role(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The role without its id; 404 without one."""
    return Answer(data=role_fields.shown(_read(context, captures)))


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The role is created, or the given fields of it change."""
    name, given = name_of(captures), parameters(request)
    before = find_role(context, name)
    if before is not None and "local_secret_ids" in given:
        raise Refusal(400, "local_secret_ids can only be modified during role creation")
    base = Role(uid=context.random(16).hex(), role_id=new_uuid(context)) if before is None else before.value
    role, warnings = role_fields.changed(base, given)
    if "role_id" in given:
        role.role_id = to_text("role_id", given["role_id"])
        if not role.role_id:
            raise Refusal(400, "invalid role_id supplied")
    draft = Draft()
    _put(context, draft, name, before, role)
    warnings += role_fields.max_ttl_warning(role, context.mount)
    return Plan(Answer(warnings=warnings or None), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The role is gone, and with it every secret-id of it; 204 also where there was none."""
    name = name_of(captures)
    found = find_role(context, name)
    draft = Draft()
    if found is not None:
        drop(context, draft, _FOLDER + name, found)
        _drop_id(context, draft, found.value.role_id)
        sweeping.drop_some(context, draft, found.value.uid)
    return Plan(Answer(), draft)


# ---- one field
class PartPaths:
    """The handlers of the path of one field."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def read(self, context: Context, _request: RawRequest, captures: Captures) -> Answer:
        """The field; 404 without the role."""
        return Answer(data=role_fields.shown_part(_read(context, captures), self._part))

    def decide(self, context: Context, request: RawRequest, captures: Captures) -> Plan:
        """The field changes."""
        part, given = self._part, parameters(request)
        fields = {name: given[name] for name in (part.field, part.old) if name in given}
        if not fields:
            raise Refusal(400, f"missing {part.field}")
        return _change(context, captures, fields)

    def decide_default(self, context: Context, _request: RawRequest, captures: Captures) -> Plan:
        """The field is what it was in the beginning; 204 also without the role."""
        if find_role(context, name_of(captures)) is None:
            return Plan(Answer())
        return _change(context, captures, {self._part.field: self._part.default})


def read_local_secret_ids(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """Whether secret-ids were meant to stay in one cluster: chosen once, when the role is created."""
    return Answer(data={"local_secret_ids": _read(context, captures).local_secret_ids})


def _change(context: Context, captures: Captures, fields: Mapping[str, Given]) -> Plan:
    name = name_of(captures)
    before = known_role(context, name)
    role, warnings = role_fields.changed(before.value, fields)
    draft = Draft()
    _put(context, draft, name, before, role)
    if "token_max_ttl" in fields:
        warnings += role_fields.max_ttl_warning(role, context.mount)
    return Plan(Answer(warnings=warnings or None), draft)


# ---- its id
def read_role_id(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The role's id; 404 without the role."""
    return Answer(data={"role_id": _read(context, captures).role_id})


def decide_role_id(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The role answers to the given id, and no longer to the one before."""
    name = name_of(captures)
    before = known_role(context, name)
    role_id = to_text("role_id", parameters(request).get("role_id"))
    if not role_id:
        raise Refusal(400, "missing role_id")
    draft = Draft()
    _put(context, draft, name, before, msgspec.structs.replace(before.value, role_id=role_id))
    return Plan(Answer(), draft)


# ---- storage
def _read(context: Context, captures: Captures) -> Role:
    found = find_role(context, name_of(captures))
    if found is None:
        raise Refusal(404)
    return found.value


def _put(context: Context, draft: Draft, name: str, before: Found[Role] | None, role: Role) -> None:
    """The draft stores what is different; its id's entry also where only that is missing (N1 after a restore)."""
    if before is None or before.value != role:
        put(context, draft, _FOLDER + name, role, before)
    if len(role.role_id) > ROLE_ID_CHARACTERS_MAX:
        raise Refusal(400, f"a role_id has at most {ROLE_ID_CHARACTERS_MAX} characters")
    place = _id_name(context, role.role_id)
    named = find(context, place, Named)
    if named is None or named.value.role != name:
        if _holder(context, role.role_id) is not None:
            raise Refusal(400, "role_id already in use")
        put(context, draft, place, Named(role=name), named)
    if before is not None and _folded(before.value.role_id) != _folded(role.role_id):
        _drop_id(context, draft, before.value.role_id)


def _drop_id(context: Context, draft: Draft, role_id: str) -> None:
    place = _id_name(context, role_id)
    found = find(context, place, Named)
    if found is not None:
        drop(context, draft, place, found)


def _id_name(context: Context, role_id: str) -> str:
    return f"role-id/{context.sealing.token_hash(f'role-id:{_folded(role_id)}').hex()}"


def _folded(role_id: str) -> str:
    """As identity compares what a mount calls somebody."""
    return role_id.lower()
