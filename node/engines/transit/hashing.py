"""Hash algorithms by Vault's names, and the routes that need no key: `random`, `hash`.

Pure. Source: Vault API, transit, "Generate random bytes", "Hash data".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ...auth.typed_fields import shown, to_text
from ...request import Answer, Refusal
from ..fields import parameters, to_int
from .encoding import decode, encode

if TYPE_CHECKING:
    from ...request import RawRequest
    from ..base import Context
    from ..system.routes import Captures

DEFAULT = "sha2-256"
HASHES = {
    "sha1": "sha1",
    "sha2-224": "sha224",
    "sha2-256": "sha256",
    "sha2-384": "sha384",
    "sha2-512": "sha512",
    "sha3-224": "sha3_224",
    "sha3-256": "sha3_256",
    "sha3-384": "sha3_384",
    "sha3-512": "sha3_512",
}
RANDOM_BYTES_MAX = 131_072
HASH_FIELDS = frozenset({"input", "algorithm", "format"})
RANDOM_FIELDS = frozenset({"bytes", "format", "source"})
_SOURCES = frozenset({"platform", "seal", "all"})
_FORMATS = frozenset({"hex", "base64"})
_DIGITS_MAX = 9


def hash_name(name: str, objection: str) -> str:
    """The name, if it is one of a hash algorithm. Raises Refusal."""
    if name not in HASHES:
        raise Refusal(400, f'{objection} "{shown(name)}"')
    return name


def read_random(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """Fresh random bytes. A path of one segment names the source or the count."""
    given = parameters(request)
    source = captures.get("source") or to_text("source", given.get("source")) or "platform"
    count_text = captures.get("urlbytes") or ""
    if not count_text and source not in _SOURCES:
        source, count_text = "platform", source
    if source not in _SOURCES:
        text = f'unsupported entropy source "{shown(source)}"; must be "platform" or "seal", or "all"'
        raise Refusal(400, text)
    count = _count(count_text) if count_text else to_int("bytes", given["bytes"]) if "bytes" in given else 32
    if count < 1:
        raise Refusal(400, "'bytes' cannot be less than 1")
    if count > RANDOM_BYTES_MAX:
        raise Refusal(400, f"'bytes' should be less than {RANDOM_BYTES_MAX}")
    form = _form(to_text("format", given.get("format")) or "base64")
    warnings = None
    if source == "seal":
        warnings = ["no seal/entropy augmentation available, using platform entropy source"]
    return Answer(data={"random_bytes": _shown(context.random(count), form)}, warnings=warnings)


def read_hash(_context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The digest of the input."""
    given = parameters(request)
    if "input" not in given:
        raise Refusal(400, "input missing")
    name = captures.get("urlalgorithm") or to_text("algorithm", given.get("algorithm")) or DEFAULT
    form = _form(to_text("format", given.get("format")) or "hex")
    algorithm = HASHES[hash_name(name, "unsupported algorithm")]
    digest = hashlib.new(algorithm, decode_input(to_text("input", given["input"]))).digest()
    return Answer(data={"sum": _shown(digest, form)})


def decode_input(text: str) -> bytes:
    """What is to be hashed or signed. Raises Refusal."""
    try:
        return decode(text)
    except Refusal as refusal:
        raise Refusal(400, f"unable to decode input as base64: {refusal.texts[0]}") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise Refusal(400, "error parsing url-set byte count: invalid syntax")
    return int(text)


def _form(name: str) -> str:
    if name not in _FORMATS:
        raise Refusal(400, f'unsupported encoding format "{shown(name)}"; must be "hex" or "base64"')
    return name


def _shown(value: bytes, form: str) -> str:
    return value.hex() if form == "hex" else encode(value)
