"""What a certificate's key may be used for, by Vault's names.

Pure. Invariant: a name that nobody knows is refused where the role is written, not left out of a certificate.
Source: RFC 5280, sections 4.2.1.3 and 4.2.1.12; Vault API, "PKI" (key_usage, ext_key_usage); Go, crypto/x509.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ...request import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .roles import Role

# Vault's name in lower case → the library's.
_KEY_USAGES = {
    "digitalsignature": "digital_signature",
    "contentcommitment": "content_commitment",
    "keyencipherment": "key_encipherment",
    "dataencipherment": "data_encipherment",
    "keyagreement": "key_agreement",
    "certsign": "key_cert_sign",
    "crlsign": "crl_sign",
    "encipheronly": "encipher_only",
    "decipheronly": "decipher_only",
}
_OF_AUTHORITIES = frozenset({"certsign", "crlsign"})
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "serverauth": ExtendedKeyUsageOID.SERVER_AUTH,
    "clientauth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "codesigning": ExtendedKeyUsageOID.CODE_SIGNING,
    "emailprotection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocspsigning": ExtendedKeyUsageOID.OCSP_SIGNING,
    "ipsecendsystem": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsectunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsecuser": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
}


def check(key_usage: Iterable[str], ext_key_usage: Iterable[str], oids: Iterable[str]) -> None:
    """Every name is known, and none is an authority's. Raises Refusal."""
    for name in key_usage:
        lower = _lower(name, "keyusage")
        if lower not in _KEY_USAGES:
            raise Refusal(400, "unknown name in key_usage")
        if lower in _OF_AUTHORITIES:
            raise Refusal(400, "key_usage of a role cannot have CertSign or CRLSign: those are for authorities")
    if any(_lower(name, "extkeyusage") not in _EXTENDED for name in ext_key_usage):
        raise Refusal(400, "unknown name in ext_key_usage")
    for oid in oids:
        _oid(oid)


def key_usage(names: Iterable[str]) -> x509.KeyUsage | None:
    """The extension, None where nothing is named."""
    wanted = {_KEY_USAGES[_lower(name, "keyusage")] for name in names}
    if not wanted:
        return None
    flags = {name: name in wanted for name in _KEY_USAGES.values()}
    if not flags["key_agreement"]:
        flags["encipher_only"] = flags["decipher_only"] = False
    return x509.KeyUsage(**flags)


def of_authority() -> x509.KeyUsage:
    """It signs certificates and lists."""
    return x509.KeyUsage(**{name: name in {"key_cert_sign", "crl_sign"} for name in _KEY_USAGES.values()})


def extended(role: Role) -> x509.ExtendedKeyUsage | None:
    """The extension of a role's certificates, None where nothing is named."""
    flags = {
        "serverauth": role.server_flag,
        "clientauth": role.client_flag,
        "codesigning": role.code_signing_flag,
        "emailprotection": role.email_protection_flag,
    }
    wanted = [_EXTENDED[name] for name, is_set in flags.items() if is_set]
    wanted += [_EXTENDED[_lower(name, "extkeyusage")] for name in role.ext_key_usage]
    wanted += [_oid(oid) for oid in role.ext_key_usage_oids]
    return x509.ExtendedKeyUsage(list(dict.fromkeys(wanted))) if wanted else None


def _lower(name: str, prefix: str) -> str:
    return name.strip().lower().removeprefix(prefix)


def _oid(text: str) -> x509.ObjectIdentifier:
    try:
        return x509.ObjectIdentifier(text)
    except ValueError:
        raise Refusal(400, "ext_key_usage_oids has a value that is no object identifier") from None
