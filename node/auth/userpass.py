"""The auth method of type userpass: names with passwords.

Pure but for what `Lockout` counts and for the hashing, which runs in a thread (`labour`) before `decide`. Stored are
`user/NAME`, names lower-cased, and `bcrypt`: the highest cost of a hash that was ever given for a user of the mount.
Invariants
  U1  a wrong password and a name that nobody has are told apart neither by the answer nor by the work
  U2  a password that was compared while another one was set proves nothing: it is compared again
  U3  what a name locks is locked before any work is done for it
Source: Vault API, "Userpass"; the texts are Vault's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Draft, Table, Token

from ..engines.base import Context, Plan
from ..engines.entries import Found, drop, find, put
from ..engines.fields import FieldError, parameters, refusal_of
from ..engines.pages import PAGE, listed
from ..engines.system.routes import Route, Router
from ..policy import builtin
from ..request import Answer, Operation, RawRequest, Refusal, StaleLabour
from . import networks, passwords, token_params
from .login import Login, issue
from .passwords import Hashed, Proof
from .token_params import TokenParams
from .typed_fields import to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engines.system.routes import Captures
    from .lockout import Lockout

OLD_NAMES = {
    "bound_cidrs": "token_bound_cidrs", "max_ttl": "token_max_ttl", "policies": "token_policies", "ttl": "token_ttl",
}  # fmt: skip
FIELDS = frozenset({"password", "password_hash"}) | frozenset(OLD_NAMES) | token_params.FIELDS
_POLICY_FIELDS = frozenset({"policies", "token_policies"})
_PASSWORD_FIELDS = frozenset({"password", "password_hash"})
_FOLDER = "user/"
_DEAREST = "bcrypt"
_NAME = r"(?P<name>\w(?:[\w.@-]*\w)?)"
_USER = re.compile("users/" + _NAME)
_PASSWORD = re.compile(f"users/{_NAME}(?:/password)?")
_LOGIN = re.compile("login/" + _NAME)
_BODIES = frozenset({Operation.CREATE, Operation.UPDATE})


class User(msgspec.Struct, array_like=True):
    """A name that may log in. New fields go at the end, with a default."""

    password: Hashed
    token: TokenParams = msgspec.field(default_factory=TokenParams)
    legacy: list[str] = []  # old names by which fields were given last

    def __repr__(self) -> str:
        return "<User>"


class Dearest(msgspec.Struct, array_like=True):
    """The highest cost of a bcrypt hash of the mount: every login there takes as long. New fields go at the end."""

    bcrypt_cost: int = 0


class UserpassEngine(Router):
    """The engine of auth methods of type userpass."""

    def __init__(self, lockout: Lockout) -> None:
        self._lockout = lockout
        super().__init__(self._table())

    def _table(self) -> tuple[Route, ...]:
        read, update, delete = Operation.READ, Operation.UPDATE, Operation.DELETE
        return (
            Route(
                "login/" + _NAME,
                decisions={update: self._decide_login},
                fields=frozenset({"password"}),
                help="Log in with a username and password.",
            ),
            Route(
                "users/?",
                reads={Operation.LIST: read_list},
                fields=PAGE,
                help="Lists the users of the mount.",
            ),
            Route(
                "users/" + _NAME,
                reads={read: read_user},
                decisions={update: decide_write, delete: decide_delete},
                fields=FIELDS,
                help="Manage users allowed to authenticate.",
            ),
            Route(
                f"users/{_NAME}/password",
                decisions={update: decide_password},
                fields=_PASSWORD_FIELDS,
                help="Reset a user's password.",
            ),
            Route(
                f"users/{_NAME}/policies",
                decisions={update: decide_policies},
                fields=_POLICY_FIELDS,
                help="Update the policies of a user.",
            ),
        )

    def exists(self, context: Context, path: str) -> bool | None:
        """A user that is written is created where there is none."""
        match = _USER.fullmatch(path)
        if match is None:
            return None
        assert context.mount is not None  # the flow gives every engine its mount
        key = context.mount.uuid + (_FOLDER + match["name"].lower()).encode()
        return context.view.get(Table.ENTRY, key) is not None

    def canonical(self, path: str) -> str:
        """Names of users are lower-cased."""
        folder, slash, rest = path.partition("/")
        name, below, part = rest.partition("/")
        return f"{folder}{slash}{name.lower()}{below}{part}" if folder in {"users", "login"} else path

    def labour(self, context: Context, request: RawRequest, path: str) -> Callable[[], Any] | None:
        """Hashing a password that is set, or deriving what is compared at a login. Raises Refusal."""
        login, setting = _LOGIN.fullmatch(path), _PASSWORD.fullmatch(path)
        if request.operation not in _BODIES or (login is None and setting is None):
            return None
        try:
            password, password_hash = _password(request), _password_hash(request) if setting is not None else ""
        except FieldError as error:
            raise refusal_of(error, existence_checked=False) from None
        if login is None:
            needs_none = not password or password_hash
            return None if needs_none else passwords.hashing(password, context.random(passwords.SALT_BYTES))
        name = login["name"].lower()
        self._lockout.check(context, name)
        if not password:
            raise Refusal(400, "missing password")
        found, dearest = find(context, _FOLDER + name, User), find(context, _DEAREST, Dearest)
        stored = None if found is None else found.value.password
        return passwords.proving(password, stored, 0 if dearest is None else dearest.value.bcrypt_cost)

    def _decide_login(self, context: Context, request: RawRequest, captures: Captures) -> Plan:
        name = _name_of(captures)
        self._lockout.check(context, name)
        found = find(context, _FOLDER + name, User)
        stored = None if found is None else found.value.password
        proof = request.labour
        if not isinstance(proof, Proof) or not proof.is_of(stored):
            raise StaleLabour
        if found is None or not proof.opens(found.value.password):
            self._lockout.failed(context, name, is_known=found is not None)
            raise Refusal(400, "invalid username or password")
        params = found.value.token
        if params.bound_cidrs and not networks.holds(params.bound_cidrs, request.remote_address):
            raise Refusal(400, "login request originated from invalid CIDR")
        plan = issue(context, request, Login(params, alias=name, name=name, metadata={"username": name}))
        self._lockout.succeeded(context, name)
        return plan


def renewal_params(context: Context, record: Token) -> TokenParams:
    """What the user of a token says now. Raises Refusal with 400 where the user is gone, or has other policies."""
    name = (record.meta or {}).get("username", "")
    found = find(context, _FOLDER + name, User)
    if found is None:
        raise Refusal(400, "user no longer exists", wrapped=True)
    params = found.value.token
    if (set(params.policies) ^ set(record.policies)) - {builtin.DEFAULT, builtin.RESPONSE_WRAPPING}:
        raise Refusal(400, "policies have changed, not renewing", wrapped=True)
    return params


# ---- users
def read_list(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The names; 404 without one."""
    return listed(context, request, _FOLDER)


def read_user(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The user without the password; 404 without one."""
    found = find(context, _FOLDER + _name_of(captures), User)
    if found is None:
        raise Refusal(404)
    data = token_params.shown_params(found.value.token)
    data.update({old: data[OLD_NAMES[old]] for old in found.value.legacy})
    return Answer(data=data)


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The user is created, or the given fields change."""
    before = find(context, _FOLDER + _name_of(captures), User)
    password = _hashed(request)
    if password is None and before is None:
        raise Refusal(400, "missing password")
    fields, legacy = token_params.renamed(
        parameters(request), OLD_NAMES, [] if before is None else before.value.legacy
    )
    old = TokenParams() if before is None else before.value.token
    kept = password if password is not None or before is None else before.value.password
    assert kept is not None  # a new user has one
    return _put(context, captures, User(kept, token_params.changed(old, fields), legacy), before)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The user is gone; tokens live on and are not renewed."""
    name = _FOLDER + _name_of(captures)
    found = find(context, name, User)
    draft = Draft()
    if found is not None:
        drop(context, draft, name, found)
    return Plan(Answer(), draft)


def decide_password(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The user has another password."""
    before = _known(context, captures)
    password = _hashed(request)
    if password is None:
        raise Refusal(400, "missing password")
    return _put(context, captures, msgspec.structs.replace(before.value, password=password), before)


def decide_policies(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The user's tokens get other policies from now on."""
    before = _known(context, captures)
    given = {name: value for name, value in parameters(request).items() if name in _POLICY_FIELDS}
    fields, legacy = token_params.renamed(given or {"token_policies": b"null"}, OLD_NAMES, before.value.legacy)
    token = token_params.changed(before.value.token, fields)
    return _put(context, captures, msgspec.structs.replace(before.value, token=token, legacy=legacy), before)


def _put(context: Context, captures: Captures, user: User, before: Found[User] | None) -> Plan:
    draft = Draft()
    if before is None or user != before.value:
        put(context, draft, _FOLDER + _name_of(captures), user, before)
        dearest, cost = find(context, _DEAREST, Dearest), user.password.bcrypt_cost
        if cost > (0 if dearest is None else dearest.value.bcrypt_cost):
            put(context, draft, _DEAREST, Dearest(cost), dearest)
    return Plan(Answer(), draft)


def _known(context: Context, captures: Captures) -> Found[User]:
    found = find(context, _FOLDER + _name_of(captures), User)
    if found is None:
        raise Refusal(400, "username does not exist", wrapped=True)
    return found


def _hashed(request: RawRequest) -> Hashed | None:
    """What is to be kept of the password in the request; None where there is none."""
    password_hash = _password_hash(request)
    if password_hash:
        return passwords.given(password_hash)
    if not _password(request):
        return None
    if not isinstance(request.labour, Hashed):
        raise StaleLabour
    return request.labour


def _password(request: RawRequest) -> str:
    return to_text("password", parameters(request).get("password"))


def _password_hash(request: RawRequest) -> str:
    """The hash of a password that is set. Raises Refusal where the password is there, too."""
    found = to_text("password_hash", parameters(request).get("password_hash"))
    if found and _password(request):
        raise Refusal(400, '"password" and "password_hash" cannot be supplied together')
    return found


def _name_of(captures: Captures) -> str:
    return captures["name"].lower()
