"""The paths of secret-ids: making, listing, looking at and removing them.

Pure. Invariants: a secret-id is told once, to whoever made it; what a secret-id grants is within what its role grants
when it is made; what is not there is told apart neither from what expired nor from what another role has.
Source: Vault API, "AppRole: generate new secret ID" and what follows; the texts are Vault's.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Draft

from ...engines.base import Context, Plan
from ...engines.fields import Given, parameters, to_seconds
from ...engines.instants import rfc3339
from ...engines.pages import listed
from ...request import Answer, RawRequest, Refusal
from .. import networks
from ..token_params import cidrs
from ..token_ttl import TTL_S_MAX, mount_ttls_s
from ..tokens import NS
from ..typed_fields import to_text
from . import secret_ids, sweeping
from .role_fields import Role, to_num_uses
from .roles import known_role, name_of, new_uuid
from .secret_ids import Place, SecretId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...engines.entries import Found
    from ...engines.system.routes import Captures

FIELDS = frozenset({"metadata", "cidr_list", "token_bound_cidrs", "ttl", "num_uses"})
CUSTOM_FIELDS = FIELDS | {"secret_id"}
SECRET_FIELDS = frozenset({"secret_id"})
ACCESSOR_FIELDS = frozenset({"secret_id_accessor"})
SECRET_ID_CHARACTERS_MAX = 4096
METADATA_CHARACTERS_MAX = 65_536
_NEVER = "0001-01-01T00:00:00Z"
_TIDYING = (
    "Tidy operation successfully started. Any information from the operation will be printed to Strongroom's server "
    "logs."
)
_TIDY_AGAIN = "There are more secret IDs than one operation looks at: some were not looked at, ask again."


# ---- making
def decide_generate(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """A secret-id that nobody knew before."""
    return _make(context, name_of(captures), parameters(request), new_uuid(context))


def decide_custom(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The secret-id in the request."""
    given = parameters(request)
    secret_id = to_text("secret_id", given.get("secret_id"))
    if not secret_id:
        raise Refusal(400, "missing secret_id")
    if len(secret_id) > SECRET_ID_CHARACTERS_MAX:
        raise Refusal(400, f"a secret_id has at most {SECRET_ID_CHARACTERS_MAX} characters")
    return _make(context, name_of(captures), given, secret_id)


def _make(context: Context, name: str, given: Mapping[str, Given], secret_id: str) -> Plan:
    role = known_role(context, name).value
    if not role.bind_secret_id:
        raise Refusal(400, "bind_secret_id is not set on the role")
    made = _wanted(context, name, role, given)
    place = secret_ids.place_of(context, role.uid, secret_id)
    draft = Draft()
    secret_ids.create(context, draft, place, made)
    sweeping.sample(context, draft, place)
    data = {
        "secret_id": secret_id,
        "secret_id_accessor": made.accessor,
        "secret_id_num_uses": made.num_uses,
        "secret_id_ttl": made.ttl_s,
    }
    return Plan(Answer(data=data), draft, secret_answer=True)


def _wanted(context: Context, name: str, role: Role, given: Mapping[str, Given]) -> SecretId:
    """Raises FieldError, Refusal."""
    num_uses, ttl_s = role.secret_id_num_uses, role.secret_id_ttl_s
    if "num_uses" in given:
        num_uses = to_num_uses("num_uses", given["num_uses"])
        if role.secret_id_num_uses and not 0 < num_uses <= role.secret_id_num_uses:
            raise Refusal(400, "num_uses cannot be higher than the role's secret_id_num_uses")
    if "ttl" in given:
        ttl_s = min(to_seconds("ttl", given["ttl"], signed=False), TTL_S_MAX)
        if role.secret_id_ttl_s and not 0 < ttl_s <= role.secret_id_ttl_s:
            raise Refusal(400, "ttl cannot be longer than the role's secret_id_ttl")
    lived_s = min(ttl_s, mount_ttls_s(context.mount)[1])
    return SecretId(
        accessor=new_uuid(context),
        role=name,
        created_ns=context.now_ns,
        updated_ns=context.now_ns,
        expires_ns=context.now_ns + lived_s * NS if ttl_s else 0,
        ttl_s=ttl_s,
        num_uses=num_uses,
        metadata=_metadata(to_text("metadata", given.get("metadata"))),
        cidr_list=_within(name, "cidr_list", given, role.secret_id_bound_cidrs),
        token_bound_cidrs=_within(name, "token_bound_cidrs", given, role.token.bound_cidrs),
    )


def _within(name: str, field: str, given: Mapping[str, Given], outer: list[str]) -> list[str]:
    wanted = cidrs(field, given[field]) if field in given else []
    if wanted and outer and not networks.is_subset(wanted, outer):
        text = f'CIDR blocks of {field} of the secret ID should be a subset of CIDR blocks on the role "{name}"'
        raise Refusal(400, text)
    return wanted


def _metadata(text: str) -> dict[str, str]:
    """Pairs given as the text of a JSON object or as `k=v,k=v`, either of them also in base64. Raises Refusal."""
    if len(text) > METADATA_CHARACTERS_MAX:  # every token of a login carries it
        raise Refusal(400, f"the metadata of a secret_id has at most {METADATA_CHARACTERS_MAX} characters")
    with contextlib.suppress(binascii.Error, UnicodeError, ValueError):
        text = base64.b64decode(text, validate=True).decode()
    text = text.strip()
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.MsgspecError, RecursionError):
        pairs = [part.partition("=") for part in text.split(",")]
    if text.startswith("{") or not all(equals and key.strip() for key, equals, _ in pairs):
        raise Refusal(400, "failed to parse metadata: neither a JSON object of strings nor key=value pairs")
    return {key.strip(): value.strip() for key, _, value in pairs}


# ---- looking
def read_list(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The accessors of the role's secret-ids, those that expired and are not removed yet among them."""
    role = known_role(context, name_of(captures)).value
    return listed(context, request, secret_ids.accessors(role.uid))


def read_lookup(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """What is known of the secret-id in the request; 204 where nothing is."""
    place = _place_of_secret_id(context, request, captures)
    found = secret_ids.find_secret_id(context, place)
    return Answer() if found is None else Answer(data=_shown(found.value))


def read_accessor_lookup(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """What is known of the secret-id of the accessor in the request; where nothing is, a 404 that says so as data."""
    place = _place_of_accessor(context, request, captures)
    found = None if place is None else secret_ids.find_secret_id(context, place)
    if found is None:
        return Answer(status=404, data={"error": "failed to find accessor entry for secret_id_accessor"})
    return Answer(data=_shown(found.value))


def _shown(secret_id: SecretId) -> dict[str, Any]:
    return {
        "cidr_list": secret_id.cidr_list,
        "creation_time": rfc3339(secret_id.created_ns),
        "expiration_time": rfc3339(secret_id.expires_ns) if secret_id.expires_ns else _NEVER,
        "last_updated_time": rfc3339(secret_id.updated_ns),
        "metadata": secret_id.metadata,
        "secret_id_accessor": secret_id.accessor,
        "secret_id_num_uses": secret_id.num_uses,
        "secret_id_ttl": secret_id.ttl_s,
        "token_bound_cidrs": secret_id.token_bound_cidrs,
    }


# ---- removing
def decide_destroy(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The secret-id in the request is gone; 204 also where it was not there."""
    place = _place_of_secret_id(context, request, captures)
    return _destroy(context, place, secret_ids.find_secret_id(context, place, expired=True))


def decide_accessor_destroy(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The secret-id of the accessor in the request is gone."""
    place = _place_of_accessor(context, request, captures)
    found = None if place is None else secret_ids.find_secret_id(context, place, expired=True)
    if place is None or found is None:
        raise Refusal(403, "invalid secret id accessor")
    return _destroy(context, place, found)


def _destroy(context: Context, place: Place, found: Found[SecretId] | None) -> Plan:
    draft = Draft()
    if found is not None:
        secret_ids.remove(context, draft, place, found)
    return Plan(Answer(), draft)


def decide_tidy(context: Context, _request: RawRequest, _captures: Captures) -> Plan:
    """What is of no more use is removed, a bounded number at a time: done before the answer, which says if all was."""
    draft = Draft()
    is_done = sweeping.tidy(context, draft)
    return Plan(Answer(status=202, warnings=[_TIDYING, *([] if is_done else [_TIDY_AGAIN])]), draft)


def _place_of_secret_id(context: Context, request: RawRequest, captures: Captures) -> Place:
    secret_id = to_text("secret_id", parameters(request).get("secret_id"))
    if not secret_id:
        raise Refusal(400, "missing secret_id")
    role = known_role(context, name_of(captures), wrapped=True).value
    return secret_ids.place_of(context, role.uid, secret_id)


def _place_of_accessor(context: Context, request: RawRequest, captures: Captures) -> Place | None:
    accessor = to_text("secret_id_accessor", parameters(request).get("secret_id_accessor"))
    if not accessor:
        raise Refusal(400, "missing secret_id_accessor")
    role = known_role(context, name_of(captures), wrapped=True).value
    return secret_ids.place_of_accessor(context, role.uid, accessor)


