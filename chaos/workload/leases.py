"""Leases of certificates: issued, looked up on every node, revoked. What is revoked is never found again.

A lease is named by its marker; its id stays in the memory of this object. The authority is the run's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from chaos.api import NoAnswer, Reply
from chaos.targets.base import MOUNT

from .base import Call, Client, Completion, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin

ALIVE_MIN: Final = 3
ALIVE_MAX: Final = 12
REVOKED_KEPT: Final = 30
TTL: Final = "240h"  # longer than any clock is moved
GONE: Final = (400, 404)
INVALID: Final = "invalid lease"


@dataclass(slots=True)
class _Lease:
    lease_id: str
    revoked: bool = False  # asked for, whatever came of it


class Leases:
    """See Workload."""

    name: ClassVar[str] = "leases"
    about: ClassVar[str] = "leases of certificates issued, looked up on every node and revoked"
    checks: ClassVar[tuple[str, ...]] = ("revocation",)

    def __init__(self) -> None:
        self.mount = MOUNT
        self._pki = ""
        self._leases: dict[str, _Lease] = {}
        self._count = 0

    def prepare(self, admin: Admin, run_id: str) -> None:
        """See Workload: an authority, and a role whose certificates have leases."""
        self._pki = f"pki-{run_id.lower()}"
        admin.must("POST", f"sys/mounts/{self._pki}", {"type": "pki", "config": {"max_lease_ttl": "8760h"}})
        root = {"common_name": "chaos.invalid", "ttl": "8000h", "key_type": "ec", "key_bits": 256}
        admin.must("POST", f"{self._pki}/root/generate/internal", root)
        role = {"allow_any_name": True, "generate_lease": True, "key_type": "ec", "key_bits": 256, "max_ttl": TTL}
        admin.must("POST", f"{self._pki}/roles/app", role)

    def next(self, client: Client) -> Call:
        """See Workload."""
        alive = [name for name, lease in self._leases.items() if not lease.revoked]
        gone = [name for name, lease in self._leases.items() if lease.revoked][-REVOKED_KEPT:]
        draw = client.rng.random()
        if client.role == "writer" and (len(alive) < ALIVE_MIN or (draw < 0.1 and len(alive) < ALIVE_MAX)):
            self._count += 1
            body = {"common_name": f"l{self._count}.chaos.invalid", "ttl": TTL}
            return Call("issue", f"l{self._count}", "lease", "POST", f"{self._pki}/issue/app", body)
        if client.role == "writer" and draw < 0.2 and len(alive) > ALIVE_MIN:
            return self._revoke(client.rng.choice(alive))
        pool = gone if gone and client.rng.random() < 0.5 else alive
        if not pool:
            return Call("other", "", "health", "GET", "sys/health?standbyok=true")
        return self._use(client.rng.choice(pool))

    def _revoke(self, key: str) -> Call:
        self._leases[key].revoked = True
        body = {"lease_id": self._leases[key].lease_id, "sync": True}
        return Call("revoke", key, None, "POST", "sys/leases/revoke", body)

    def _use(self, key: str) -> Call:
        return Call("use", key, None, "POST", "sys/leases/lookup", {"lease_id": self._leases[key].lease_id})

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:  # noqa: ARG002
        """See Workload."""
        outcome, error = outcome_of(reply)
        if call.f == "use":
            if isinstance(reply, NoAnswer):
                return Completion("fail", error=error)
            gone = reply.status in GONE and INVALID in str(reply.body)
            return Completion(
                "ok" if outcome == "ok" else "fail", result=True if outcome == "ok" else None, error=error,
                more={"denied": True, "refused": True} if gone else {},
            )  # fmt: skip
        if call.f == "issue" and outcome == "ok" and isinstance(reply, Reply):
            self._leases[call.key] = _Lease(str(reply.body["lease_id"]))
        return Completion(outcome, error=error)

    def final(self) -> Iterator[Call]:
        """See Workload: every lease once more."""
        for key in list(self._leases)[-2 * REVOKED_KEPT :]:
            yield self._use(key)
