"""What a certificate is to say: read from the request, the role and, when signing, the certificate request.

Pure. Invariant: what comes out has passed the role: every name, address, URI and serial number in it was allowed by
name; a certificate request's own extensions never reach the certificate, but for the names in it. What was sent is
bounded before it is taken apart, and counted before it is kept: more names cost no more than so many as are allowed.
Source: Vault, builtin/logical/pki (generateCreationBundle); the texts are Vault's.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from ...auth.token_ttl import TTL_S_MAX, mount_ttls_s
from ...auth.typed_fields import to_names, to_text
from ...request import Refusal
from ..durations import format_duration
from ..fields import Given, to_bool, to_seconds
from ..instants import rfc3339
from . import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..base import Context
    from .roles import Role

NS = 1_000_000_000
NAMES_MAX = 100  # of one kind in one certificate
TEXT_BYTES_MAX = 65_536  # of a certificate request, a certificate, or a list of names, as sent
UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)  # what parsing one may raise
_SHOWN_MAX = 64  # characters of a refused name
_NO_CN = (
    'the common_name field is required, or must be provided in a CSR with "use_csr_common_name" set to true, unless '
    '"require_cn" is set to false'
)
_SUBJECT = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "street_address": NameOID.STREET_ADDRESS,
    "postal_code": NameOID.POSTAL_CODE,
}
SUBJECT_FIELDS = frozenset(_SUBJECT)
NAME_FIELDS = frozenset({"common_name", "alt_names", "ip_sans", "uri_sans", "exclude_cn_from_sans", "serial_number"})


@dataclass(slots=True)
class Names:
    """Who the certificate is of."""

    common_name: str = ""
    serial_number: str = ""  # an attribute of the subject, not the certificate's own
    dns: dict[str, None] = field(default_factory=dict)  # each name once, in the order they came
    emails: dict[str, None] = field(default_factory=dict)
    addresses: dict[str, None] = field(default_factory=dict)
    uris: dict[str, None] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """A host name or e-mail address. Raises Refusal for one too many."""
        _add(self.emails if "@" in name else self.dns, name)

    def add_address(self, address: str) -> None:
        """An IP address. Raises Refusal for one too many."""
        _add(self.addresses, address)

    def add_uri(self, uri: str) -> None:
        """A URI. Raises Refusal for one too many."""
        _add(self.uris, uri)


def asked_names(given: Mapping[str, Given], csr: x509.CertificateSigningRequest | None, role: Role | None) -> Names:
    """The names in the request, and in the certificate request where the role says so. Raises Refusal, FieldError."""
    wanted = Names(
        common_name=to_text("common_name", given.get("common_name")),
        serial_number=to_text("serial_number", given.get("serial_number")),
    )
    if csr is not None and role is not None and role.use_csr_common_name:
        wanted.common_name = _csr_common_name(csr)
    if csr is not None and role is not None and role.use_csr_sans:
        _add_csr_names(wanted, csr)
    else:
        for name in _listed(given, "alt_names"):
            wanted.add(name)
        for address in _listed(given, "ip_sans"):
            wanted.add_address(address)
        for uri in _listed(given, "uri_sans"):
            wanted.add_uri(uri)
    if not wanted.common_name and (role is None or role.require_cn):
        raise Refusal(400, _NO_CN)
    is_excluded = "exclude_cn_from_sans" in given and to_bool("exclude_cn_from_sans", given["exclude_cn_from_sans"])
    if wanted.common_name and not is_excluded and ("@" in wanted.common_name or names.is_dns(wanted.common_name)):
        wanted.add(wanted.common_name)
    return wanted


def check(role: Role, wanted: Names) -> None:
    """The role allows all of them. Raises Refusal with Vault's texts."""
    if wanted.common_name and not names.is_allowed(role, wanted.common_name):
        raise Refusal(400, f"common name {_shown(wanted.common_name)} not allowed by this role")
    if wanted.serial_number and not _is_one_of(role.allowed_serial_numbers, wanted.serial_number):
        raise Refusal(400, f"serial_number {_shown(wanted.serial_number)} not allowed by this role")
    for name in (*wanted.dns, *wanted.emails):
        if not names.is_allowed(role, name):
            raise Refusal(400, f"subject alternate name {_shown(name)} not allowed by this role")
    if wanted.addresses and not role.allow_ip_sans:
        raise Refusal(400, "IP Subject Alternative Names are not allowed in this role, but was provided")
    if wanted.uris and not role.allowed_uri_sans:
        raise Refusal(400, "URI Subject Alternative Names are not allowed in this role, but were provided via the API")
    if not all(_is_one_of(role.allowed_uri_sans, uri) for uri in wanted.uris):
        raise Refusal(400, "URI Subject Alternative Names were provided via the API which are not valid for this role")


def general_names(wanted: Names) -> list[x509.GeneralName]:
    """The subject alternative names. Raises Refusal for what is none."""
    found: list[x509.GeneralName] = []
    if not all(map(names.is_dns, wanted.dns)):
        raise Refusal(400, "a subject alternate name is no host name")
    for text in wanted.addresses:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            raise Refusal(400, "a value of ip_sans is not a valid IP address") from None
    try:
        found[:0] = [*map(x509.DNSName, wanted.dns), *map(x509.RFC822Name, wanted.emails)]
        found += map(x509.UniformResourceIdentifier, wanted.uris)
    except ValueError:
        raise Refusal(400, "a subject alternate name has characters that cannot stand in a certificate") from None
    return found


def subject(wanted: Names, parts: Mapping[str, list[str]]) -> x509.Name:
    """The name of whoever the certificate is of. Raises Refusal for parts that are too long."""
    try:
        attributes = [x509.NameAttribute(oid, value) for name, oid in _SUBJECT.items() for value in parts.get(name, ())]
        if wanted.common_name:
            attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name))
        if wanted.serial_number:
            attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, wanted.serial_number))
    except ValueError:
        raise Refusal(400, "a part of the subject has a length that its kind does not have") from None
    return x509.Name(attributes)


def life(
    context: Context, given: Mapping[str, Given], ttl_s: int, max_ttl_s: int, ca_end_s: int | None
) -> tuple[int, list[str]]:
    """(the second at which the certificate ends, warnings). `ttl_s` and `max_ttl_s` are the role's, 0: the mount's."""
    default_s, longest_s = mount_ttls_s(context.mount)
    longest_s = max_ttl_s or longest_s
    asked_s = to_seconds("ttl", given["ttl"], signed=False) if "ttl" in given else 0
    wanted_s = min(asked_s or ttl_s or default_s, TTL_S_MAX)
    warnings = []
    if wanted_s > longest_s:
        warnings.append(
            f'TTL "{format_duration(wanted_s)}" is longer than permitted maxTTL "{format_duration(longest_s)}", '
            "so maxTTL is being used"
        )
        wanted_s = longest_s
    end_s = context.now_ns // NS + wanted_s
    if ca_end_s is not None and end_s > ca_end_s:
        raise Refusal(
            400,
            f"cannot satisfy request, as TTL would result in notAfter of {rfc3339(end_s * NS)} that is beyond the "
            f"expiration of the CA certificate at {rfc3339(ca_end_s * NS)}",
        )
    return end_s, warnings


def read_csr(text: str) -> x509.CertificateSigningRequest:
    """The certificate request, whose signature shows that whoever asks has the key. Raises Refusal."""
    if not text:
        raise Refusal(400, '"csr" is empty')
    if len(text) > TEXT_BYTES_MAX:
        raise Refusal(400, f"the certificate request is longer than {TEXT_BYTES_MAX} bytes")
    try:
        return x509.load_pem_x509_csr(text.encode())
    except UNREADABLE:
        raise Refusal(400, "certificate request could not be parsed") from None


def _csr_common_name(csr: x509.CertificateSigningRequest) -> str:
    try:
        found = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except UNREADABLE:
        raise Refusal(400, "certificate request could not be parsed") from None
    return str(found[0].value) if found else ""


def _add_csr_names(wanted: Names, csr: x509.CertificateSigningRequest) -> None:
    try:
        held = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    except (*UNREADABLE, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Refusal(400, "certificate request could not be parsed") from None
    for name in held:
        if isinstance(name, (x509.DNSName, x509.RFC822Name)):
            if isinstance(name, x509.DNSName) == ("@" in name.value):
                raise Refusal(400, "certificate request could not be parsed")
            wanted.add(name.value)
        elif isinstance(name, x509.IPAddress):
            wanted.add_address(str(name.value))
        elif isinstance(name, x509.UniformResourceIdentifier):
            wanted.add_uri(name.value)
        else:
            raise Refusal(400, "the certificate request has subject alternative names of a kind that is not allowed")


def _listed(given: Mapping[str, Given], name: str) -> list[str]:
    """A list of names that is not too long to be taken apart here. Raises Refusal, FieldError."""
    value = given.get(name)
    if value is not None and len(value if isinstance(value, str) else bytes(value)) > TEXT_BYTES_MAX:
        raise Refusal(400, f"{name} is longer than {TEXT_BYTES_MAX} bytes")
    return to_names(name, value)


def _add(held: dict[str, None], name: str) -> None:
    if name not in held and len(held) >= NAMES_MAX:
        raise Refusal(400, f"a certificate has at most {NAMES_MAX} names of a kind")
    held[name] = None


def _is_one_of(patterns: list[str], text: str) -> bool:
    return any(names.is_glob(pattern, text) for pattern in patterns)


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN_MAX else name[:_SHOWN_MAX] + "..."
