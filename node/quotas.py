"""Rate limits at work: which quota speaks of a request, and whether there is something left of it.

A shell without a wait: it reads the state of its node and a clock. Each node counts the requests that its own clients
send it; what is forwarded was counted where it came. Nobody has looked yet who asks.
Invariants
  L1  without a quota nothing is done: `active` is False, and requests take their shortest ways
  L2  one quota speaks of a request: that of its endpoint, else the one with the longest beginning of its path
  L3  memory is bounded: BUCKETS_MAX of each quota; whoever asked longest ago is forgotten, and begins anew, but nobody
      who is blocked as long as there is anybody else
  L4  no raw token is kept: a bucket of a token has its keyed hash, and only tokens that exist have one
  L5  what looks after quotas is never limited, or a quota of everything could not be removed
Source: Vault, "Resource quotas"; docs/api.md.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluster import DamagedError, Table

from .engines.system.quotas import (
    BLOCK_S_MAX,
    FOLDER,
    INTERVAL_S_MAX,
    QuotaConfig,
    RateLimit,
    all_limits,
    config_of,
)
from .request import Refusal
from .system_settings import stores_under, system_context

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster import Member

    from .request import RawRequest

log = logging.getLogger("strongroom.quotas")

BUCKETS_MAX = 10_000
ALWAYS_FREE = "sys/quotas/"
CLIENT_PREFIX_BITS = 64  # of an IPv6 address: whoever has one has all that begin alike
CLIENTS_CACHED_MAX = 4_096


@dataclass(slots=True)
class Bucket:
    """What one of the group has left. Times are seconds of the clock that never goes back."""

    left: float
    at_s: float
    blocked_until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the quota says of one request. `refusal`: it may not go on; `audited`: that is for the audit devices."""

    refusal: Refusal | None
    audited: bool
    headers: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Limit:
    """A quota and the buckets of its group, the one used last at the end; `blocked`: those blocked, the newest last."""

    name: str
    quota: RateLimit
    buckets: OrderedDict[str | bytes, Bucket] = field(default_factory=OrderedDict)
    blocked: OrderedDict[str | bytes, Bucket] = field(default_factory=OrderedDict)

    @property
    def burst(self) -> float:
        """What a new bucket holds."""
        return max(1.0, self.quota.rate)

    def take(self, key: str | bytes, now_s: float) -> tuple[float, float]:
        """(what is left, seconds until there is something): the second is 0.0 where the request may go on."""
        quota = self.quota
        bucket = self._bucket(key, now_s)
        if now_s < bucket.blocked_until_s:
            return 0.0, bucket.blocked_until_s - now_s
        # Bounded here, too: what is stored may be older than the rule (Q1), and no rate may make a wait endless.
        a_second = max(quota.rate / quota.interval_s, 1.0 / INTERVAL_S_MAX)
        bucket.left = min(self.burst, bucket.left + (now_s - bucket.at_s) * a_second)
        bucket.at_s = now_s
        if bucket.left >= 1.0:
            bucket.left -= 1.0
            return bucket.left, 0.0
        if quota.block_s:
            block_s = float(min(quota.block_s, BLOCK_S_MAX))
            bucket.blocked_until_s = now_s + block_s
            self.blocked[key] = self.buckets.pop(key)
            return 0.0, block_s
        return bucket.left, (1.0 - bucket.left) / a_second

    def _bucket(self, key: str | bytes, now_s: float) -> Bucket:
        """The one of this key, a new one if there is none."""
        bucket = self.blocked.get(key)
        if bucket is not None:
            if now_s >= bucket.blocked_until_s:
                self.buckets[key] = self.blocked.pop(key)
            return bucket
        bucket = self.buckets.get(key)
        if bucket is None:
            self._make_room(now_s)
            bucket = self.buckets[key] = Bucket(self.burst, now_s)
        else:
            self.buckets.move_to_end(key)
        return bucket

    def _make_room(self, now_s: float) -> None:
        """There is room for one more bucket (L3)."""
        if len(self.buckets) + len(self.blocked) < BUCKETS_MAX:
            return
        longest = next(iter(self.blocked.values()), None)
        is_over = longest is not None and longest.blocked_until_s <= now_s
        (self.blocked if is_over or not self.buckets else self.buckets).popitem(last=False)


class Quotas:
    """The quotas of one node. `active` is False while there is none."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._stale = False
        self._config = QuotaConfig()
        self._endpoints: dict[str, Limit] = {}
        self._beginnings: list[tuple[str, Limit]] = []  # longest first
        self.active = False

    # ---- following the state
    def changed(self, _index: int, transaction: Any) -> None:
        """A listener of the state."""
        if stores_under(transaction, FOLDER):
            self.forget()

    def forget(self) -> None:
        """The quotas may be others: they are read with the next request."""
        self._stale = self.active = True

    def closed(self) -> None:
        """The node is sealed: there is nothing to read, and nothing is limited."""
        self._stale = self.active = False
        self._set([], QuotaConfig())

    def _load(self) -> None:
        member = self._member
        if member.replica is None or member.values is None:
            return  # tried again with the next request
        context = system_context(member.view, member.values)
        quotas: list[tuple[str, RateLimit]] = []
        config = QuotaConfig()
        try:
            if context is not None:
                quotas = [(name, found.value) for name, found in all_limits(context)]
                config = config_of(context)
        except DamagedError:
            log.error("the quotas cannot be read: nothing is limited")  # noqa: TRY400 - the sentence says it all
        self._stale = False
        self._set(quotas, config)

    def _set(self, quotas: Iterable[tuple[str, RateLimit]], config: QuotaConfig) -> None:
        """The quotas are these; one that did not change keeps what it has counted."""
        before = {limit.name: limit for limit in (*self._endpoints.values(), *(one for _, one in self._beginnings))}
        self._config = config
        self._endpoints, self._beginnings = {}, []
        for name, quota in quotas:
            known = before.get(name)
            limit = known if known is not None and known.quota == quota else Limit(name, quota)
            path = quota.path
            if path and not path.endswith(("/", "*")):
                self._endpoints[path] = limit
            else:
                self._beginnings.append((path.removesuffix("*"), limit))
        self._beginnings.sort(key=lambda pair: -len(pair[0]))
        self.active = bool(self._endpoints or self._beginnings) or self._stale

    # ---- requests
    def judge(self, request: RawRequest) -> Verdict | None:
        """What the quota of the request's path says, and the request is counted; None: there is none."""
        if self._stale:
            self._load()
        path = request.path
        if path.startswith("/") or self._is_exempt(path):
            return None
        limit = self._limit_of(path)
        if limit is None:
            return None
        left, wait_s = limit.take(self._key(limit.quota, request), self._member.clock.boot())
        refusal = None
        after_s = max(1, math.ceil(wait_s))
        if wait_s > 0:
            text = f'request path "{path}": rate limit quota exceeded'
            refusal = Refusal(429, text, retry_after_s=after_s)
        headers: tuple[tuple[str, str], ...] = ()
        if self._config.shown:
            reset_s = after_s if refusal is not None else max(1, math.ceil(limit.quota.interval_s))
            headers = (
                ("X-Ratelimit-Limit", f"{limit.quota.rate:g}"),
                ("X-Ratelimit-Remaining", str(int(left))),
                ("X-Ratelimit-Reset", str(reset_s)),
            )
        return Verdict(refusal, self._config.audited, headers)

    def _is_exempt(self, path: str) -> bool:
        return path.startswith(ALWAYS_FREE) or any(
            path.startswith(exempt[:-1]) if exempt.endswith("*") else path == exempt
            for exempt in self._config.exempt_paths
        )

    def _limit_of(self, path: str) -> Limit | None:
        found = self._endpoints.get(path)
        if found is not None:
            return found
        for beginning, limit in self._beginnings:
            if path.startswith(beginning) or (beginning.endswith("/") and path == beginning[:-1]):
                return limit
        return None

    def _key(self, quota: RateLimit, request: RawRequest) -> str | bytes:
        """Whose allowance it is. A token that is none is counted by its address, or everybody could have new ones."""
        member = self._member
        if quota.group_by == "none":
            return ""
        if quota.group_by == "token" and request.token and request.token.isascii() and member.values is not None:
            key = member.values.token_hash(request.token)
            if member.view.get(Table.TOKEN, key) is not None:
                return key
        return client_of(request.remote_address)


@functools.lru_cache(maxsize=CLIENTS_CACHED_MAX)
def client_of(address: str) -> str:
    """Whose requests those of the address are: an IPv6 network of CLIENT_PREFIX_BITS, and an IPv4 address itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), CLIENT_PREFIX_BITS), strict=False))
