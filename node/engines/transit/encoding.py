"""How bytes travel: base64 with Go's words for what is none, and the `vault:vN:` in front of what a key made.

Pure. Invariant: no text of an error holds a byte of what was sent.
Source: Go encoding/base64; Vault API, transit, "ciphertext".
"""

from __future__ import annotations

import base64
import binascii
import re

from ...request import Refusal

_PREFIX = "vault:v"
_ALPHABET = re.compile(rb"[A-Za-z0-9+/]*")
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]*")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


def decode(text: str) -> bytes:
    """The bytes of standard base64; line ends within do not count. Raises Refusal with Go's text."""
    try:
        raw = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise _illegal(error.start) from None
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\n", b"").replace(b"\r", b"")
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error:
        good = _ALPHABET.match(raw)
        assert good is not None  # it may be empty
        raise _illegal(good.end()) from None


def decode_url_safe(text: str) -> bytes | None:
    """The bytes of url-safe base64 without padding; None if it is none."""
    if not _URL_SAFE.fullmatch(text) or len(text) % 4 == 1:
        return None
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(value: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(value).decode("ascii")


def encode_url_safe(value: bytes) -> str:
    """Url-safe base64 without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def tagged(version: int, text: str) -> str:
    """What a version of a key made, as clients keep it."""
    return f"{_PREFIX}{version}:{text}"


def untagged(text: str, what: str) -> tuple[int, str]:
    """(version, what follows it). `what` is "ciphertext", "signature" or "HMAC". Raises Refusal."""
    if not text.startswith(_PREFIX):
        raise Refusal(400, f"invalid {what}{' to verify' if what == 'HMAC' else ''}: no prefix")
    number, colon, rest = text[len(_PREFIX) :].partition(":")
    if not colon:
        raise Refusal(400, f"invalid {what}: wrong number of fields")
    if not _NUMBER.fullmatch(number):
        raise Refusal(400, f"invalid {what}: version number could not be decoded")
    return int(number), rest


def _illegal(at: int) -> Refusal:
    return Refusal(400, f"illegal base64 data at input byte {at}")
