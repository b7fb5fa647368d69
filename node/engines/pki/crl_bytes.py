"""The bytes of a list of revoked certificates: put together by hand: the library makes each entry anew, every time.

Pure but for the signature. Invariant: they are what the library's own builder would make of the same list; a test holds
them side by side. A list of many thousand is one join of entries that were made once.
Source: RFC 5280, section 5.1; X.690 (DER).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from .keys import PrivateKey

_INTEGER, _BITS, _OCTETS, _SEQUENCE, _EXPLICIT_0 = 0x02, 0x03, 0x04, 0x30, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION_2 = b"\x02\x01\x01"
_CRL_NUMBER = b"\x06\x03\x55\x1d\x14"
_AUTHORITY_KEY_ID = b"\x06\x03\x55\x1d\x23"
_UTC_YEARS = range(1950, 2050)


def entry(serial: int, revoked_s: int) -> bytes:
    """One revoked certificate, and when it was revoked."""
    return _element(_SEQUENCE, _integer(serial) + _time(revoked_s))


def signed_list(
    issuer: x509.Certificate, key: PrivateKey, *, number: int, start_s: int, end_s: int, entries: bytes
) -> bytes:
    """The list's DER. `issuer` has signed itself with this key: the list is signed by the same algorithm."""
    key_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)
    extensions = _extension(_CRL_NUMBER, x509.CRLNumber(number)) + _extension(_AUTHORITY_KEY_ID, authority)
    algorithm = _algorithm(issuer)
    parts = (
        _VERSION_2,
        algorithm,
        issuer.subject.public_bytes(),
        _time(start_s),
        _time(end_s),
        _element(_SEQUENCE, entries) if entries else b"",
        _element(_EXPLICIT_0, _element(_SEQUENCE, extensions)),
    )
    body = _element(_SEQUENCE, b"".join(parts))
    return _element(_SEQUENCE, body + algorithm + _bits(_signature(issuer, key, body)))


def _signature(issuer: x509.Certificate, key: PrivateKey, body: bytes) -> bytes:
    digest = issuer.signature_hash_algorithm
    if isinstance(key, rsa.RSAPrivateKey):
        assert digest is not None  # only ed25519 has none
        return key.sign(body, padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        assert digest is not None
        return key.sign(body, ec.ECDSA(digest))
    return key.sign(body)


def _algorithm(issuer: x509.Certificate) -> bytes:
    """What stands between the body of the certificate and its signature."""
    der, body = issuer.public_bytes(Encoding.DER), issuer.tbs_certificate_bytes
    start = der.index(body) + len(body)
    return der[start : -len(_bits(issuer.signature))]


def _extension(name: bytes, value: x509.ExtensionType) -> bytes:
    return _element(_SEQUENCE, name + _element(_OCTETS, value.public_bytes()))


def _integer(number: int) -> bytes:
    """A whole number that is not negative."""
    return _element(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _bits(value: bytes) -> bytes:
    return _element(_BITS, b"\x00" + value)


def _time(time_s: int) -> bytes:
    time = dt.datetime.fromtimestamp(time_s, dt.UTC)
    if time.year in _UTC_YEARS:
        return _element(_UTC_TIME, time.strftime("%y%m%d%H%M%SZ").encode())
    return _element(_GENERALIZED_TIME, f"{time.year:04}{time:%m%d%H%M%SZ}".encode())


def _element(tag: int, value: bytes) -> bytes:
    length = len(value)
    if length < 0x80:
        return bytes((tag, length)) + value
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + value
