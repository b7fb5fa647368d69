"""From the certificate of a client to an anchor of a role.

Pure: certificates and the cluster's time. The handshake proved that the client holds the key, and nothing else.
Invariants
  C1  the chain ends at one of the role's own certificates, whatever else the listener, or another role, believes
  C2  every certificate of it is valid at the cluster's time; every one above the first may sign certificates; each,
      the anchor too, is for clients, if it says what it is for: an authority for servers vouches for no client
Source: docs/threat-model.md, "Certificate logins"; RFC 5280; Go's crypto/x509, whose rules Vault's are (no name is
needed in a certificate, other than in cryptography's own rules, which are those of browsers).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509.verification import Policy

UNREADABLE = (ValueError, x509.UnsupportedGeneralNameType, x509.DuplicateExtension)
"""What is raised by certificates of which not all can be read."""
NS = 1_000_000_000
DEPTH_MAX = 8
PRESENTED_MAX = 10  # certificates that a client may send along
PRESENTED_BYTES_MAX = 65_536


def _may_sign(_policy: Policy, _certificate: x509.Certificate, says: x509.BasicConstraints) -> None:
    if not says.ca:
        raise ValueError("no authority")


def _may_sign_certificates(_policy: Policy, _certificate: x509.Certificate, says: x509.KeyUsage | None) -> None:
    if says is not None and not says.key_cert_sign:
        raise ValueError("not for certificates")


def _may_prove_client(_policy: Policy, _certificate: x509.Certificate, says: x509.ExtendedKeyUsage | None) -> None:
    if says is not None and not is_for_clients(says):
        raise ValueError("not for clients")


_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _may_sign)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign_certificates)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _may_prove_client)
)
_CLIENT = ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _may_prove_client)


def is_for_clients(says: x509.ExtendedKeyUsage) -> bool:
    """Whether a certificate of these purposes may prove a client."""
    return ExtendedKeyUsageOID.CLIENT_AUTH in says or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in says


def presented(data: bytes) -> list[x509.Certificate]:
    """What a client presented: its own certificate, then those it sent along (request.py). [] if it cannot be read."""
    found: list[x509.Certificate] = []
    if len(data) > PRESENTED_BYTES_MAX:
        return []
    while data:
        end = _end(data)
        if not end or end > len(data) or len(found) >= PRESENTED_MAX:
            return []
        try:
            found.append(x509.load_der_x509_certificate(data[:end]))
        except ValueError:
            return []
        data = data[end:]
    return found


def from_pem(text: str) -> list[x509.Certificate]:
    """The certificates of a PEM bundle; [] if there is none, or one that cannot be read."""
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return []


def build(
    client: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], now_ns: int
) -> list[x509.Certificate] | None:
    """The chain from the client's certificate to one of the anchors (C1, C2); None: there is none."""
    try:
        named = {one.issuer for one in client}
        if not client or not any(anchor.subject in named or anchor == client[0] for anchor in anchors):
            return None  # nothing leads there: said before it costs anything
    except UNREADABLE:
        return None
    policy = PolicyBuilder().store(Store([*anchors])).max_chain_depth(DEPTH_MAX)
    policy = policy.time(dt.datetime.fromtimestamp(now_ns // NS, dt.UTC).replace(tzinfo=None))
    policy = policy.extension_policies(ca_policy=_AUTHORITY, ee_policy=_CLIENT)
    try:
        return policy.build_client_verifier().verify(client[0], [*client[1:]]).chain
    except (VerificationError, *UNREADABLE):
        return None


def _end(data: bytes) -> int:
    """Where the first DER value ends; 0 if that cannot be told."""
    if len(data) < 2 or data[0] != 0x30:
        return 0
    length = data[1]
    if length < 0x80:
        return 2 + length
    count = length & 0x7F
    if not 0 < count <= 3 or len(data) < 2 + count:
        return 0
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")
