"""Password policies: store, read, list, delete, and passwords by them, under sys/policies/password.

Pure. Invariants: what is stored was parsed and can be fulfilled; a text is kept as its author wrote it; a password that
is made is in its answer and nowhere else.
Source: Vault API, "sys/policies/password".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cluster import Draft

from ...auth.typed_fields import to_text
from ...policy import PolicyError, plain_text
from ...request import Answer, RawRequest, Refusal
from .. import entries
from ..base import Context, Plan
from ..fields import parameters
from .passwords import PasswordPolicyError, generate, parse

if TYPE_CHECKING:
    from .routes import Captures

FIELDS = frozenset({"policy"})
_FOLDER = "policies/password/"


class StoredPolicy(msgspec.Struct, array_like=True):
    """A policy as its author wrote it."""

    text: str


def read_list(context: Context, _request: RawRequest, _captures: Captures) -> Answer:
    """The names; 404 without any."""
    names = entries.names(context, _FOLDER)
    if not names:
        raise Refusal(404)
    return Answer(data={"keys": names})


def read_policy(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The text."""
    return Answer(data={"policy": _found(context, captures).text})


def read_password(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """A new password."""
    return Answer(data={"password": generate(parse(_found(context, captures).text), context.random)})


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """Passwords are made by this text from now on."""
    text = to_text("policy", parameters(request).get("policy"))
    if not text:
        raise Refusal(400, "missing policy", wrapped=True)
    try:
        text = plain_text(text)
        parse(text)
    except (PasswordPolicyError, PolicyError) as error:
        raise Refusal(400, f"invalid password policy: {error}", wrapped=True) from None
    name = _FOLDER + captures["name"]
    draft = Draft()
    entries.put(context, draft, name, StoredPolicy(text), entries.find(context, name, StoredPolicy))
    return Plan(Answer(), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The policy is gone; 204 also where there is none."""
    draft = Draft()
    found = entries.find(context, _FOLDER + captures["name"], StoredPolicy)
    if found is not None:
        entries.drop(context, draft, _FOLDER + captures["name"], found)
    return Plan(Answer(), draft)


def _found(context: Context, captures: Captures) -> StoredPolicy:
    found = entries.find(context, _FOLDER + captures["name"], StoredPolicy)
    if found is None:
        raise Refusal(404, "policy does not exist", wrapped=True)
    return found.value
