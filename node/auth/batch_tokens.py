"""Batch tokens: everything a token is, sealed into the token itself; nothing of it is stored.

Pure. Where a raw token is looked at, and whether it is valid, is in tokens.py; here is what it carries.
Invariants
  B1  what does not open under this cluster's key for batch tokens, in this generation, is no token
  B2  a batch token ends at an instant it carries, has no uses to count, and is never root, whatever it says of itself
  B3  a token that was made fits into what the edge lets in
Source: Vault concepts, "Tokens: batch tokens"; docs/threat-model.md, keys.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from cluster import DamagedError, Token

from ..policy import builtin
from ..request import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import ValueSealing

PREFIX = "hvb."
BATCH = "batch"
RAW_CHARACTERS_MAX = 4096  # what `limits.token_bytes` is where nobody changed it
_NONCE_BYTES = 12


class _Carried(msgspec.Struct, array_like=True):
    """What stands in the token. New fields go to the end, with a default."""

    format: int
    policies: list[str]
    created_ns: int
    expires_ns: int
    creation_ttl_s: int
    display_name: str
    path: str
    meta: dict[str, str] | None
    entity_id: str
    bound_cidrs: list[str] | None
    parent: bytes | None
    role: str
    no_default_policy: bool = False
    mount_path: str = ""
    mount: bytes = b""


_FORMAT = 1
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Carried).decode


def is_batch(raw_token: str) -> bool:
    """Whether it says of itself that it is one. No other token begins so: a chosen id has no dot."""
    return raw_token.startswith(PREFIX)


def make_batch_token(sealing: ValueSealing, random: Callable[[int], bytes], record: Token) -> str:
    """The raw token that carries the record, which becomes one of type batch. Raises Refusal for what none can be."""
    if builtin.ROOT in record.policies:
        raise Refusal(400, "batch tokens cannot be root tokens")
    if record.num_uses:
        raise refused_field("num_uses")
    if record.period_s:
        raise refused_field("period")
    if not record.expires_ns:
        raise Refusal(400, "batch tokens must have a TTL")
    record.type, record.accessor, record.renewable = BATCH, b"", False
    carried = _Carried(
        _FORMAT, record.policies, record.created_ns, record.expires_ns, record.creation_ttl_s, record.display_name,
        record.path, record.meta, record.entity_id, record.bound_cidrs, record.parent, record.role,
        record.no_default_policy, record.mount_path, record.mount,
    )  # fmt: skip
    sealed = sealing.seal_token(random(_NONCE_BYTES), _encode(carried))
    raw_token = PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
    if len(raw_token) > RAW_CHARACTERS_MAX:
        raise Refusal(400, f"a batch token with all of this would be longer than {RAW_CHARACTERS_MAX} characters")
    return raw_token


def open_batch_token(sealing: ValueSealing, raw_token: str) -> Token | None:
    """The record that the token carries; None: it is none of ours. Whether it is still valid, tokens.py says."""
    text = raw_token[len(PREFIX) :]
    if not raw_token.isascii() or len(raw_token) > RAW_CHARACTERS_MAX:
        return None
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != text:
            return None  # one token has one spelling: its key is a hash of it
        carried = _decode(sealing.open_token(sealed))
    except (binascii.Error, DamagedError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if carried.format != _FORMAT or carried.expires_ns <= 0 or builtin.ROOT in carried.policies:
        return None
    return Token(
        policies=carried.policies, created_ns=carried.created_ns, expires_ns=carried.expires_ns,
        creation_ttl_s=carried.creation_ttl_s, renewable=False, display_name=carried.display_name, path=carried.path,
        meta=carried.meta, entity_id=carried.entity_id, bound_cidrs=carried.bound_cidrs, parent=carried.parent,
        role=carried.role, type=BATCH, no_default_policy=carried.no_default_policy,
        mount_path=carried.mount_path, mount=carried.mount,
    )  # fmt: skip


def refused_field(name: str) -> Refusal:
    """400 for what a batch token cannot have."""
    return Refusal(400, f'batch tokens cannot have "{name}" set')
