"""Tokens bound to a network that no client of the run is in, used with headers that say otherwise.

Whoever believes `X-Forwarded-For` from anybody makes networks a matter of writing. A node that forwards a request to
the leader must say where it came from, and is believed; a client that says so is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from chaos.api import NoAnswer, Reply
from chaos.targets.base import MOUNT

from .base import Call, Client, Completion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin

NETWORK: Final = "203.0.113.0/24"  # RFC 5737: nobody's
INSIDE: Final = "203.0.113.7"
SPOOFS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"X-Forwarded-For": INSIDE},
    {"X-Forwarded-For": f"{INSIDE}, {INSIDE}"},
    {"Forwarded": f"for={INSIDE}"},
    {"X-Real-Ip": INSIDE},
)
FORBIDDEN: Final = 403


class Spoof:
    """See Workload."""

    name: ClassVar[str] = "spoof"
    about: ClassVar[str] = "tokens bound to another network, used with headers that claim it"
    checks: ClassVar[tuple[str, ...]] = ("origin",)

    def __init__(self) -> None:
        self.mount = MOUNT
        self._token = ""

    def prepare(self, admin: Admin, run_id: str) -> None:
        """See Workload: one bound token, and a policy that lets it write."""
        policy = f"spoof-{run_id.lower()}"
        rule = f'path "{self.mount}/data/spoof/*" {{ capabilities = ["create", "update", "read"] }}'
        admin.must("PUT", f"sys/policies/acl/{policy}", {"policy": rule})
        role = {"allowed_policies": [policy], "token_bound_cidrs": [NETWORK]}  # tokens have networks from roles alone
        admin.must("POST", f"auth/token/roles/{policy}", role)
        reply = admin.must("POST", f"auth/token/create/{policy}", {"policies": [policy], "ttl": "24h"})
        self._token = str(reply.body["auth"]["client_token"])

    def next(self, client: Client) -> Call:
        """See Workload; writes are what a follower forwards."""
        headers = client.rng.choice(SPOOFS)
        more = {"claims": sorted(headers)}
        if client.rng.random() < 0.5:
            path = f"{self.mount}/data/spoof/x"
            body = {"data": {"value": "nothing"}}
            return Call("spoof", "bound", "write", "POST", path, body, self._token, headers, more=more)
        return Call("spoof", "bound", "read", "GET", "auth/token/lookup-self", None, self._token, headers, more=more)

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:  # noqa: ARG002
        """See Workload."""
        if isinstance(reply, NoAnswer):
            return Completion("fail", error=reply.why)
        if reply.status < 300:
            return Completion("ok", result=True)
        denied = {"denied": True, "refused": True} if reply.status == FORBIDDEN else {}
        return Completion("fail", error=str(reply.status), more=denied)

    def final(self) -> Iterator[Call]:
        """See Workload: nothing is left to compare."""
        yield from ()
