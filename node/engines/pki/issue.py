"""issue and sign: certificates for whoever may use a role.

Pure. Invariants
  I1  what a certificate says was allowed by the role as it is when the certificate is stored and answered
  I2  a private key is answered once and never stored; it is in no repetition's answer
  I3  a leased certificate is stored with its lease's id in the transaction that makes the lease, so that it is
      revoked when the lease is no longer valid
Source: Vault API, "PKI: generate certificate and key", "sign certificate".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509

from cluster import Draft

from ...auth.typed_fields import to_text
from ...request import Answer, RawRequest, Refusal
from .. import leases
from ..base import Context, LeaseWish, Plan
from ..entries import put
from ..fields import parameters
from . import keys, usages, wanted
from .authority import (
    LEASED,
    Leased,
    by_end,
    find_authority,
    key_of,
    loaded,
    pem,
    serial_text,
    urls_of,
)
from .forms import forms_of, shown_certificate
from .roles import Role, role_of
from .signing import NS, Made, Sheet, bound_to, end_s_of, links, made_of, new_serial, sign, work
from .stored import keep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..fields import Given
    from ..system.routes import Captures
    from .revocations import Revocations

_COMMON = frozenset({"role", "ttl", "format"}) | wanted.NAME_FIELDS
ISSUE_FIELDS = _COMMON | {"private_key_format"}
SIGN_FIELDS = _COMMON | {"csr"}


def labour_issue(context: Context, request: RawRequest, captures: Captures) -> Callable[[], Made | Refusal]:
    """A new key, and its certificate. Raises Refusal, FieldError."""
    role = role_of(context, captures["role"])
    key_type, bits = role.value.key_type, role.value.key_bits
    if key_type == keys.ANY:
        raise Refusal(400, 'role key type "any" not allowed for issuing certificates, only signing')
    given = parameters(request)
    ca = find_authority(context)
    issuer, ca_key = loaded(ca.value.certificate), key_of(context)
    sheet, warnings = _sheet(context, given, role.value, issuer, None)

    def make() -> tuple[bytes, keys.PrivateKey]:
        key = keys.make(key_type, bits)
        return sign(sheet, key.public_key(), issuer, keys.opened(ca_key)), key

    return work(bound_to(context, ca, role), sheet, warnings, make)


def labour_sign(context: Context, request: RawRequest, captures: Captures) -> Callable[[], Made | Refusal]:
    """The certificate of a key that somebody else has. Raises Refusal, FieldError."""
    role = role_of(context, captures["role"])
    given = parameters(request)
    ca = find_authority(context)
    issuer, ca_key = loaded(ca.value.certificate), key_of(context)
    csr = wanted.read_csr(to_text("csr", given.get("csr")))
    try:
        held = csr.public_key()
    except Exception:  # noqa: BLE001 - the library has several for a key that it does not know
        raise Refusal(400, "the key of the certificate request has a type that is not supported") from None
    public = keys.checked_public(held, role.value.key_type, role.value.key_bits)
    sheet, warnings = _sheet(context, given, role.value, issuer, csr)

    def make() -> tuple[bytes, None]:
        if not _is_signed(csr):
            raise Refusal(400, "request signature invalid")
        return sign(sheet, public, issuer, keys.opened(ca_key)), None

    return work(bound_to(context, ca, role), sheet, warnings, make)


def decide(revocations: Revocations, context: Context, request: RawRequest, captures: Captures) -> Plan:
    """issue, sign: what was made is stored and leased as the role says, and answered."""
    role, ca = role_of(context, captures["role"]), find_authority(context)
    made = made_of(request, bound_to(context, ca, role))
    draft = Draft()
    lease = None
    if role.value.generate_lease:
        revocations.make_room(context, draft)
        lease = _leased(context, request, ca.value.issuer_id, made, draft)
    if not role.value.no_store:
        keep(context, draft, made, ca.value.issuer_id, "" if lease is None else lease.lease_id)
    data = _data(parameters(request), ca.value.certificate, made)
    answer = Answer(data=data, warnings=made.warnings or None)
    return Plan(answer, draft, secret_answer=made.key is not None, lease=lease)


def _is_signed(csr: x509.CertificateSigningRequest) -> bool:
    try:
        return csr.is_signature_valid
    except wanted.UNREADABLE:  # an algorithm that nobody knows
        return False


def _sheet(
    context: Context,
    given: Mapping[str, Given],
    role: Role,
    issuer: x509.Certificate,
    csr: x509.CertificateSigningRequest | None,
) -> tuple[Sheet, list[str]]:
    """(everything the certificate says, warnings), allowed by the role."""
    forms_of(given)
    names = wanted.asked_names(given, csr, role)
    wanted.check(role, names)
    end_s, warnings = wanted.life(context, given, role.ttl_s, role.max_ttl_s, end_s_of(issuer))
    parts = {name: getattr(role, name) for name in wanted.SUBJECT_FIELDS}
    start_s = context.now_ns // NS - role.not_before_duration_s
    sheet = Sheet(wanted.subject(names, parts), new_serial(context.random), start_s, end_s)
    usage, extended = usages.key_usage(role.key_usage), usages.extended(role)
    if usage is not None:
        sheet.extensions.append((usage, True))
    if extended is not None:
        sheet.extensions.append((extended, False))
    alternatives = wanted.general_names(names)
    if alternatives:
        # RFC 5280, 4.2.1.6: with an empty subject the names are all there is.
        sheet.extensions.append((x509.SubjectAlternativeName(alternatives), not list(sheet.subject)))
    sheet.extensions += links(urls_of(context)[1])
    return sheet, warnings


def _leased(context: Context, request: RawRequest, issuer_id: str, made: Made, draft: Draft) -> LeaseWish:
    lease_id = leases.new_id(request.path, context.random)
    fact = Leased(lease_id=lease_id, issuer_id=issuer_id, issued_ns=context.now_ns)
    put(context, draft, by_end(LEASED, made.end_s, made.serial), fact, None)
    return LeaseWish(lease_id, ttl_s=made.end_s - context.now_ns // NS)


def _data(given: Mapping[str, Given], ca: bytes, made: Made) -> dict[str, Any]:
    form, key_form = forms_of(given)
    authority = shown_certificate(ca, form)
    data: dict[str, Any] = {
        "ca_chain": [authority],
        "certificate": shown_certificate(made.certificate, form),
        "expiration": made.end_s,
        "issuing_ca": authority,
        "serial_number": serial_text(made.serial),
    }
    bundle = [pem(made.certificate), pem(ca)]
    if made.key is not None:
        data["private_key"] = keys.shown(made.key, form, key_form)
        data["private_key_type"] = keys.type_of(made.key)
        bundle.insert(0, data["private_key"])
    if form == "pem_bundle":
        data["certificate"] = "\n".join(bundle)
    return data
