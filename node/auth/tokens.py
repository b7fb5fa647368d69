"""What a token is, and when it is valid: service tokens, which are stored, and batch tokens, which are not.

Pure. A token is looked up by its keyed hash; the raw one lives in the request only. A batch token carries its record.
Invariants
  T1  a token is valid only while it and every ancestor exists and has not expired by the cluster's stamp
  T2  a token whose uses are spent, or whose stored kind is not "service", is valid for nobody
  T3  no path of ancestors is longer than DEPTH_MAX, so a check is bounded
  T4  a token that is bound to networks is valid only from inside one of them
  T5  a login's token is valid only while the mount that made it stands where it stood, and has not been moved since:
      disabling or moving an auth method ends all its tokens, and those below them, with one fact and for ever
  T6  a batch token is valid only until the end it carries, while its parent is valid (a later token of the same chosen
      id is another), and if it was made after the fact that makes older ones void; asked on every request, and nothing
      of it is remembered
Source: Vault API, "Token auth method"; Vault concepts, "Tokens: hierarchies and orphans".
"""

from __future__ import annotations

import ipaddress
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cluster import (
    BATCH_TOKENS_VOID,
    Accessor,
    Draft,
    Fact,
    Mount,
    Record,
    Table,
    Token,
    ValueSealing,
    View,
    look,
    records,
)

from ..engines.base import Caller
from .batch_tokens import BATCH, is_batch, open_batch_token

if TYPE_CHECKING:
    from collections.abc import Callable

NS = 1_000_000_000
PREFIX = "hvs."
ROOT_PATH = "auth/token/root"  # of a root token that init or generate-root made
SECRET_CHARACTERS = 24  # base 62: 142 bits
DEPTH_MAX = 128
CACHED_MAX = 10_000
ORPHANER = "orphaner"  # type of what is left of a token that was revoked without its many children
_RAW_CHARACTERS_MAX = 512
_MOUNTS_MAX = 1_024
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


@dataclass(slots=True)
class TokenView:
    """A token as found: its key, the index it was written at, its record. Of a batch token the index is 0."""

    key: bytes
    index: int
    record: Token

    def __repr__(self) -> str:
        return f"<TokenView index={self.index}>"

    @property
    def is_root(self) -> bool:
        """Whether it may do everything."""
        return "root" in self.record.policies

    @property
    def is_batch(self) -> bool:
        """Whether it is stored nowhere."""
        return self.record.type == BATCH

    def ttl_s(self, now_ns: int) -> int:
        """Whole seconds it still lives; 0 = for ever."""
        return max(self.record.expires_ns - now_ns, 0) // NS if self.record.expires_ns else 0


def new_raw_token(random: Callable[[int], bytes]) -> str:
    """A fresh token: `hvs.` and 24 characters."""
    return PREFIX + new_secret(random)


def new_secret(random: Callable[[int], bytes]) -> str:
    """24 fresh characters of base 62 (an accessor has no prefix). 256 bits go in, so none is likelier by 2^-113."""
    number = int.from_bytes(random(32), "big")
    characters = []
    for _ in range(SECRET_CHARACTERS):
        number, digit = divmod(number, 62)
        characters.append(_BASE62[digit])
    return "".join(characters)


TokenCache = dict[bytes, tuple[bytes, Token]]
"""Key → (record, decoded): good for exactly those bytes. An index would not do: a proposal that never committed and the
entry that took its place have the same one. Holds no raw token."""


def authenticate(
    view: View,
    sealing: ValueSealing,
    raw_token: str | None,
    now_ns: int,
    remote_address: str,
    cache: TokenCache | None = None,
) -> TokenView | None:
    """The valid token behind a raw one, or None; `now_ns` is the cluster's stamp, never a node's wall clock."""
    token = find_raw(view, sealing, raw_token, now_ns, cache)
    if token is None:
        return None
    cidrs = token.record.bound_cidrs
    return token if not cidrs or _may_come_from(cidrs, remote_address) else None


def find_raw(
    view: View, sealing: ValueSealing, raw_token: str | None, now_ns: int, cache: TokenCache | None = None
) -> TokenView | None:
    """As `authenticate`, wherever it would come from: for looking at other people's tokens."""
    if not raw_token or not raw_token.isascii():
        return None
    if is_batch(raw_token):
        return _find_batch(view, sealing, raw_token, now_ns, cache)
    if len(raw_token) > _RAW_CHARACTERS_MAX:
        return None
    return find_valid(view, sealing.token_hash(raw_token), now_ns, cache=cache)


def find_valid(
    view: View, key: bytes | None, now_ns: int, *, spent: bool = False, cache: TokenCache | None = None
) -> TokenView | None:
    """The valid token under a key, or None. `spent`: also the one whose last use pays for this very request."""
    found = None if key is None else _look(view, key, cache)
    if found is None or key is None:
        return None
    index, record = found
    if record.type != "service" or _is_expired(record, now_ns) or (record.num_uses < 0 and not spent):
        return None
    if not _mount_stands(view, record):
        return None
    return TokenView(key, index, record) if _ancestors_live(view, record, now_ns, cache) else None


def _find_batch(
    view: View, sealing: ValueSealing, raw_token: str, now_ns: int, cache: TokenCache | None
) -> TokenView | None:
    record = open_batch_token(sealing, raw_token)
    if record is None or _is_expired(record, now_ns) or not _mount_stands(view, record):
        return None
    void = look(view, Table.FACT, Fact, BATCH_TOKENS_VOID)
    if void is not None and record.created_ns <= void[1].time_ns:
        return None
    if record.parent is not None:
        parent = find_valid(view, record.parent, now_ns, cache=cache)
        if parent is None or parent.record.created_ns > record.created_ns:  # younger: it is another one of the same id
            return None
    return TokenView(sealing.token_hash(raw_token), 0, record)


def _look(view: View, key: bytes, cache: TokenCache | None) -> tuple[int, Token] | None:
    if cache is None:
        return look(view, Table.TOKEN, Token, key)
    found = view.get(Table.TOKEN, key)
    if found is None:
        return None
    known = cache.get(key)
    if known is None or known[0] != found[1]:
        if len(cache) >= CACHED_MAX:
            cache.clear()
        known = cache[key] = (found[1], records.decode(Token, found[1]))
    return found[0], known[1]


def find_by_accessor(view: View, accessor: str, now_ns: int) -> TokenView | None:
    """The valid token of an accessor, or None."""
    found = look(view, Table.ACCESSOR, Accessor, accessor.encode()) if accessor.isascii() else None
    return None if found is None else find_valid(view, found[1].token, now_ns)


def depth(view: View, record: Token) -> int:
    """How many living ancestors the token has; counts no further than DEPTH_MAX."""
    count = 0
    parent = parent_of(view, record)
    while parent is not None and count < DEPTH_MAX:
        count += 1
        parent = parent_of(view, parent)
    return count


def parent_of(view: View, record: Token) -> Token | None:
    """The parent's record; None for an orphan, and where the parent is gone."""
    if record.parent is None:
        return None
    found = look(view, Table.TOKEN, Token, record.parent)
    return None if found is None or found[1].type == ORPHANER else found[1]


def is_orphan(view: View, record: Token) -> bool:
    """Whether the token has no parent (any more)."""
    return parent_of(view, record) is None


def put_token(draft: Draft, sealing: ValueSealing, key: bytes, record: Token, *, fresh: bool) -> None:
    """A token and its accessor are created by the draft.

    `fresh`: the key comes from our own randomness, so the facts touch nothing but themselves; a token id that a
    client chose may have been asked for before, and touches everything.
    """
    draft.expect(Table.TOKEN, key, 0)
    draft.expect(Table.ACCESSOR, record.accessor, 0)
    draft.put(Table.TOKEN, key, record)
    draft.put(Table.ACCESSOR, record.accessor, Accessor(token=key))
    draft.hashes = (sealing.path_hash(key), sealing.path_hash(record.accessor)) if fresh else ()


def root_token_records(
    raw_token: str, sealing: ValueSealing, now_ns: int, random: Callable[[int], bytes]
) -> list[tuple[Table, bytes, Record]]:
    """The facts of a root token that never expires, as init and generate-root make it."""
    key, accessor = sealing.token_hash(raw_token), new_secret(random).encode()
    record = Token(
        accessor=accessor,
        policies=["root"],
        created_ns=now_ns,
        renewable=False,
        display_name="root",
        path=ROOT_PATH,
    )
    return [(Table.TOKEN, key, record), (Table.ACCESSOR, accessor, Accessor(token=key))]


def caller_of(token: TokenView, now_ns: int, *, has_sudo: bool = False) -> Caller:
    """The token as engines see whoever asks."""
    record = token.record
    return Caller(
        token_key=token.key,
        accessor=record.accessor.decode(),
        display_name=record.display_name,
        policies=tuple(record.policies),
        is_root=token.is_root,
        has_sudo=has_sudo or token.is_root,
        ttl_s=token.ttl_s(now_ns),
        num_uses=record.num_uses,
        entity_id=record.entity_id,
        type=record.type,
        meta=record.meta,
    )


def _is_expired(record: Token, now_ns: int) -> bool:
    return 0 < record.expires_ns <= now_ns


def _ancestors_live(view: View, record: Token, now_ns: int, cache: TokenCache | None) -> bool:
    for _ in range(DEPTH_MAX + 1):
        if record.parent is None:
            return True
        found = _look(view, record.parent, cache)
        if found is None:
            return False
        record = found[1]
        if record.type == ORPHANER:
            return True
        if record.type != "service" or _is_expired(record, now_ns) or not _mount_stands(view, record):
            return False
    return False


def _mount_stands(view: View, record: Token) -> bool:
    """T5."""
    if not record.mount:
        return True
    found = view.get(Table.MOUNT, record.mount_path.encode())
    if found is None:
        return False
    uuid, void_ns = _tokens_of(found[1])
    return uuid == record.mount and (not void_ns or record.created_ns > void_ns)


@lru_cache(maxsize=_MOUNTS_MAX)
def _tokens_of(mount: bytes) -> tuple[bytes, int]:
    """(uuid, time in ns until which tokens are void; 0: never)."""
    decoded = records.decode(Mount, mount)
    return decoded.uuid, decoded.tokens_void_ns


def _may_come_from(bound_cidrs: list[str], remote_address: str) -> bool:
    """What cannot be read on either side is outside."""
    try:
        address = ipaddress.ip_address(remote_address)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in ipaddress.ip_network(cidr, strict=False) for cidr in bound_cidrs)
    except ValueError:
        return False
