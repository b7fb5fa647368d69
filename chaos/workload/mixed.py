"""Load as production has it: logins, far more reads than writes, encryption, lists. Only outcomes are judged.

For rates, audit, plaintext and bounded unavailability with many kinds of requests at once; the other workloads judge
what is answered.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, ClassVar, Final

from chaos.targets.base import MOUNT

from . import MARK
from .base import Call, Client, Completion, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin, NoAnswer, Reply

SECRETS: Final = 40
POLICY: Final = 'path "%s/data/*" { capabilities = ["read"] }'


class Mixed:
    """See Workload."""

    name: ClassVar[str] = "mixed"
    about: ClassVar[str] = "logins, reads, writes, transit and lists in the shares of production"
    checks: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.mount = MOUNT
        self._folder = ""
        self._approle = ""
        self._transit = ""
        self._login: dict[str, str] = {}
        self._count = 0

    def prepare(self, admin: Admin, run_id: str) -> None:
        """See Workload: AppRole and transit of the run's own."""
        own = run_id.lower()
        self._folder, self._approle, self._transit = f"{run_id}/mixed", f"approle-{own}", f"transit-{own}"
        admin.must("PUT", f"sys/policies/acl/mixed-{own}", {"policy": POLICY % self.mount})
        admin.must("POST", f"sys/auth/{self._approle}", {"type": "approle"})
        role = f"auth/{self._approle}/role/app"
        admin.must("POST", role, {"token_policies": [f"mixed-{own}"], "token_ttl": "1h"})
        role_id = admin.must("GET", f"{role}/role-id").data["role_id"]
        secret_id = admin.must("POST", f"{role}/secret-id", {}).data["secret_id"]
        self._login = {"role_id": role_id, "secret_id": secret_id}
        admin.must("POST", f"sys/mounts/{self._transit}", {"type": "transit"})
        admin.must("POST", f"{self._transit}/keys/key", {})
        for number in range(SECRETS):
            body = {"data": {"value": f"{MARK}-mixed-{number}"}}
            admin.must("POST", f"{self.mount}/data/{self._folder}/{number}", body)

    def next(self, client: Client) -> Call:
        """See Workload."""
        draw = client.rng.random()
        path = f"{self._folder}/{client.rng.randrange(SECRETS)}"
        if client.role == "reader" or draw < 0.6:
            return Call("other", "kv-read", None, "GET", f"{self.mount}/data/{path}")
        self._count += 1
        if draw < 0.75:
            body = {"data": {"value": f"{MARK}-mixed-{client.process}-{self._count}"}}
            return Call("other", "kv-write", None, "POST", f"{self.mount}/data/{path}", body)
        if draw < 0.85:
            return Call("login", "app", None, "POST", f"auth/{self._approle}/login", self._login, token="")
        if draw < 0.95:
            text = base64.b64encode(f"{MARK}-{self._count}".encode()).decode()
            return Call("other", "encrypt", None, "POST", f"{self._transit}/encrypt/key", {"plaintext": text})
        return Call("other", "list", None, "LIST", f"{self.mount}/metadata/{self._folder}")

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:  # noqa: ARG002
        """See Workload."""
        outcome, error = outcome_of(reply)
        return Completion(outcome, error=error)

    def final(self) -> Iterator[Call]:
        """See Workload: nothing is compared."""
        yield from ()
