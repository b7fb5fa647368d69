"""Tokens, their children and leases, with revocation: what is revoked is never good again, what is not stays good.

A marker stands for each token; the token itself stays in the memory of this object and is in no history. Any client
uses any token, at its own node, so that a node that has not heard of a revocation would be found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import NoAnswer, Reply
from chaos.targets.base import MOUNT

from . import MARK
from .base import Call, Client, Completion, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin

ALIVE_MIN: Final = 4
ALIVE_MAX: Final = 24
TTL: Final = "240h"  # longer than any clock is moved
FORBIDDEN: Final = 403
REVOKED_KEPT: Final = 40  # those are used again and again
KINDS: Final = ("lookup", "read")  # of a use: what the token store itself knows, and what a node grants by it


@dataclass(slots=True)
class _Token:
    secret: str
    parent: str
    revoked: bool = False  # asked for, whatever came of it


class Tokens:
    """See Workload."""

    name: ClassVar[str] = "tokens"
    about: ClassVar[str] = "tokens and child tokens made, used on every node and revoked"
    checks: ClassVar[tuple[str, ...]] = ("revocation",)

    def __init__(self) -> None:
        self.mount = MOUNT
        self._tokens: dict[str, _Token] = {}
        self._count = 0
        self._policy = ""
        self._path = ""

    def prepare(self, admin: Admin, run_id: str) -> None:
        """See Workload: a secret, and a policy by which tokens read it and make children."""
        self._policy = f"chaos-{run_id.lower()}"
        self._path = f"{self.mount}/data/{run_id}/tokens"
        rules = (
            f'path "auth/token/create" {{ capabilities = ["update"] }}\n'
            f'path "{self._path}" {{ capabilities = ["read"] }}\n'
        )
        admin.must("PUT", f"sys/policies/acl/{self._policy}", {"policy": rules})
        admin.must("POST", self._path, {"data": {"value": f"{MARK}-tokens"}})

    def next(self, client: Client) -> Call:
        """See Workload."""
        alive = [name for name, token in self._tokens.items() if not token.revoked]
        gone = [name for name, token in self._tokens.items() if token.revoked][-REVOKED_KEPT:]
        draw = client.rng.random()
        if client.role == "writer" and (len(alive) < ALIVE_MIN or (draw < 0.2 and len(alive) < ALIVE_MAX)):
            return self._create(client, alive)
        if client.role == "writer" and draw < 0.35 and len(alive) > ALIVE_MIN:
            return self._revoke(client.rng.choice(alive))
        pool = gone if gone and client.rng.random() < 0.5 else alive
        if not pool:
            return Call("other", "", "health", "GET", "sys/health?standbyok=true")
        return self._use(client.rng.choice(pool), client.rng.choice(KINDS))

    def _use(self, key: str, kind: str) -> Call:
        path = self._path if kind == "read" else "auth/token/lookup-self"
        return Call("use", key, None, "GET", path, token=self._tokens[key].secret, more={"kind": kind})

    def _create(self, client: Client, alive: list[str]) -> Call:
        self._count += 1
        key = f"t{self._count}"
        body = {"policies": [self._policy, "default"], "ttl": TTL}
        if alive and client.rng.random() < 0.4:
            parent = client.rng.choice(alive)
            secret = self._tokens[parent].secret
            return Call("issue", key, "token", "POST", "auth/token/create", body, secret, more={"parent": parent})
        return Call("issue", key, "token", "POST", "auth/token/create", body)

    def _revoke(self, key: str) -> Call:
        self._mark(key)
        body = {"token": self._tokens[key].secret}
        return Call("revoke", key, None, "POST", "auth/token/revoke", body, more={"tree": True})

    def _mark(self, key: str) -> None:
        self._tokens[key].revoked = True
        for name, token in self._tokens.items():
            if token.parent == key and not token.revoked:
                self._mark(name)

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:  # noqa: ARG002
        """See Workload."""
        if call.f == "use":
            return judged_use(reply)
        outcome, error = outcome_of(reply)
        if call.f == "issue" and outcome == "ok" and isinstance(reply, Reply):
            parent = str(call.more.get("parent", ""))
            token = _Token(str(reply.body["auth"]["client_token"]), parent)
            token.revoked = parent in self._tokens and self._tokens[parent].revoked
            self._tokens[call.key] = token
        return Completion(outcome, error=error)

    def final(self) -> Iterator[Call]:
        """See Workload: every token that was revoked, and those that were not."""
        for key in list(self._tokens)[-2 * REVOKED_KEPT :]:
            for kind in KINDS:
                yield self._use(key, kind)


def judged_use(reply: Reply | NoAnswer) -> Completion:
    """200 is good; 403 is no longer good; anything else says nothing of it."""
    if isinstance(reply, NoAnswer):
        return Completion("fail", error=reply.why)
    if reply.status < 300:
        return Completion("ok", result=True)
    more: dict[str, Any] = {"denied": True, "refused": True} if reply.status == FORBIDDEN else {}
    return Completion("fail", error=str(reply.status), more=more)
