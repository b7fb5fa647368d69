"""Revoking certificates, and removing what ended long ago.

Pure. Invariants
  V1  a revocation stands for as long as its certificate would be valid, whether or not the certificate is stored
  V2  only what this mount's authority signed is revoked here
  V3  tidy removes nothing that has not ended, and no revocation that is still on the list; it fits into one
      transaction: more is removed when it is asked again
  V4  there are no more revocations of a mount than its list can hold
Source: Vault API, "PKI: revoke certificate", "tidy".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from cluster import Draft

from ...auth.typed_fields import shown, to_text
from ...request import Answer, RawRequest, Refusal
from .. import leases
from ..base import Context, Plan
from ..entries import drop, find, names, put
from ..fields import parameters, to_bool, to_seconds
from ..instants import rfc3339
from .authority import (
    CA,
    CERTIFICATES,
    ENDS,
    LEASED,
    LISTED_BEYOND_S,
    REVOKED,
    Authority,
    Certificate,
    Leased,
    Mark,
    Revoked,
    by_end,
    find_authority,
    loaded,
    read_serial,
    serial_hex,
    serial_of,
    serial_text,
)
from .revocations import check_room
from .signing import NS, end_s_of
from .stored import find_certificate
from .wanted import TEXT_BYTES_MAX, UNREADABLE

if TYPE_CHECKING:
    import msgspec

    from ..system.routes import Captures

REVOKE_FIELDS = frozenset({"serial_number", "certificate"})
TIDY_FIELDS = frozenset({"tidy_cert_store", "tidy_revoked_certs", "tidy_revocation_list", "safety_buffer"})
TIDY_MAX = 240  # certificates, and as many revocations, in one transaction: four records each
_BUFFER_S = 259_200  # 72 h
_TIDY_WARNING = (
    "Tidy operation successfully started. Any information from the operation will be printed to the server logs."
)
_MORE = f"only the first {TIDY_MAX} of each kind were removed: there are more, ask again"


def decide_revoke(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """revoke: the certificate is on the list from now on, and its lease is gone."""
    given = parameters(request)
    serial_number = to_text("serial_number", given.get("serial_number"))
    certificate = to_text("certificate", given.get("certificate"))
    if bool(serial_number) == bool(certificate):
        raise Refusal(400, "must provide either serial_number or certificate, and not both")
    serial, kept = _by_serial(context, serial_number) if serial_number else _by_certificate(context, certificate)
    ca = find(context, CA, Authority)
    if ca is not None and ca.value.certificate == kept.certificate:
        raise Refusal(400, "adding issuer (root certificate) to its own CRL is not allowed")
    if kept.end_s * NS <= context.now_ns:
        text = f"certificate with serial {serial_text(serial)} already expired; refusing to add to CRL"
        return Plan(Answer(warnings=[text]))
    name = by_end(REVOKED, kept.end_s, serial)
    before = find(context, name, Revoked)
    draft = Draft()
    revoked_ns = context.now_ns if before is None else before.value.revoked_ns
    if before is None:
        check_room(context)
        put(context, draft, name, Revoked(revoked_ns=revoked_ns, issuer_id=kept.issuer_id), None)
        if kept.lease_id:
            leases.revoke(context.view, draft, kept.lease_id)
            _drop(context, draft, by_end(LEASED, kept.end_s, serial), Leased)
    data: dict[str, Any] = {
        "revocation_time": revoked_ns // NS,
        "revocation_time_rfc3339": rfc3339(revoked_ns),
        "state": "revoked",
    }
    return Plan(Answer(data=data), draft)


def decide_tidy(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """tidy: certificates and revocations that ended longer ago than the safety buffer go, the oldest first."""
    given = parameters(request)
    buffer_s = _BUFFER_S
    if "safety_buffer" in given:
        buffer_s = to_seconds("safety_buffer", given["safety_buffer"], signed=False)
    until_s = context.now_ns // NS - buffer_s
    draft = Draft()
    wanted = {name for name in (TIDY_FIELDS - {"safety_buffer"}) & given.keys() if to_bool(name, given[name])}
    more = False
    if "tidy_cert_store" in wanted:
        more |= _drop_until(context, draft, ENDS, until_s)
    if wanted & {"tidy_revoked_certs", "tidy_revocation_list"}:
        more |= _drop_until(context, draft, REVOKED, min(until_s, context.now_ns // NS - LISTED_BEYOND_S))
    return Plan(Answer(status=202, warnings=[_TIDY_WARNING, *([_MORE] if more else [])]), draft)


def _by_serial(context: Context, text: str) -> tuple[str, Certificate]:
    serial = read_serial(text)
    kept = find_certificate(context, serial)
    if kept is None:
        raise Refusal(400, f"certificate with serial {shown(text)} not found.")
    return serial, kept


def _by_certificate(context: Context, text: str) -> tuple[str, Certificate]:
    """A certificate that need not be stored, but has this authority's signature (V2)."""
    authority = find_authority(context).value
    if len(text) > TEXT_BYTES_MAX:
        raise Refusal(400, f"the certificate is longer than {TEXT_BYTES_MAX} bytes")
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        certificate.verify_directly_issued_by(loaded(authority.certificate))
        number, end_s = certificate.serial_number, end_s_of(certificate)
    except (*UNREADABLE, InvalidSignature):
        raise Refusal(400, "the certificate is none of this mount's authority") from None
    serial = serial_hex(number)
    kept = find_certificate(context, serial)
    if kept is not None:
        return serial, kept
    der = certificate.public_bytes(Encoding.DER)
    return serial, Certificate(certificate=der, issuer_id=authority.issuer_id, end_s=end_s, issued_ns=0)


def _drop_until(context: Context, draft: Draft, folder: str, until_s: int) -> bool:
    """Those of the folder that ended before are dropped with all that is kept of them; whether more are left."""
    due = [name for name in names(context, folder, limit=TIDY_MAX + 1) if int(name.split("-", 1)[0]) < until_s]
    for name in due[:TIDY_MAX]:
        serial = serial_of(name)
        if folder == ENDS:
            _drop(context, draft, CERTIFICATES + serial, Certificate)
            _drop(context, draft, ENDS + name, Mark)
            _drop(context, draft, LEASED + name, Leased)
        else:
            _drop(context, draft, REVOKED + name, Revoked)
    return len(due) > TIDY_MAX


def _drop(context: Context, draft: Draft, name: str, kind: type[msgspec.Struct]) -> None:
    found = find(context, name, kind)
    if found is not None:
        drop(context, draft, name, found)
