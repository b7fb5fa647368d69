"""What a role wants to stand in a client's certificate beside a chain to its anchor.

Pure. Invariants: every list of a role must be met by one entry of its own kind, and every required extension by the
certificate; an empty list asks for nothing; what cannot be read meets nothing.
Source: Vault API, "TLS certificates: create CA certificate role"; OpenBao, matchesConstraints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from ..globs import fits, fits_one
from . import chain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .roles import CertRole

HEX = "hex:"
_STRINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}  # UTF8String, PrintableString, IA5String
_TEXT_CHARACTERS_MAX = 1_024


def meets(role: CertRole, certificate: x509.Certificate) -> bool:
    """Whether the certificate is one that the role wants."""
    try:
        commons = [one for one in (common_name(certificate),) if one]
        units = _subject(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
        dns_names, emails, uris = _names(certificate)
    except chain.UNREADABLE:
        return False
    return (
        _one(role.allowed_names, [*commons, *dns_names, *emails])
        and _one(role.allowed_common_names, commons)
        and _one(role.allowed_dns_sans, dns_names)
        and _one(role.allowed_email_sans, emails)
        and _one(role.allowed_uri_sans, uris)
        and _one(role.allowed_organizational_units, units)
        and all(_has_extension(certificate, wanted) for wanted in role.required_extensions)
    )


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name; of several the last, as Go has it: those before it are folders. "" without one."""
    return next(reversed(_subject(certificate, NameOID.COMMON_NAME)), "")


def metadata_of(certificate: x509.Certificate, allowed_oids: Iterable[str]) -> dict[str, str]:
    """Texts of the extensions that a role takes over, by their ids with "-" for dots."""
    found = ((oid, extension_text(certificate, oid)) for oid in allowed_oids)
    return {
        oid.replace(".", "-"): text for oid, text in found if text is not None and len(text) <= _TEXT_CHARACTERS_MAX
    }


def key_ids(certificate: x509.Certificate) -> tuple[str, str]:
    """(subject's, authority's) key identifier, as hex with colons; "" where there is none."""
    subject = authority = b""
    try:
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.SubjectKeyIdentifier):
                subject = extension.value.digest
            elif isinstance(extension.value, x509.AuthorityKeyIdentifier):
                authority = extension.value.key_identifier or b""
    except chain.UNREADABLE:
        return "", ""
    return subject.hex(":"), authority.hex(":")


def check_required(wanted: str) -> bool:
    """Whether it is "OID:PATTERN", with "hex:" before it where the extension is no text."""
    oid, colon, _ = wanted.removeprefix(HEX).partition(":")
    return bool(colon) and is_oid(oid)


def is_oid(text: str) -> bool:
    """Whether the text is an object identifier."""
    try:
        x509.ObjectIdentifier(text)
    except ValueError:
        return False
    return True


def extension_text(certificate: x509.Certificate, oid: str) -> str | None:
    """The extension as text; None where there is none, or none that is text."""
    value = _extension(certificate, oid)
    if value is None or len(value) < 2:
        return None
    encoding, start, length = _STRINGS.get(value[0]), 2, value[1]
    if length >= 0x80:
        count = length & 0x7F
        if not 0 < count <= 2:
            return None
        start, length = 2 + count, int.from_bytes(value[2 : 2 + count], "big")
    if encoding is None or len(value) != start + length:
        return None
    try:
        return value[start:].decode(encoding)
    except UnicodeDecodeError:
        return None


def _has_extension(certificate: x509.Certificate, wanted: str) -> bool:
    oid, _, pattern = wanted.removeprefix(HEX).partition(":")
    if wanted.startswith(HEX):
        value = _extension(certificate, oid)
        return value is not None and fits(pattern.lower(), value.hex())
    text = extension_text(certificate, oid)
    return text is not None and fits(pattern, text)


def _extension(certificate: x509.Certificate, oid: str) -> bytes | None:
    try:
        found = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid))
        return found.value.public_bytes()
    except (x509.ExtensionNotFound, *chain.UNREADABLE):
        return None


def _one(patterns: list[str], texts: Iterable[str]) -> bool:
    return not patterns or any(fits_one(patterns, text) for text in texts)


def _subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    values = (attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid))
    return [value for value in values if isinstance(value, str)]


def _names(certificate: x509.Certificate) -> tuple[list[str], list[str], list[str]]:
    try:
        found = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return [], [], []
    assert isinstance(found, x509.SubjectAlternativeName)
    return (
        found.get_values_for_type(x509.DNSName),
        found.get_values_for_type(x509.RFC822Name),
        found.get_values_for_type(x509.UniformResourceIdentifier),
    )
