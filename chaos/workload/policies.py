"""Policies that flip between allow and deny, and requests under them on every node: a policy is a register, too.

Finds decisions that were kept beyond a change (a cache without its epoch), on the node that made the change and on all
others. Invariant: before the first flip each policy denies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from chaos.api import NoAnswer, Reply
from chaos.targets.base import MOUNT

from . import MARK
from .base import Call, Client, Completion, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin

POLICIES: Final = 2
FLIP_SHARE: Final = 0.15
FORBIDDEN: Final = 403
CAPABILITIES: Final = {"allow": "read", "deny": "deny"}


class Policies:
    """See Workload."""

    name: ClassVar[str] = "policies"
    about: ClassVar[str] = "policies that flip, and requests under them on every node"
    checks: ClassVar[tuple[str, ...]] = ("policies", "wgl")

    def __init__(self) -> None:
        self.mount = MOUNT
        self._tokens: dict[str, str] = {}
        self._path = ""

    def prepare(self, admin: Admin, run_id: str) -> None:
        """See Workload: each policy denies, and has a token."""
        self._path = f"{run_id}/policies"
        admin.must("POST", f"{self.mount}/data/{self._path}", {"data": {"value": f"{MARK}-policies"}})
        for number in range(POLICIES):
            key = f"flip-{run_id.lower()}-{number}"
            admin.must("PUT", f"sys/policies/acl/{key}", self._body("deny"))
            body = {"policies": [key], "ttl": "24h", "no_default_policy": True}
            self._tokens[key] = str(admin.must("POST", "auth/token/create", body).body["auth"]["client_token"])

    def _body(self, what: str) -> dict[str, str]:
        return {"policy": f'path "{self.mount}/data/{self._path}" {{ capabilities = ["{CAPABILITIES[what]}"] }}'}

    def next(self, client: Client) -> Call:
        """See Workload."""
        key = client.rng.choice(sorted(self._tokens))
        if client.role == "writer" and client.rng.random() < FLIP_SHARE:
            what = client.rng.choice(sorted(CAPABILITIES))
            return Call("flip", key, what, "POST", f"sys/policies/acl/{key}", self._body(what))
        return self._try(key)

    def _try(self, key: str) -> Call:
        return Call("try", key, None, "GET", f"{self.mount}/data/{self._path}", token=self._tokens[key])

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:  # noqa: ARG002
        """See Workload."""
        if call.f == "flip":
            outcome, error = outcome_of(reply)
            return Completion(outcome, error=error)
        if isinstance(reply, NoAnswer):
            return Completion("fail", error=reply.why)
        if reply.status == 200:
            return Completion("ok", "allow")
        if reply.status == FORBIDDEN:
            return Completion("ok", "deny")
        return Completion("fail", error=str(reply.status))

    def final(self) -> Iterator[Call]:
        """See Workload."""
        for key in self._tokens:
            yield self._try(key)
