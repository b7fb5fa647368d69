"""Lists of revoked certificates: stored for a mount, asked at every login and renewal.

Pure. Stored is `crl/NAME`. Invariants
  V1  a certificate is revoked if any list of the mount by its issuer names it; a list that is out of date still counts
  V2  nobody fetches a list: a URL is refused, and lists that revoke for other issuers are, too
Source: Vault API, "TLS certificates: create CRL".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from cryptography import x509

from cluster import Draft

from ...engines.base import Context, Plan
from ...engines.entries import Opened, drop, find, put
from ...engines.fields import parameters
from ...engines.pages import listed
from ...request import Answer, RawRequest, Refusal
from ..typed_fields import to_text
from . import chain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...engines.system.routes import Captures

FOLDER = "crl/"
FIELDS = frozenset({"crl", "url"})
SERIALS_MAX = 20_000


class Crl(msgspec.Struct, array_like=True):
    """Serial numbers in hex, as one issuer (DER of its name) revoked them. New fields go at the end, with a default."""

    issuer: bytes
    serials: list[str] = []

    def __repr__(self) -> str:
        return "<Crl>"


_OPENED = Opened(Crl, lambda _name, crl: (crl.issuer, frozenset(crl.serials)), folders_max=32)
"""Logins ask for them in the loop, and a list may be long: each is opened once."""


def is_revoked(context: Context, certificates: Iterable[x509.Certificate]) -> bool:
    """Whether one of the certificates is revoked (V1)."""
    lists = _OPENED.read(context, FOLDER)
    asked = [(one.issuer.public_bytes(), format(one.serial_number, "x")) for one in certificates] if lists else []
    return any(by == issuer and serial in serials for by, serials in lists for issuer, serial in asked)


def read_list(context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The names of all lists; 404 without one."""
    return listed(context, request, FOLDER)


def read_crl(context: Context, _request: RawRequest, captures: Captures) -> Answer:
    """The serial numbers, in decimal as Vault shows them; 404 without the list."""
    found = find(context, FOLDER + captures["name"].lower(), Crl)
    if found is None:
        raise Refusal(404)
    return Answer(data={"serials": {str(int(serial, 16)): {} for serial in found.value.serials}})


def decide_write(context: Context, request: RawRequest, captures: Captures) -> Plan:
    """The list is what is given."""
    given = parameters(request)
    if to_text("url", given.get("url")):
        raise Refusal(400, "url is not supported: give the list as crl")
    text = to_text("crl", given.get("crl"))
    if not text:
        raise Refusal(400, "one of CRL or URL must be provided")
    crl = _parsed(text)
    name = FOLDER + captures["name"].lower()
    before = find(context, name, Crl)
    draft = Draft()
    if before is None or before.value != crl:
        put(context, draft, name, crl, before)
    return Plan(Answer(), draft)


def decide_delete(context: Context, _request: RawRequest, captures: Captures) -> Plan:
    """The list is gone: it revokes nothing any more. 400 where there was none, as in Vault."""
    name = captures["name"].lower()
    found = find(context, FOLDER + name, Crl)
    if found is None:
        raise Refusal(400, f"no such CRL {name}")
    draft = Draft()
    drop(context, draft, FOLDER + name, found)
    return Plan(Answer(), draft)


def _parsed(text: str) -> Crl:
    try:
        crl = x509.load_pem_x509_crl(text.encode())
        if len(crl) > SERIALS_MAX:
            raise Refusal(400, f"the CRL names more than {SERIALS_MAX} certificates")
        serials = set()
        for revoked in crl:
            if any(isinstance(extension.value, x509.CertificateIssuer) for extension in revoked.extensions):
                raise Refusal(400, "a CRL that revokes for other issuers is not supported")
            serials.add(format(revoked.serial_number, "x"))
        return Crl(crl.issuer.public_bytes(), sorted(serials))
    except chain.UNREADABLE:
        raise Refusal(400, "failed to parse CRL") from None
