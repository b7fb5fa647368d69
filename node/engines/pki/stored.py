"""Certificates as they are kept and read.

Pure. Invariant: reading one says whether it is revoked as of the very state it is read in, by itself or with its lease.
Source: Vault API, "PKI: read certificate", "list certificates".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...request import Answer, RawRequest, RawResponse, Refusal
from .. import leases
from ..entries import find, names, put
from ..instants import rfc3339
from ..pages import page
from .authority import (
    CA,
    CERTIFICATES,
    ENDS,
    REVOKED,
    Authority,
    Certificate,
    Mark,
    Revoked,
    by_end,
    pem,
    read_serial,
    serial_text,
)

if TYPE_CHECKING:
    from cluster import Draft

    from ..base import Context
    from ..system.routes import Captures
    from .signing import Made

NS = 1_000_000_000
DER_TYPE = "application/pkix-cert"
PEM_TYPE = "application/pem-certificate-chain"


def keep(context: Context, draft: Draft, made: Made, issuer_id: str, lease_id: str) -> None:
    """The draft stores the certificate, and where tidy finds it."""
    kept = Certificate(
        certificate=made.certificate, issuer_id=issuer_id, end_s=made.end_s, issued_ns=context.now_ns, lease_id=lease_id
    )
    put(context, draft, CERTIFICATES + made.serial, kept, None)
    put(context, draft, by_end(ENDS, made.end_s, made.serial), Mark(), None)


def find_certificate(context: Context, serial: str) -> Certificate | None:
    """The stored certificate, or None."""
    found = find(context, CERTIFICATES + serial, Certificate) if serial else None
    return None if found is None else found.value


def has_died(context: Context, lease_id: str) -> bool:
    """Whether the lease of a certificate of this mount is no longer valid; one from where the mount was is not."""
    is_here = lease_id.startswith(context.mount_path)
    return not is_here or not leases.Validity(context.view, context.now_ns).is_valid(lease_id)


def revoked_ns(context: Context, serial: str, kept: Certificate) -> int:
    """When the certificate was revoked, 0 = it is not.

    Nobody wrote down when a lease died with its token or prefix: its certificate counts as revoked from its issue on.
    """
    found = find(context, by_end(REVOKED, kept.end_s, serial), Revoked)
    if found is not None:
        return found.value.revoked_ns
    if kept.lease_id and kept.end_s * NS > context.now_ns and has_died(context, kept.lease_id):
        return kept.issued_ns
    return 0


# ---- reading
def read_certificate(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """cert/SERIAL: the certificate, and whether it is revoked."""
    serial = read_serial(captures["serial"])
    kept = find_certificate(context, serial)
    if kept is None:
        raise Refusal(404)
    revoked = revoked_ns(context, serial, kept)
    data: dict[str, Any] = {
        "certificate": pem(kept.certificate),
        "revocation_time": revoked // NS,
        "revocation_time_rfc3339": rfc3339(revoked) if revoked else "",
        "issuer_id": kept.issuer_id,
    }
    return Answer(data=data)


def read_raw_certificate(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """cert/SERIAL/raw, cert/SERIAL/raw/pem: its bytes alone."""
    kept = find_certificate(context, read_serial(captures["serial"]))
    return raw(None if kept is None else kept.certificate, is_pem=captures["form"] == "raw/pem")


def read_ca(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """ca, ca/pem, ca_chain: the authority's certificate; the chain of a root is itself."""
    return raw(_ca(context), is_pem=captures["form"] != "ca")


def read_ca_entry(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """cert/ca, cert/ca_chain: the same in an envelope."""
    certificate = _ca(context)
    if certificate is None:
        raise Refusal(404)
    text = pem(certificate)
    data: dict[str, Any] = {"certificate": text, "revocation_time": 0, "revocation_time_rfc3339": ""}
    if captures["form"] == "ca_chain":
        data["ca_chain"] = text
    return Answer(data=data)


def read_certificates(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """LIST certs: the serial numbers of all that are stored."""
    after, limit = page(request)
    return listed(names(context, CERTIFICATES, after=read_serial(after), limit=limit))


def listed(serials: list[str]) -> Answer:
    """The answer of a LIST. Raises Refusal where there are none."""
    if not serials:
        raise Refusal(404)
    return Answer(data={"keys": [serial_text(serial) for serial in serials]})


def raw(der: bytes | None, *, is_pem: bool) -> Answer:
    """A certificate's bytes alone; 204 where there is none."""
    content_type = PEM_TYPE if is_pem else DER_TYPE
    if der is None:
        return Answer(raw=RawResponse(204, content_type=content_type))
    return Answer(raw=RawResponse(200, pem(der).encode() if is_pem else der, content_type=content_type))


def _ca(context: Context) -> bytes | None:
    found = find(context, CA, Authority)
    return None if found is None else found.value.certificate
