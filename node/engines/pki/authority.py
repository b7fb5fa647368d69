"""What a mount stores: its authority and settings, its certificates, and the indexes of those that need looking at.

Pure. Names below a mount
  ca, key                    the authority: its certificate, and its private key, which reading does not open
  config/urls, config/crl    settings
  role/NAME                  roles.py
  cert/SERIAL                a stored certificate
  end/END-SERIAL             one for each of them, sorted by its end: what tidy walks
  leased/END-SERIAL          those that live under a lease; what does not live any more is revoked, and moves on
  revoked/END-SERIAL         those that were revoked by themselves, whether stored or not
SERIAL is hexadecimal, END the second since 1970, in 12 digits.
Invariants: what stands under leased/ and revoked/ is written once and never changed; a key is shown by nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ...request import Refusal
from ..entries import Found, find

if TYPE_CHECKING:
    from ..base import Context

CA, KEY, URLS, CRL = "ca", "key", "config/urls", "config/crl"
ROLES, CERTIFICATES, ENDS, LEASED, REVOKED = "role/", "cert/", "end/", "leased/", "revoked/"
CRL_EXPIRY, CRL_EXPIRY_S = "72h", 259_200
LISTED_BEYOND_S = 86_400  # after its end a revoked certificate stays on lists: clocks differ
_SERIAL_CHARACTERS_MAX = 64


class Authority(msgspec.Struct, array_like=True):
    """The one that signs. `certificate` is DER. New fields go at the end, with a default."""

    certificate: bytes
    issuer_id: str
    key_id: str
    issuer_name: str = ""
    key_name: str = ""


class AuthorityKey(msgspec.Struct, array_like=True):
    """Its private key, PKCS 8; written and removed with it."""

    key: bytes

    def __repr__(self) -> str:
        return "<AuthorityKey>"

    def __reduce__(self) -> NoReturn:
        msg = "AuthorityKey holds a key and is not pickled"
        raise TypeError(msg)


class Urls(msgspec.Struct, array_like=True):
    """Where clients find what a certificate points at."""

    issuing_certificates: list[str] = []
    crl_distribution_points: list[str] = []
    ocsp_servers: list[str] = []


class CrlSettings(msgspec.Struct, array_like=True):
    """How long a list may be used; `disable`: it names nobody."""

    expiry_s: int = CRL_EXPIRY_S
    disable: bool = False
    expiry: str = CRL_EXPIRY  # as somebody wrote it: who compares it with what they wrote finds no change


class Certificate(msgspec.Struct, array_like=True):
    """A certificate as stored."""

    certificate: bytes
    issuer_id: str
    end_s: int
    issued_ns: int
    lease_id: str = ""


class Leased(msgspec.Struct, array_like=True):
    """What has to be known of a leased certificate to tell whether it is revoked."""

    lease_id: str
    issuer_id: str
    issued_ns: int


class Revoked(msgspec.Struct, array_like=True):
    """That a certificate was revoked, and when."""

    revoked_ns: int
    issuer_id: str


class Mark(msgspec.Struct, array_like=True):
    """It is there."""


def find_authority(context: Context) -> Found[Authority]:
    """The mount's authority. Refused with 400 where there is none."""
    found = find(context, CA, Authority)
    if found is None:
        raise Refusal(400, "no default issuer currently configured: generate a root first")
    return found


def key_of(context: Context) -> bytes:
    """The private key of the authority that is there."""
    found = find(context, KEY, AuthorityKey)
    if found is None:
        raise Refusal(400, "no default issuer currently configured: generate a root first")
    return found.value.key


def urls_of(context: Context) -> tuple[int, Urls]:
    """(index at which they were set or 0, the URLs)."""
    found = find(context, URLS, Urls)
    return (0, Urls()) if found is None else (found.read_index, found.value)


def crl_settings_of(context: Context) -> CrlSettings:
    """The settings of the list, or the defaults."""
    found = find(context, CRL, CrlSettings)
    return CrlSettings() if found is None else found.value


def loaded(der: bytes) -> x509.Certificate:
    """A certificate that was made here."""
    return x509.load_der_x509_certificate(der)


def pem(der: bytes) -> str:
    """The certificate as text, without the last newline."""
    return loaded(der).public_bytes(Encoding.PEM).decode().strip()


# ---- names
def serial_hex(number: int) -> str:
    """The serial number as names have it: whole bytes."""
    return number.to_bytes((number.bit_length() + 7) // 8 or 1, "big").hex()


def serial_text(serial: str) -> str:
    """As people read it: "17:67:16"."""
    return bytes.fromhex(serial).hex(":")


def read_serial(text: str) -> str:
    """A serial number as people write it, with colons, hyphens or neither; "" if it is none."""
    serial = text.strip().lower().replace(":", "").replace("-", "")
    is_hex = bool(serial) and len(serial) <= _SERIAL_CHARACTERS_MAX and not set(serial) - set("0123456789abcdef")
    return serial if is_hex and len(serial) % 2 == 0 else ""


def by_end(folder: str, end_s: int, serial: str) -> str:
    """The name in a folder that is sorted by the end of certificates."""
    return f"{folder}{end_s:012d}-{serial}"


def serial_of(name: str) -> str:
    """The serial number in such a name, with or without its folder."""
    return name.rsplit("-", 1)[1]


def after_now(now_ns: int) -> str:
    """Names behind this one are of certificates that have not ended."""
    return f"{now_ns // 1_000_000_000:012d}."  # a dot stands behind the hyphen of this very second


def after_listed(now_ns: int) -> str:
    """Names behind this one are of certificates that lists name if they are revoked."""
    return after_now(now_ns - LISTED_BEYOND_S * 1_000_000_000)
