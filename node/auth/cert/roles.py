"""Roles of a cert mount: what each trusts, what it wants to stand in a certificate, what it gives.

Pure. Stored is `cert/NAME`; names are lower-cased. Invariant: a role has at least one certificate that it trusts. What
is not there (asking a server by OCSP) is refused, not ignored.
Source: Vault API, "TLS certificates"; the texts are Vault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from cryptography import x509

from ...engines.fields import to_bool
from ...request import Refusal
from .. import token_params
from ..role_paths import RolePaths
from ..token_params import TokenParams
from ..typed_fields import to_names, to_text
from . import chain, constraints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...engines.fields import Given

FOLDER = "cert/"
OLD_NAMES = {
    "bound_cidrs": "token_bound_cidrs", "lease": "token_ttl", "max_ttl": "token_max_ttl", "period": "token_period",
    "policies": "token_policies", "ttl": "token_ttl",
}  # fmt: skip
_LISTS = (
    "allowed_names", "allowed_common_names", "allowed_dns_sans", "allowed_email_sans", "allowed_uri_sans",
    "allowed_organizational_units", "required_extensions", "allowed_metadata_extensions",
)  # fmt: skip
_OCSP: dict[str, Any] = {
    "ocsp_enabled": False, "ocsp_ca_certificates": "", "ocsp_servers_override": [], "ocsp_fail_open": False,
    "ocsp_query_all_servers": False,
}  # fmt: skip
FIELDS = frozenset({"certificate", "display_name", *_LISTS, *_OCSP}) | frozenset(OLD_NAMES) | token_params.FIELDS
_ANCHORS_MAX = 50
_PATTERNS_MAX = 200


class CertRole(msgspec.Struct, array_like=True):
    """A role. `certificate` is PEM, one or several. New fields go at the end, with a default."""

    certificate: str
    display_name: str = ""
    allowed_names: list[str] = []
    allowed_common_names: list[str] = []
    allowed_dns_sans: list[str] = []
    allowed_email_sans: list[str] = []
    allowed_uri_sans: list[str] = []
    allowed_organizational_units: list[str] = []
    required_extensions: list[str] = []
    allowed_metadata_extensions: list[str] = []
    token: TokenParams = msgspec.field(default_factory=TokenParams)
    legacy: list[str] = []  # old names by which fields were given last

    def __repr__(self) -> str:
        return "<CertRole>"


def fields_of(role: CertRole) -> dict[str, Any]:
    """What is read of a role: all of it, by the names it was given under."""
    data: dict[str, Any] = {name: getattr(role, name) for name in ("certificate", "display_name", *_LISTS)}
    data |= {**_OCSP, **token_params.shown_params(role.token)}
    data.update({old: data[OLD_NAMES[old]] for old in role.legacy})
    return data


def _changed(role: CertRole, given: Mapping[str, Given]) -> CertRole:
    new = msgspec.structs.replace(role)
    fields, new.legacy = token_params.renamed(given, OLD_NAMES, role.legacy)
    _check_ocsp(fields)
    for name in ("certificate", "display_name"):
        if name in fields:
            setattr(new, name, to_text(name, fields[name]) or (role.display_name if name == "display_name" else ""))
    for name in _LISTS:
        if name in fields:
            setattr(new, name, to_names(name, fields[name]))
            if len(getattr(new, name)) > _PATTERNS_MAX:
                raise Refusal(400, f"{name} has more than {_PATTERNS_MAX} entries")
    new.token = token_params.changed(role.token, fields)
    _check(new)
    return new


def _check(role: CertRole) -> None:
    anchors = chain.from_pem(role.certificate)
    if not anchors or len(anchors) > _ANCHORS_MAX:
        raise Refusal(400, "failed to parse certificate")
    if not _is_usable(anchors[0]):
        text = "nonCA certificates should have TLS client authentication set as an extended key usage"
        raise Refusal(400, text)
    if not all(map(constraints.check_required, role.required_extensions)):
        raise Refusal(400, "required_extensions are of the form OID:PATTERN or hex:OID:PATTERN")
    if not all(map(constraints.is_oid, role.allowed_metadata_extensions)):
        raise Refusal(400, "allowed_metadata_extensions are object identifiers")


def _is_usable(certificate: x509.Certificate) -> bool:
    """An authority's, or one of a client: for clients, if it says what it is for."""
    try:
        said = [extension.value for extension in certificate.extensions]
    except chain.UNREADABLE:
        return False
    if any(isinstance(one, x509.BasicConstraints) and one.ca for one in said):
        return True
    return all(chain.is_for_clients(one) for one in said if isinstance(one, x509.ExtendedKeyUsage))


def _check_ocsp(fields: Mapping[str, Given]) -> None:
    for name, default in _OCSP.items():
        if name in fields:
            value = to_names(name, fields[name]) if default in ("", []) else to_bool(name, fields[name])
            if value:
                raise Refusal(400, f"{name} is not supported: revocation is by the lists at crls/")


ROLES = RolePaths(
    CertRole, "certs/", FOLDER, fields=FIELDS, fresh=lambda name: CertRole("", name), changed=_changed, shown=fields_of,
)  # fmt: skip
find_role = ROLES.find
