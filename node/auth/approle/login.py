"""Logging in by a role's id and one of its secret-ids; and the role a token came from, for its renewal.

Pure but for what `Lockout` counts. A login whose secret-id has any number of uses changes nothing but that a token is
made; otherwise the use is in the same transaction.
Invariants
  A1  what proves nothing is told apart by nothing: a role-id that nobody has, and a secret-id of another role, that
      expired or was destroyed, get one text, and count as failures alike; so do a role-id that nobody has and any
      other that asks for a secret-id, without one: neither was guessed at
  A2  a refused login costs no use of the secret-id
Source: Vault API, "AppRole: login"; the texts are Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import Draft, Token

from ...engines.fields import parameters
from ...request import RawRequest, Refusal
from .. import networks
from ..login import Login, issue
from ..typed_fields import to_text
from . import secret_ids
from .roles import find_by_id, find_role

if TYPE_CHECKING:
    from ...engines.base import Context, Plan
    from ...engines.system.routes import Captures
    from ..lockout import Lockout
    from ..token_params import TokenParams
    from .role_fields import Role
    from .secret_ids import SecretId

FIELDS = frozenset({"role_id", "secret_id"})


class LoginPath:
    """The path `login`."""

    def __init__(self, lockout: Lockout) -> None:
        self._lockout = lockout

    def decide(self, context: Context, request: RawRequest, _captures: Captures) -> Plan:
        """A token for whoever has both ids."""
        given = parameters(request)
        role_id = to_text("role_id", given.get("role_id"))
        if not role_id:
            raise Refusal(400, "missing role_id")
        secret_id = to_text("secret_id", given.get("secret_id"))
        self._lockout.check(context, role_id)
        found = find_by_id(context, role_id)
        if not secret_id and (found is None or found[1].bind_secret_id):
            raise Refusal(400, "missing secret_id")
        if found is None:
            raise self._invalid(context, role_id, is_known=False)
        name, role = found
        draft, login = Draft(), Login(role.token, alias=role_id, metadata={"role_name": name})
        if role.bind_secret_id:
            place = secret_ids.place_of(context, role.uid, secret_id)
            held = secret_ids.find_secret_id(context, place)
            if held is None:
                raise self._invalid(context, role_id, is_known=True)
            _check_address(held.value.cidr_list, request, "through CIDR restrictions on the secret ID")
            _narrow(login, held.value, name)
            if held.value.num_uses:
                secret_ids.use(context, draft, place, held)
        _check_address(role.secret_id_bound_cidrs, request, "by CIDR restrictions on the role")
        plan = issue(context, request, login, draft)
        self._lockout.succeeded(context, role_id)
        return plan

    def _invalid(self, context: Context, role_id: str, *, is_known: bool) -> Refusal:
        self._lockout.failed(context, role_id, is_known=is_known)
        return Refusal(400, "invalid role or secret ID")


def renewal_params(context: Context, record: Token) -> TokenParams:
    """What the role of a token says now. Raises Refusal with 400 where the role is gone."""
    name = (record.meta or {}).get("role_name", "")
    found = find_role(context, name)
    if found is None:
        raise Refusal(400, f'role "{name}" does not exist during renewal', wrapped=True)
    role: Role = found.value
    return role.token


def _narrow(login: Login, secret_id: SecretId, name: str) -> None:
    login.metadata = {**secret_id.metadata, "role_name": name}
    login.bound_cidrs = secret_id.token_bound_cidrs


def _check_address(bound: list[str], request: RawRequest, why: str) -> None:
    if bound and not networks.holds(bound, request.remote_address):
        raise Refusal(400, f'source address "{request.remote_address}" unauthorized {why}')
