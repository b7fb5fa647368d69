"""export: the keys themselves, of those that were made or configured `exportable`.

Pure. Invariant: without `exportable` nothing leaves but public halves.
Source: Vault API, transit, "Export key"; RFC 8017; RFC 5915.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from ...auth.typed_fields import shown, to_text
from ...request import Answer, Refusal
from ..fields import parameters
from .encoding import encode
from .key_types import KeyType, Kind, Work
from .keys import NamedKey, find_key
from .material import ec_key, ed25519_key, public_key, rsa_key, shown_public

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from ...request import RawRequest
    from ..base import Context
    from ..system.routes import Captures
    from .material import Version

FIELDS = frozenset({"format"})
_ENCRYPTION, _SIGNING, _HMAC, _PUBLIC = "encryption-key", "signing-key", "hmac-key", "public-key"
_TYPES = frozenset({_ENCRYPTION, _SIGNING, _HMAC, _PUBLIC})
_FORMATS = frozenset({"", "raw", "der", "pem"})
_DIGITS_MAX = 9
_DER, _PEM = serialization.Encoding.DER, serialization.Encoding.PEM
_PKCS8 = serialization.PrivateFormat.PKCS8
_PKIX = serialization.PublicFormat.SubjectPublicKeyInfo


def read_export(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The key's versions that may be used, or one of them."""
    kind = captures["type"]
    if kind not in _TYPES:
        raise Refusal(400, f"invalid export type: {shown(kind)}")
    form = to_text("format", parameters(request).get("format"))
    if form not in _FORMATS:
        raise Refusal(400, f"invalid format: {shown(form)}")
    found = find_key(context, captures["name"])
    if found is None:
        raise Refusal(404)
    named = NamedKey(context, captures["name"], found.value)
    if not named.key.exportable and kind != _PUBLIC:
        raise Refusal(400, "private key material is not exportable")
    _check_kind(named.type, kind)
    wanted = captures.get("version")
    numbers = [_number(named, wanted)] if wanted else _all(named)
    keys = {str(number): _exported(named.type, named.version(number), kind, form) for number in numbers}
    return Answer(data={"name": named.name, "type": named.type.name, "keys": keys})


def _check_kind(type_: KeyType, kind: str) -> None:
    if kind == _ENCRYPTION and not type_.encrypts:
        raise Refusal(400, "encryption not supported for the key")
    if kind == _SIGNING and not type_.signs:
        raise Refusal(400, "signing not supported for the key")
    if kind == _PUBLIC and not type_.is_asymmetric:
        raise Refusal(400, f"unknown key type {type_} for export type {kind}")


def _all(named: NamedKey) -> list[int]:
    """Every version that may be used, if they can be shown in one turn of the loop. Raises Refusal."""
    most = named.type.items_max(Work.EXPORT)
    if len(named.key.usable) > most:
        raise Refusal(400, f"the key has more than {most} versions: export them one by one")
    return list(named.key.usable)


def _number(named: NamedKey, wanted: str) -> int:
    if wanted == "latest":
        return named.key.latest_version
    digits = wanted.removeprefix("v")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise Refusal(400, "invalid key version")
    number = int(digits)
    if number < named.key.min_decryption_version:
        raise Refusal(400, "version for export is below minimum decryption version")
    if number not in named.key.usable:
        raise Refusal(400, "version does not exist or cannot be found")
    return number


def _exported(type_: KeyType, version: Version, kind: str, form: str) -> str:
    if kind == _PUBLIC:
        return _public(type_, version, form)
    if kind == _HMAC or not type_.is_asymmetric:
        if form in {"der", "pem"}:
            raise Refusal(400, "unknown format for HMAC key; supported values are `` or `raw`")
        return encode(version.hmac_key if kind == _HMAC else version.key)
    if type_.kind is Kind.ED25519:
        if form in {"", "raw"}:
            return encode(version.key + version.public)
        return _private(ed25519_key(version.key), form)
    if form == "raw":
        raise _no_raw(type_)
    key: PrivateKeyTypes = rsa_key(version) if type_.kind is Kind.RSA else ec_key(version)
    text = _private(key, form)
    return text if type_.kind is Kind.RSA else text.strip()


def _private(key: PrivateKeyTypes, form: str) -> str:
    """PKCS 8, or what each kind of key had before, which is Vault's default."""
    private_format = _PKCS8 if form else serialization.PrivateFormat.TraditionalOpenSSL
    encoding = _DER if form == "der" else _PEM
    raw = key.private_bytes(encoding, private_format, serialization.NoEncryption())
    return encode(raw) if form == "der" else raw.decode("ascii")


def _public(type_: KeyType, version: Version, form: str) -> str:
    if type_.kind is Kind.ED25519:
        if form in {"", "raw"}:
            return shown_public(type_, version)
        key: PublicKeyTypes = ed25519_key(version.key).public_key()
    elif form == "raw":
        raise _no_raw(type_)
    else:
        key = public_key(version)
    if form == "der":
        return encode(key.public_bytes(_DER, _PKIX))
    return key.public_bytes(_PEM, _PKIX).decode("ascii").strip()


def _no_raw(type_: KeyType) -> Refusal:
    name = "rsa" if type_.kind is Kind.RSA else "ec"
    return Refusal(400, f"unknown key format for {name} key; supported values are ``, `der`, or `pem`")
