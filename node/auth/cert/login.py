"""Logging in with a client certificate, and renewing what came of it.

Pure: chains are built in a thread before `decide`. That the client holds the key was proved by the handshake of the
listener for certificates; no header is believed to carry one.
Invariants
  L1  the chain is built to the anchors of the role that lets in, at the login and again at every renewal (chain.py)
  L2  chains that were built for other roles, or for roles as they were, are built again
  L3  a token is renewed only on a connection with the very certificate it was made for, and by a role that still
      trusts it (CVE-2026-39388: compared is the whole certificate, not what it says of its keys)
Source: Vault API, "TLS certificates: login"; OpenBao, path_login.go; the texts are Vault's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from ...engines.entries import names
from ...engines.fields import parameters
from ...policy import builtin
from ...request import RawRequest, Refusal, StaleLabour
from .. import networks
from ..login import Login, issue
from ..typed_fields import to_text
from . import chain, config, constraints, crls
from .roles import FOLDER, CertRole, find_role

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from cluster import Token

    from ...engines.base import Context, Plan
    from ...engines.entries import Found
    from ...engines.system.routes import Captures
    from ..token_params import TokenParams

FIELDS = frozenset({"name"})
NO_CERTIFICATE = "invalid certificate or no client certificate supplied"
NO_CHAIN = "no chain matching all constraints could be found for this login certificate"
NOT_MET = "failed to match all constraints for this login certificate"
FINGERPRINT = "certificate_sha256"
ROLES_MAX = 1_000  # tried by who names none


@dataclass(frozen=True, slots=True)
class Chains:
    """What was built: to the anchors of roles that were written at these indexes."""

    certificate: bytes
    roles: tuple[tuple[str, int], ...]
    built: dict[str, list[x509.Certificate]]


def labour(context: Context, request: RawRequest) -> Callable[[], Chains]:
    """Building a chain to each role that may be meant. Raises Refusal."""
    data, found = _certificate(request), _candidates(context, request)
    now_ns = context.now_ns

    def build() -> Chains:
        client = chain.presented(data)
        texts = dict.fromkeys(one.value.certificate for one in found.values())  # many roles may trust the same
        chains = {text: chain.build(client, chain.from_pem(text), now_ns) for text in texts}
        built = {name: got for name, one in found.items() if (got := chains[one.value.certificate]) is not None}
        return Chains(data, _indexes(found), built)

    return build


def decide_login(context: Context, request: RawRequest, _captures: Captures) -> Plan:
    """A token for whoever holds the key of a certificate that a role trusts."""
    data, found, chains = _certificate(request), _candidates(context, request), request.labour
    if not isinstance(chains, Chains) or (chains.certificate, chains.roles) != (data, _indexes(found)):
        raise StaleLabour
    if not chains.built:
        raise Refusal(400, NO_CERTIFICATE)
    for name, built in chains.built.items():
        role = found[name].value
        if constraints.meets(role, built[0]) and not crls.is_revoked(context, built):
            return _granted(context, request, name, role, built[0])
    is_itself = all(len(built) == 1 for built in chains.built.values())
    raise Refusal(400, NOT_MET if is_itself else NO_CHAIN)


def renewal_params(context: Context, record: Token) -> TokenParams:
    """What the role of a token says now (L1, L3). Raises Refusal with 400."""
    meta = record.meta or {}
    found = find_role(context, meta.get("cert_name", ""))
    if found is None:
        raise Refusal(400, "certificate role no longer exists", wrapped=True)
    role, client = found.value, chain.presented(context.certificate)
    if not client:
        raise Refusal(400, "no client certificate found", wrapped=True)
    if fingerprint(client[0]) != meta.get(FINGERPRINT):
        text = "client identity during renewal not matching client identity used during login"
        raise Refusal(400, text, wrapped=True)
    built = chain.build(client, chain.from_pem(role.certificate), context.now_ns)
    if built is None or not constraints.meets(role, built[0]) or crls.is_revoked(context, built):
        raise Refusal(400, NO_CHAIN, wrapped=True)
    if (set(role.token.policies) ^ set(record.policies)) - {builtin.DEFAULT, builtin.RESPONSE_WRAPPING}:
        raise Refusal(400, "policies have changed, not renewing", wrapped=True)
    return role.token


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, in hex."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _granted(context: Context, request: RawRequest, name: str, role: CertRole, certificate: x509.Certificate) -> Plan:
    cidrs = role.token.bound_cidrs
    if cidrs and not networks.holds(cidrs, request.remote_address):
        raise Refusal(403, "permission denied", wrapped=True)
    common = constraints.common_name(certificate)
    subject_key_id, authority_key_id = constraints.key_ids(certificate)
    said = {
        **constraints.metadata_of(certificate, role.allowed_metadata_extensions),
        "cert_name": name,
        "common_name": common,
        "serial_number": str(certificate.serial_number),
        "subject_key_id": subject_key_id,
        "authority_key_id": authority_key_id,
    }
    login = Login(
        role.token,
        alias=common,
        name=role.display_name,
        metadata={**said, FINGERPRINT: fingerprint(certificate)},
        alias_metadata=said if config.known(context).enable_identity_alias_metadata else None,
    )
    return issue(context, request, login)


def _certificate(request: RawRequest) -> bytes:
    if not request.certificate:
        raise Refusal(400, NO_CERTIFICATE)
    return request.certificate


def _candidates(context: Context, request: RawRequest) -> dict[str, Found[CertRole]]:
    """The role that is named, or all of them."""
    name = to_text("name", parameters(request).get("name")).lower()
    wanted = [name] if name else names(context, FOLDER, limit=ROLES_MAX + 1)
    if len(wanted) > ROLES_MAX:
        raise Refusal(400, f"there are more than {ROLES_MAX} roles: name the one that is meant")
    found = {name: one for name in wanted if (one := find_role(context, name)) is not None}
    if not found:
        raise Refusal(400, NO_CERTIFICATE)
    return found


def _indexes(found: dict[str, Found[CertRole]]) -> tuple[tuple[str, int], ...]:
    return tuple((name, one.read_index) for name, one in found.items())
