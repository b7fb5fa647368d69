"""What is good for one use: wrapped answers, and tokens with one use. Several clients at several nodes try each.

At most one of them gets it. A use of unknown outcome may have been that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from chaos.api import NoAnswer, Reply
from chaos.targets.base import MOUNT

from . import MARK
from .base import Call, Client, Completion, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin

USES: Final = 6  # attempts at each thing
OPEN_MAX: Final = 12
REFUSED: Final = (400, 403)
WEAK: Final = {"policies": ["default"], "num_uses": 1, "ttl": "1h"}


@dataclass(slots=True)
class _Thing:
    kind: str  # "wrap" or "once"
    secret: str
    left: int = USES


class Once:
    """See Workload."""

    name: ClassVar[str] = "once"
    about: ClassVar[str] = "wrapped answers and tokens of one use, tried by many at once"
    checks: ClassVar[tuple[str, ...]] = ("single_use",)

    def __init__(self) -> None:
        self.mount = MOUNT
        self._things: dict[str, _Thing] = {}
        self._count = 0

    def prepare(self, admin: Admin, run_id: str) -> None:
        """See Workload; nothing is needed."""

    def next(self, client: Client) -> Call:
        """See Workload."""
        left = [name for name, thing in self._things.items() if thing.left > 0]
        if not left or (client.role == "writer" and len(left) < OPEN_MAX and client.rng.random() < 0.3):
            return self._issue(client)
        key = left[0] if client.rng.random() < 0.7 else client.rng.choice(left)  # many at the same one
        thing = self._things[key]
        thing.left -= 1
        return _use(key, thing)

    def _issue(self, client: Client) -> Call:
        self._count += 1
        if client.rng.random() < 0.5:
            key, body = f"w{self._count}", {"value": f"{MARK}-w{self._count}"}
            return Call("issue", key, "wrap", "POST", "sys/wrapping/wrap", body, headers={"X-Vault-Wrap-TTL": "600s"})
        return Call("issue", f"o{self._count}", "once", "POST", "auth/token/create", WEAK)

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:  # noqa: ARG002
        """See Workload. A use that got no whole answer may have been the one: it is `info`."""
        outcome, error = outcome_of(reply)
        if call.f == "issue":
            if outcome == "ok" and isinstance(reply, Reply):
                wrap = call.argument == "wrap"
                secret = reply.body["wrap_info"]["token"] if wrap else reply.body["auth"]["client_token"]
                self._things[call.key] = _Thing(str(call.argument), str(secret))
            return Completion(outcome, error=error)
        if outcome == "ok":
            return Completion("ok", result=True)
        denied = isinstance(reply, Reply) and reply.status in REFUSED
        return Completion(outcome, error=error, more={"denied": True, "refused": True} if denied else {})

    def final(self) -> Iterator[Call]:
        """See Workload: each thing once more; all of them are spent or it is its one use."""
        for key, thing in list(self._things.items())[-20:]:
            yield _use(key, thing)


def _use(key: str, thing: _Thing) -> Call:
    if thing.kind == "wrap":
        return Call("use", key, None, "POST", "sys/wrapping/unwrap", None, thing.secret)
    return Call("use", key, None, "GET", "auth/token/lookup-self", None, thing.secret)
