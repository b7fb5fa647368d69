"""A signed token in compact form: taken apart, and its signature checked.

Pure, and CPU of a tenth of a millisecond: it runs as labour. Invariants
  C1  the algorithm must be one the configuration allows, and one of those the key itself is for: `none`, or a public
      key taken for the secret of an HMAC, opens nothing
  C2  nothing the header points to (`jku`, `x5u`, `jwk`, `x5c`) is looked at, and a critical header is refused
  C3  what is too long, is not base64 for URLs in each part, or is not JSON of a bounded depth, is refused before a
      signature is looked at, and before anything of it is sent to anybody
Source: RFC 7515, RFC 8725; the texts are Vault's.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry

if TYPE_CHECKING:
    from collections.abc import Collection

    from .keys import KeySet

TOKEN_BYTES_MAX = 16_384
HEADER_BYTES_MAX = 4_096
CANDIDATES_MAX = 20  # keys tried for a token that names none
_PART = re.compile(r"[A-Za-z0-9_-]*={0,2}")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class InvalidTokenError(Exception):
    """The token proves nothing. The text holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """A token taken apart; nothing it says is believed yet."""

    text: str
    algorithm: str
    key_id: str | None
    claims: dict[str, Any]

    def __repr__(self) -> str:
        return "<Unproven>"


class _Registry(JWSRegistry):
    """Checks by the algorithms it is told alone; the header is looked at by `take_apart`."""

    max_header_length = HEADER_BYTES_MAX * 2
    max_payload_length = TOKEN_BYTES_MAX
    max_signature_length = 2_048

    def get_alg(self, name: str) -> Any:
        """See JWSRegistry; without its warning about names that RFC 9864 gave up, which issuers go on using."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


def take_apart(text: str) -> Unproven:
    """The token's parts (C2, C3). Raises InvalidTokenError."""
    if len(text) > TOKEN_BYTES_MAX:
        raise InvalidTokenError(f"the token is longer than {TOKEN_BYTES_MAX} bytes")
    parts = text.split(".")
    if not text.isascii() or len(parts) != 3:
        raise InvalidTokenError("malformed jwt: compact JWS format must have three parts")
    if not all(map(_PART.fullmatch, parts)):
        raise InvalidTokenError("malformed jwt: a part is not base64")
    header = _object(parts[0])
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
        raise InvalidTokenError("malformed jwt: the header cannot be read")
    if "crit" in header or "b64" in header:
        raise InvalidTokenError("malformed jwt: the header asks for what is not understood")
    return Unproven(text, algorithm, key_id, _object(parts[1]))


def prove(token: Unproven, keys: KeySet, algorithms: Collection[str]) -> None:
    """One of the keys signed it, by an algorithm that is allowed (C1). Raises InvalidTokenError."""
    algorithm = token.algorithm
    if algorithm not in algorithms:
        raise InvalidTokenError("token signed with unexpected algorithm")
    fitting = [key for key in keys.keys if algorithm in key.algorithms]
    if token.key_id is not None and any(key.id is not None for key in keys.keys):
        fitting = [key for key in fitting if key.id == token.key_id]
    registry = _Registry(algorithms=[algorithm], strict_check_header=False)
    for key in fitting[:CANDIDATES_MAX]:
        try:
            jws.deserialize_compact(token.text, key.key, registry=registry)
        except (JoseError, ValueError, TypeError):
            continue
        return
    raise InvalidTokenError("no known key successfully validated the token signature")


def _object(part: str) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, *_UNREADABLE):
        raise InvalidTokenError("malformed jwt: a part is not JSON") from None
    if not isinstance(decoded, dict):
        raise InvalidTokenError("malformed jwt: a part is not a JSON object")
    return decoded
