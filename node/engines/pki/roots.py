"""The authority of a mount: made, with its key kept or also given away once, and removed.

Pure. Invariants: a mount has one authority, and none is replaced by making another; only who has sudo removes it; its
private key is in the answer that made it, if that was asked for, and in no other.
Source: Vault API, "PKI: generate root", "delete all issuers and keys".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography import x509

from cluster import Draft

from ...auth.typed_fields import to_names, to_text
from ...request import Answer, RawRequest, Refusal
from ..base import Context, Plan
from ..entries import drop, find, put
from ..fields import parameters, to_int, to_seconds
from ..system.routes import permission_denied
from . import keys, usages, wanted
from .authority import CA, KEY, Authority, AuthorityKey, pem, serial_text, urls_of
from .forms import forms_of, shown_certificate
from .signing import NS, Made, Sheet, bound_to, links, made_of, new_serial, sign, work
from .stored import keep

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..system.routes import Captures

FIELDS = (
    frozenset(
        {
            "exported", "format", "issuer_name", "key_bits", "key_name", "key_type", "max_path_length",
            "not_before_duration", "permitted_dns_domains", "private_key_format", "ttl",
        }
    )
    | wanted.NAME_FIELDS
    | wanted.SUBJECT_FIELDS
)  # fmt: skip
_NOT_BEFORE_S = 30
_TAKEN = "this mount has an authority: delete it with DELETE root first, or make another mount"


def labour_generate(context: Context, request: RawRequest, _captures: Captures) -> Callable[[], Made | Refusal]:
    """The key and the certificate of a new authority. Raises Refusal, FieldError."""
    given = parameters(request)
    found = find(context, CA, Authority)
    if found is not None:
        raise Refusal(400, _TAKEN)
    key_type = to_text("key_type", given.get("key_type")) or "rsa"
    if key_type == keys.ANY:
        raise Refusal(400, "unknown key type: it is one of rsa, ec, ed25519")
    bits = keys.checked_bits(key_type, to_int("key_bits", given.get("key_bits")))
    forms_of(given)
    names = wanted.asked_names(given, None, None)
    back_s = (
        to_seconds("not_before_duration", given["not_before_duration"], signed=False)
        if ("not_before_duration" in given)
        else _NOT_BEFORE_S
    )
    end_s, warnings = wanted.life(context, given, 0, 0, None)
    parts = {name: to_names(name, given.get(name)) for name in wanted.SUBJECT_FIELDS}
    sheet = Sheet(wanted.subject(names, parts), new_serial(context.random), context.now_ns // NS - back_s, end_s)
    longest = to_int("max_path_length", given["max_path_length"]) if "max_path_length" in given else -1
    sheet.extensions = [
        (x509.BasicConstraints(ca=True, path_length=None if longest < 0 else longest), True),
        (usages.of_authority(), True),
        *_constraints(to_names("permitted_dns_domains", given.get("permitted_dns_domains"))),
        *links(urls_of(context)[1]),
    ]
    alternatives = wanted.general_names(names)
    if alternatives:
        sheet.extensions.append((x509.SubjectAlternativeName(alternatives), False))

    def make() -> tuple[bytes, keys.PrivateKey]:
        key = keys.make(key_type, bits)
        return sign(sheet, key.public_key(), None, key), key

    return work(bound_to(context, None, None), sheet, warnings, make)


def decide_generate(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """root/generate: the mount has an authority from now on."""
    given = parameters(request)
    if find(context, CA, Authority) is not None:
        raise Refusal(400, _TAKEN)
    made = made_of(request, bound_to(context, None, None))
    assert made.key is not None  # a root's key is always made here
    form, key_form = forms_of(given)
    authority = Authority(
        certificate=made.certificate,
        issuer_id=_uuid(context),
        key_id=_uuid(context),
        issuer_name=to_text("issuer_name", given.get("issuer_name")),
        key_name=to_text("key_name", given.get("key_name")),
    )
    draft = Draft()
    put(context, draft, CA, authority, None)
    put(context, draft, KEY, AuthorityKey(keys.stored(made.key)), None)
    keep(context, draft, made, authority.issuer_id, "")
    exported = captures["exported"] == "exported"
    certificate = shown_certificate(made.certificate, form)
    data: dict[str, Any] = {
        "certificate": certificate,
        "expiration": made.end_s,
        "issuing_ca": certificate,
        "serial_number": serial_text(made.serial),
        "issuer_id": authority.issuer_id,
        "issuer_name": authority.issuer_name,
        "key_id": authority.key_id,
        "key_name": authority.key_name,
    }
    if exported:
        data["private_key"] = keys.shown(made.key, form, key_form)
        data["private_key_type"] = keys.type_of(made.key)
        if form == "pem_bundle":
            data["certificate"] = f"{data['private_key']}\n{pem(made.certificate)}"
    return Plan(Answer(data=data, warnings=made.warnings or None), draft, secret_answer=exported)


def decide_delete(context: Context, _request: RawRequest, _captures: Captures) -> Plan:
    """DELETE root (sudo): the authority's key is gone; 204 also where there was none."""
    if not (context.caller.is_root or context.caller.has_sudo):
        raise permission_denied()
    draft = Draft()
    for name, kind in ((CA, Authority), (KEY, AuthorityKey)):
        found = find(context, name, kind)
        if found is not None:
            drop(context, draft, name, found)
    return Plan(Answer(), draft)


def _constraints(domains: list[str]) -> list[tuple[x509.ExtensionType, bool]]:
    if not domains:
        return []
    try:
        return [(x509.NameConstraints([x509.DNSName(domain) for domain in domains], None), True)]
    except ValueError:
        raise Refusal(400, "a value of permitted_dns_domains is no domain") from None


def _uuid(context: Context) -> str:
    return str(UUID(bytes=context.random(16), version=4))
