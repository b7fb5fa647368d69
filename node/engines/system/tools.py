"""Tools without a memory: random bytes, hashes, the token behind what generate-root encoded.

Pure. Invariants: nothing is stored; no error holds what was to be hashed or decoded.
Source: Vault API, "sys/tools"; OpenBao API, "sys/decode-token".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from ...auth.typed_fields import shown, to_text
from ...request import Answer, RawRequest, Refusal
from ..fields import parameters, to_int

if TYPE_CHECKING:
    from ..base import Context
    from .routes import Captures

RANDOM_FIELDS = frozenset({"bytes", "format", "source"})
HASH_FIELDS = frozenset({"input", "algorithm", "format"})
DECODE_FIELDS = frozenset({"encoded_token", "otp"})
RANDOM_BYTES = 32
RANDOM_BYTES_MAX = 131_072
_SOURCES = frozenset({"", "platform", "seal", "all"})
_ALGORITHMS = {
    f"sha{family}-{bits}": f"sha{bits}" if family == 2 else f"sha3_{bits}"
    for family in (2, 3)
    for bits in (224, 256, 384, 512)
}
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/\r\n]")
_NUMBER = re.compile(r"[0-9]{1,9}")
_OTP_CHARACTERS_MAX = 1024


def read_random(context: Context, request: RawRequest, captures: Captures) -> Answer:
    """Random bytes of the operating system, which is the only source, by whatever name it is asked for."""
    given = parameters(request)
    source = captures.get("source") or to_text("source", given.get("source"))
    count_text = captures.get("urlbytes")
    if count_text is not None and not _NUMBER.fullmatch(count_text):
        raise Refusal(400, "error parsing url-set byte count: it is no number")
    count = to_int("bytes", given["bytes"]) if "bytes" in given else RANDOM_BYTES
    count = count if count_text is None else int(count_text)
    if count < 1:
        raise Refusal(400, '"bytes" cannot be less than 1')
    if count > RANDOM_BYTES_MAX:
        raise Refusal(400, f'"bytes" should be less than {RANDOM_BYTES_MAX}')
    format_ = to_text("format", given.get("format")) or "base64"
    if format_ not in {"hex", "base64"}:
        raise Refusal(400, f'unsupported encoding format "{shown(format_)}"; must be "hex" or "base64"')
    if source not in _SOURCES:
        raise Refusal(400, f'unsupported entropy source "{shown(source)}"; must be "platform" or "seal", or "all"')
    return Answer(data={"random_bytes": _encoded(context.random(count), format_)})


def read_hash(_context: Context, request: RawRequest, captures: Captures) -> Answer:
    """The hash of the input."""
    given = parameters(request)
    algorithm = captures.get("urlalgorithm") or to_text("algorithm", given.get("algorithm")) or "sha2-256"
    content = _decoded(to_text("input", given.get("input")))
    format_ = to_text("format", given.get("format")) or "hex"
    if format_ not in {"hex", "base64"}:
        raise Refusal(400, f'unsupported encoding format {shown(format_)}; must be "hex" or "base64"')
    if algorithm not in _ALGORITHMS:
        raise Refusal(400, f"unsupported algorithm {shown(algorithm)}")
    return Answer(data={"sum": _encoded(hashlib.new(_ALGORITHMS[algorithm], content).digest(), format_)})


def read_decoded_token(_context: Context, request: RawRequest, _captures: Captures) -> Answer:
    """The token, from what generate-root answered and the one-time password it was made with."""
    given = parameters(request)
    encoded = to_text("encoded_token", given.get("encoded_token"))
    otp = to_text("otp", given.get("otp")).encode()
    if not encoded or not otp or len(otp) > _OTP_CHARACTERS_MAX:
        raise Refusal(400, "encoded_token and otp must be specified")
    try:
        masked = base64.b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, "error decoding base64'd token") from None
    if len(masked) != len(otp):
        raise Refusal(400, "error xoring token: length of byte slices is not equivalent")
    token = bytes(one ^ other for one, other in zip(masked, otp, strict=True))
    if not token.isascii() or not token.decode().isprintable():
        raise Refusal(400, "the token was not encoded with this otp")
    return Answer(data={"token": token.decode()})


def _encoded(content: bytes, format_: str) -> str:
    return content.hex() if format_ == "hex" else base64.b64encode(content).decode()


def _decoded(text: str) -> bytes:
    """The bytes behind standard base64; line ends in it are passed over, as Go does."""
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        wrong = _NOT_BASE64.search(text)
        at = wrong.start() if wrong is not None else len(text) - len(text) % 4
        raise Refusal(400, f"unable to decode input as base64: illegal base64 data at input byte {at}") from None
