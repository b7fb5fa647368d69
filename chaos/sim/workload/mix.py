"""What clients ask next: a draw over secrets and tokens in which requests meet each other.

Pure but for its generator. Few secrets, so that bursts conflict; pairs of a revocation and of writes by what it
revokes; check-and-set by what was last seen; tokens that are revoked already, or whose uses are counted.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from .operations import Asked, Reply, give_write_id
from .seed import FIRST_TOKENS, MARKER, ROOT

if TYPE_CHECKING:
    from random import Random

    from .history import History

SECRETS = 5
TOKENS_MIN, TOKENS_MAX = 4, 12
KINDS = {
    "put": 40, "read": 16, "read metadata": 4, "list": 2, "lookup": 6, "patch": 4, "delete": 5, "delete versions": 4,
    "undelete": 4, "destroy": 3, "metadata": 3, "delete metadata": 2, "create": 9, "renew": 3,
}  # fmt: skip
WRITE_ID_SHARE = 0.95
ROOT_SHARE = 0.4
DEAD_SHARE = 0.06
RACE_SHARE = 0.15
LIMITED_SHARE = 0.15


class Mix:
    """Draws; `learn` tells it what came of them."""

    def __init__(self, rng: Random, history: History) -> None:
        self.rng = rng
        self.history = history
        self.tokens: list[str] = list(FIRST_TOKENS)
        self.limited: deque[str] = deque(maxlen=3)  # of limited uses
        self.dead: deque[str] = deque(maxlen=6)
        self.current = dict.fromkeys(self._names(), 0)  # version last seen
        self._number = 0
        self._kinds = list(KINDS)
        self._weights = list(KINDS.values())

    @staticmethod
    def _names() -> list[str]:
        return [*(f"{MARKER}-k{number}" for number in range(SECRETS)), f"{MARKER}-plain"]

    # ---- draws
    def burst(self, count: int, now_s: float) -> list[Asked]:
        """So many operations that arrive together."""
        draw = self.rng.random()
        if count < 1:
            asked = []
        elif draw < RACE_SHARE and len(self.tokens) > 1:
            asked = self._race()
        elif draw < 0.5 and count > 1:
            name, token = self._name(), self._token()
            asked = [self._operation("put", token, name) for _ in range(count)]
        else:
            asked = [self._operation(self._kind(), self._token(), self._name()) for _ in range(count)]
        if asked and self.limited and self.rng.random() < LIMITED_SHARE:
            asked += self._limited(asked[0].name or self._name())
        for one in asked:
            named = one.kind in {"put", "patch"}  # by its value: found in the log without an id
            if one.is_read or one.token in self.history.uses:
                continue  # counted uses take no write ids
            if not named or self.rng.random() < WRITE_ID_SHARE:
                give_write_id(one, self.rng, now_s)
        return asked

    def plain_write(self, now_s: float) -> Asked:
        """One that root may do whatever else is done."""
        asked = self._operation("put", ROOT, f"{MARKER}-plain")
        asked.cas = None
        asked.body = {"data": asked.body["data"]}
        give_write_id(asked, self.rng, now_s)
        return asked

    def read(self) -> Asked:
        """One read of a secret, by root."""
        return self._operation("read", ROOT, self._name())

    def last_reads(self) -> list[Asked]:
        """Everything."""
        return [self._operation(kind, ROOT, name) for name in self._names() for kind in ("read", "read metadata")]

    def _race(self) -> list[Asked]:
        """A token is revoked while it, and a child of it, write."""
        rng = self.rng
        raw = self.tokens[rng.randrange(len(self.tokens))]
        name = self._name()
        below = [child for child, parent in self.history.parents.items() if parent == raw and child in self.tokens]
        kinds = ["revoke", "revoke", "revoke self", "revoke orphan"]
        kind = kinds[rng.randrange(4)]
        if raw in FIRST_TOKENS and (kind == "revoke self" or len(self.tokens) <= TOKENS_MIN):
            kind = "create"
        token = raw if kind in {"revoke self", "create"} else ROOT
        asked = [self._operation("put", raw, name), self._operation(kind, token, "", target=raw)]
        asked += [self._operation("put", who, name) for who in (*below[:2], raw)]
        return asked[rng.randrange(2) :]

    def _limited(self, name: str) -> list[Asked]:
        """Requests that a token of limited uses pays, more than it can."""
        raw = self.limited[self.rng.randrange(len(self.limited))]
        kinds = self.rng.choices(("put", "read", "lookup", "create"), (4, 3, 2, 1), k=2)
        return [self._operation(kind, raw, name) for kind in kinds]

    def _kind(self) -> str:
        if len(self.tokens) < TOKENS_MIN:
            return "create"
        return self.rng.choices(self._kinds, self._weights)[0]

    def _name(self) -> str:
        return f"{MARKER}-k{self.rng.randrange(SECRETS)}"

    def _token(self) -> str:
        draw = self.rng.random()
        if draw < ROOT_SHARE or not self.tokens:
            return ROOT
        if draw > 1 - DEAD_SHARE and self.dead:
            return self.dead[self.rng.randrange(len(self.dead))]
        return self.tokens[self.rng.randrange(len(self.tokens))]

    # ---- operations
    def _operation(self, kind: str, token: str, name: str, *, target: str = "") -> Asked:
        self._number += 1
        rng = self.rng
        asked = Asked(self._number, kind, token)
        if kind in {"put", "patch"}:
            asked.name = name
            asked.body = {"data": {"v": asked.value}}
            draw = rng.random()
            if draw < 0.35:
                asked.cas = self.current[name] if draw < 0.3 else 0
                asked.body["options"] = {"cas": asked.cas}
        elif kind in {"read", "read metadata", "delete", "delete metadata", "metadata"}:
            asked.name = name
            if kind == "read" and rng.random() < 0.3:
                asked.versions = (max(1, self.current[name] - rng.randrange(3)),)
            elif kind == "metadata":
                asked.body = {"max_versions": rng.choice((0, 2, 4)), "cas_required": rng.random() < 0.15}
        elif kind in {"delete versions", "undelete", "destroy"}:
            asked.name = name
            asked.versions = tuple(sorted({max(1, self.current[name] - rng.randrange(4)) for _ in range(2)}))
            asked.body = {"versions": list(asked.versions)}
        elif kind in {"revoke", "revoke orphan"}:
            asked.target = target
            asked.body = {"token": target}
        elif kind == "revoke self":
            asked.target = token
        elif kind == "create":
            self._create(asked)
        return asked

    def _create(self, asked: Asked) -> None:
        rng = self.rng
        body: dict[str, Any] = asked.body
        if asked.token == ROOT:
            body["policies"] = ["app" if rng.random() < 0.8 else "reader"]
            if rng.random() < 0.25:
                body["num_uses"] = rng.randrange(1, 4)
            elif rng.random() < 0.6:
                asked.target = body["id"] = f"{MARKER}-t{asked.number}"
        if rng.random() < 0.3:
            body["ttl"] = rng.choice(("2s", "5s"))

    # ---- what came of them
    def learn(self, asked: Asked, reply: Reply) -> None:
        """Clients know what they were answered."""
        if asked.kind in {"put", "patch"} and asked.outcome == "done":
            self.current[asked.name] = asked.seen if isinstance(asked.seen, int) else self.current[asked.name]
        elif asked.kind == "read metadata" and isinstance(asked.seen, int):
            self.current[asked.name] = asked.seen
        elif asked.kind == "delete metadata" and asked.outcome == "done":
            self.current[asked.name] = 0
        elif asked.kind == "create" and asked.outcome == "done":
            self._made(asked, reply)
        elif asked.kind.startswith("revoke") and asked.outcome == "done":
            self._gone(asked.target)
        elif reply.status == 403 and asked.kind in {"lookup", "renew"}:
            self._gone(asked.token)

    def _made(self, asked: Asked, reply: Reply) -> None:
        raw = (reply.body.get("auth") or {}).get("client_token") or asked.target
        if not raw:
            return
        if "num_uses" in asked.body:
            self.history.uses[raw] = asked.body["num_uses"]
            self.limited.append(raw)
            return
        self.history.made(raw, asked.token)
        self.tokens.append(raw)
        if len(self.tokens) > TOKENS_MAX:
            self.tokens.pop(0)

    def _gone(self, raw: str) -> None:
        if raw in self.tokens:
            self.tokens.remove(raw)
            self.dead.append(raw)
