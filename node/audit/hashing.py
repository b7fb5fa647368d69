"""What a line shows instead of a value: `hmac-sha256:` and the hex HMAC-SHA256 under the device's salt.

Pure. Invariants
  H1  every scalar of a body is hashed, numbers and booleans too, unless `numbers` is off (Vault's format); a number is
      hashed as the text it was written as, so `1.10` and `12345678901234567890123` lose no digit
  H2  map keys and null stay; a value stays only if the innermost map key around it is exempt
  H3  what looks like a token is hashed even where its key is exempt or the device logs raw
  H4  a source is never changed: what is hashed is built anew, in slices, because a large body must not hold the loop
Source: Vault, "Audit devices: sensitive information"; RFC 2104.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

if TYPE_CHECKING:
    from collections.abc import Generator

PREFIX = "hmac-sha256:"
TOKEN_PREFIXES = ("hvs.", "hvb.", "hvr.")
CACHE_MAX = 10_000  # hashes of tokens and accessors, dropped all at once
SLICE = 1_000  # scalars between two looks at the loop: about 0.7 ms

_SHORT = 2  # characters: version numbers, empty texts
_SHORT_KEY = "\0"  # no accessor begins so
_BOOLEANS = frozenset({"true", "false"})
_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class _Number(str):
    """The text of a JSON number that an int does not hold."""

    __slots__ = ()


# ValueError: a number with more digits than Python converts.
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
_TEXTS = (bytes, msgspec.Raw)
_LISTS = (list, tuple)
_INNER_NODES = (dict, *_LISTS, *_TEXTS)
_decode = msgspec.json.Decoder(float_hook=_Number).decode


def audit_hash(salt: bytes, text: str) -> str:
    """The text as it stands in the lines of a device with this salt."""
    return Hasher(salt).text(text)


class Hasher:
    """Hashes under one device's salt, keyed once: a copy of the two states costs half of what a new HMAC does."""

    __slots__ = ("_cache", "_inner", "_outer")

    def __init__(self, salt: bytes) -> None:
        if not salt:
            raise ValueError("an audit device has a salt")
        key = (salt if len(salt) <= _BLOCK_BYTES else hashlib.sha256(salt).digest()).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(key.translate(_INNER))
        self._outer = hashlib.sha256(key.translate(_OUTER))
        self._cache: dict[bytes | str, str] = {}

    def __repr__(self) -> str:
        return "<Hasher>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Hasher holds a salt and is neither pickled nor copied")

    def octets(self, value: bytes) -> str:
        """The hash of some bytes."""
        inner = self._inner.copy()
        inner.update(value)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return PREFIX + outer.hexdigest()

    def text(self, value: str) -> str:
        """The hash of a text, the empty one too. What is too short to tell anything is hashed once."""
        if len(value) <= _SHORT or value in _BOOLEANS:
            return self.remembered(_SHORT_KEY + value, value)
        return self.octets(value.encode())

    def remembered(self, key: bytes | str, value: str) -> str:
        """The hash of `value`, computed once for `key`: a keyed hash of a token (never the token), or an accessor."""
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            found = self._cache[key] = self.octets(value.encode())
        return found


class Masking:
    """How one device shows the bodies of one kind of request."""

    __slots__ = ("_exempt", "_hasher", "_numbers", "_raw")

    def __init__(self, hasher: Hasher, *, numbers: bool, raw: bool, exempt: frozenset[str] = frozenset()) -> None:
        self._hasher = hasher
        self._numbers = numbers
        self._raw = raw
        self._exempt = exempt

    def masked(self, value: Any) -> Generator[None, None, Any]:
        """Returns what to write for a body; yields between slices. Raises TypeError for what JSON cannot hold.

        bytes are JSON text, whole or anywhere inside; if they do not decode, they are hashed as one value.
        """
        root: list[Any] = [None]
        stack: list[tuple[Any, Any, Any, str]] = [(root, 0, value, "")]
        count = 0
        while stack:
            target, at, source, key = stack.pop()
            if isinstance(source, _TEXTS):
                try:
                    source = _decode(source)
                except _UNREADABLE:
                    target[at] = self._hasher.octets(bytes(source))
                    continue
            if isinstance(source, dict):
                into: Any = dict.fromkeys(source)
                pairs: Any = source.items()
            elif isinstance(source, _LISTS):
                into = [None] * len(source)
                pairs = enumerate(source)
            else:
                target[at] = self._scalar(source, key)
                continue
            target[at] = into
            is_object = into.__class__ is dict
            for inside, child in pairs:
                inner_key = inside if is_object else key
                if isinstance(child, _INNER_NODES):
                    stack.append((into, inside, child, inner_key))
                else:
                    into[inside] = self._scalar(child, inner_key)
                count += 1
                if count >= SLICE:
                    count = 0
                    yield
        return root[0]

    def _scalar(self, value: Any, key: str) -> Any:
        kind = value.__class__
        plain = self._raw or key in self._exempt
        if kind is str:
            return value if plain and not value.startswith(TOKEN_PREFIXES) else self._hasher.text(value)
        if value is None:
            return None
        if isinstance(value, str) and kind is not _Number:  # a name out of an enumeration
            return self._scalar(str(value), key)
        written = _written(value)
        if self._numbers and not plain:
            return self._hasher.text(written)
        return msgspec.Raw(written.encode())


def _written(value: Any) -> str:
    """A number or boolean as JSON text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | _Number):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")
