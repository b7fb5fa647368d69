"""What must be answered to an operation on the state at an index: a second, small telling of the product's rules.

Pure, over facts.py. It knows what the workload uses and nothing more. Times are the only thing it cannot know exactly:
a token near its end may be found either way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.state import records

    from .facts import Facts
    from .operations import Asked

DEPTH_MAX = 128
SLACK_NS = 600_000_000  # how far a node's idea of the cluster's time may be off an entry's, in a run of some seconds


class Expected(NamedTuple):
    """Statuses that may be answered; `seen` what must be found with the first of them."""

    statuses: tuple[int, ...]
    seen: object = None


class Model:
    """`hash_of` is the key of a raw token; `uuid` that of the mount."""

    def __init__(self, facts: Facts, hash_of: Callable[[str], bytes], uuid: bytes) -> None:
        self.facts = facts
        self.hash_of = hash_of
        self.uuid = uuid

    def key(self, name: str) -> bytes:
        """Of a secret."""
        return self.uuid + name.encode()

    # ---- tokens
    def token_states(self, raw: str, index: int, newest_ns: int) -> tuple[bool, ...]:
        """Whether the token may be found valid, and may be found invalid; `newest_ns` is when it was judged at most."""
        now_ns = self.facts.times_ns.at(index) or 0
        record = self.facts.token(self.hash_of(raw), index)
        unsure = False
        for _ in range(DEPTH_MAX):
            if record is None or record.type != "service":
                return (False,)
            if record.expires_ns:
                if record.expires_ns <= now_ns:
                    return (False,)
                unsure |= record.expires_ns <= newest_ns + SLACK_NS
            if record.parent is None:
                return (True, False) if unsure else (True,)
            record = self.facts.token(record.parent, index)
        return (False,)

    def _may(self, asked: Asked, record: records.Token) -> bool:
        if "root" in record.policies:
            return True
        if asked.kind in {"lookup", "renew", "revoke self"}:
            return True
        if asked.kind in {"revoke", "revoke orphan"}:
            return False
        if "app" in record.policies:
            return True
        return asked.is_read or asked.kind == "create"

    # ---- requests
    def expected(self, asked: Asked, index: int, newest_ns: int) -> Expected:
        """What the state at `index` makes of it."""
        valid = self.token_states(asked.token, index, newest_ns)
        if True not in valid:
            return Expected((403,))
        record = self.facts.token(self.hash_of(asked.token), index)
        assert record is not None
        if not self._may(asked, record):
            return Expected((403,))
        answer = self._decided(asked, record, index, newest_ns)
        return Expected((*answer.statuses, 403), answer.seen) if False in valid else answer

    def _decided(self, asked: Asked, record: records.Token, index: int, newest_ns: int) -> Expected:
        if asked.name:
            return self._secret(asked, self.facts.secret(self.key(asked.name), index), index)
        if asked.kind == "list":
            return self._list(index)
        if asked.kind == "renew":
            return Expected((200,)) if record.expires_ns else Expected((400,))
        if asked.kind == "revoke orphan":
            known = self.token_states(asked.target, index, newest_ns)
            return Expected(tuple(204 if valid else 400 for valid in known))
        if asked.kind == "create":
            if record.num_uses:
                return Expected((400,))
            taken = asked.target and self.facts.token(self.hash_of(asked.target), index) is not None
            return Expected((400,)) if taken else Expected((200,))
        return Expected((200,) if asked.kind == "lookup" else (204,))

    def _list(self, index: int) -> Expected:
        names = [key[len(self.uuid) :].decode() for key, kept in self.facts.secrets.items() if kept.at(index)]
        return Expected((200,), sorted(names)) if names else Expected((404,))

    def _secret(self, asked: Asked, secret: records.Secret | None, index: int) -> Expected:
        kind = asked.kind
        current = 0 if secret is None else secret.current
        if kind == "put":
            return Expected((400,)) if _mismatch(asked, secret) else Expected((200,), current + 1)
        if kind == "read":
            return self._read(asked, secret, asked.versions[0] if asked.versions else current, index)
        if kind == "read metadata":
            return Expected((404,)) if secret is None else Expected((200,), current)
        if kind == "patch":
            if secret is None:
                return Expected((404,))
            if _mismatch(asked, secret):
                return Expected((400,))
            found = self._read(asked, secret, current, index)
            return Expected((200,), current + 1) if found.statuses == (200,) else Expected((404,))
        return Expected((204,))

    def _read(self, asked: Asked, secret: records.Secret | None, number: int, index: int) -> Expected:
        if secret is None or not max(secret.oldest, 1) <= number <= secret.current:
            return Expected((404,))
        if number in (secret.gone or {}):
            return Expected((404,))
        written = self.facts.version(self.key(asked.name), number, index)
        return Expected((200,), (number, 0 if written is None else written.operation))


def _mismatch(asked: Asked, secret: records.Secret | None) -> bool:
    if asked.cas is None:
        return secret is not None and secret.cas_required
    return asked.cas != (0 if secret is None else secret.current)

