"""A certificate, put together and signed: what runs in a thread once everything about it is decided.

Pure but for the signature, whose randomness is the library's. Invariants
  S1  what a thread made says from which records it was made; where one of them has changed it is made again
  S2  no certificate but an authority's says that it is one, and every one names its purpose as the role does
  S3  a serial number is 159 fresh random bits
Source: RFC 5280, section 4; Vault, builtin/logical/pki.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from ...request import RawRequest, Refusal, StaleLabour
from . import keys
from .authority import Urls, serial_hex, urls_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base import Context
    from ..entries import Found
    from .roles import Role

    Making = Callable[[], tuple[bytes, keys.PrivateKey | None]]  # the certificate, and its key where that is new

NS = 1_000_000_000
_EPOCH = dt.datetime(1970, 1, 1)  # naive on purpose: the library takes such for UTC
_SERIAL_BYTES = 20

# The mount and the index of every record that a certificate is made from.
Bound = tuple[bytes, int, int, int]


@dataclass(slots=True)
class Sheet:
    """Everything a certificate says but its key and its issuer."""

    subject: x509.Name
    serial: int
    start_s: int
    end_s: int
    extensions: list[tuple[x509.ExtensionType, bool]] = field(default_factory=list)


@dataclass(slots=True)
class Made:
    """What a thread made. `key` is None where whoever asked has it."""

    bound: Bound
    certificate: bytes
    serial: str
    end_s: int
    warnings: list[str]
    key: keys.PrivateKey | None = None

    def __repr__(self) -> str:
        return "<Made>"

    def __reduce__(self) -> NoReturn:
        msg = "Made holds a key and is not pickled"
        raise TypeError(msg)


def bound_to(context: Context, ca: Found[Any] | None, role: Found[Role] | None) -> Bound:
    """What names the records as they are."""
    assert context.mount is not None  # the flow gives every engine its mount
    index = 0 if ca is None else ca.read_index
    return context.mount.uuid, index, 0 if role is None else role.read_index, urls_of(context)[0]


def made_of(request: RawRequest, bound: Bound) -> Made:
    """What was made beforehand for this request. Raises Refusal; StaleLabour if it fits no more (S1)."""
    made = request.labour
    if isinstance(made, Refusal):
        raise made
    if not isinstance(made, Made) or made.bound != bound:
        raise StaleLabour
    return made


def new_serial(random: Callable[[int], bytes]) -> int:
    """A positive number below 2^159 (S3)."""
    return int.from_bytes(random(_SERIAL_BYTES), "big") >> 1 or 1


def links(urls: Urls) -> list[tuple[x509.ExtensionType, bool]]:
    """Where the issuer's certificate, its list and its responder are found."""
    found: list[tuple[x509.ExtensionType, bool]] = []
    access = [
        x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
        for method, held in (
            (AuthorityInformationAccessOID.OCSP, urls.ocsp_servers),
            (AuthorityInformationAccessOID.CA_ISSUERS, urls.issuing_certificates),
        )
        for url in held
    ]
    if access:
        found.append((x509.AuthorityInformationAccess(access), False))
    if urls.crl_distribution_points:
        points = [
            x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
            for url in urls.crl_distribution_points
        ]
        found.append((x509.CRLDistributionPoints(points), False))
    return found


def sign(sheet: Sheet, public: keys.PublicKey, issuer: x509.Certificate | None, key: keys.PrivateKey) -> bytes:
    """The certificate's DER; without an issuer it is its own."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(sheet.subject)
        .issuer_name(sheet.subject if issuer is None else issuer.subject)
        .public_key(public)
        .serial_number(sheet.serial)
        .not_valid_before(instant(sheet.start_s))
        .not_valid_after(instant(sheet.end_s))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_issuer_key_id(public, issuer), critical=False)
    )
    for extension, critical in sheet.extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, keys.digest_for(key)).public_bytes(Encoding.DER)


def instant(time_s: int) -> dt.datetime:
    """The second as the library wants it."""
    return _EPOCH + dt.timedelta(seconds=time_s)


def end_s_of(certificate: x509.Certificate) -> int:
    """The second at which it ends."""
    return int(certificate.not_valid_after_utc.timestamp())


def work(bound: Bound, sheet: Sheet, warnings: list[str], make: Making) -> Callable[[], Made | Refusal]:
    """What is to be run: it returns what it made, or why it cannot be made."""

    def run() -> Made | Refusal:
        try:
            certificate, key = make()
        except Refusal as refusal:
            return refusal
        except ValueError:
            return Refusal(400, "no certificate can be made from these parameters")
        return Made(bound, certificate, serial_hex(sheet.serial), sheet.end_s, warnings, key)

    return run


def _issuer_key_id(public: keys.PublicKey, issuer: x509.Certificate | None) -> x509.AuthorityKeyIdentifier:
    if issuer is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
    held = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(held)
