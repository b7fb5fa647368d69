"""What a workload is: what each client does next, and what it makes of the answer.

The runner owns time, connections and the history. A client process asks its workload for a `Call`, the runner sends it
and records what `judge` says; so a workload decides and returns data, and can be tested without a cluster.

Invariants
  W1  values are unique markers made from the run's id: what is read names its write
  W2  a completion is `fail` only if the answer proves that nothing was done; in doubt it is `info`
  W3  what a workload remembers is its own process's: it learns nothing from outside the answers
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from chaos.api import NoAnswer, Reply

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from chaos.api import Admin
    from chaos.history import Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and what the history says of it."""

    f: str
    key: str
    argument: Any
    method: str
    path: str  # below /v1/
    body: Any = None
    token: str | None = None  # None: the administrator's
    headers: dict[str, str] = field(default_factory=dict)
    node: str = ""  # "": the process's own; else that node
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """What the answer means."""

    outcome: Outcome
    result: Any = None
    error: str = ""
    version: int | None = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Client:
    """One process of the run: pinned to a node, or roaming. `memory` is the workload's own (W3)."""

    process: int
    node: str
    roaming: bool
    role: str  # "writer" or "reader": a pinned reader of each node is what finds stale reads
    rng: random.Random
    memory: dict[str, Any] = field(default_factory=dict)


class Workload(Protocol):
    """One kind of use."""

    name: ClassVar[str]
    about: ClassVar[str]
    checks: ClassVar[tuple[str, ...]]  # checkers that judge it
    mount: str  # where KV v2 is; the runner says it before `prepare`

    def prepare(self, admin: Admin, run_id: str) -> None:
        """Mounts, policies and tokens stand. Blocks; raises TargetError.

        Everything but tokens is made by `admin.must`, which remembers it; tokens are children of the caller's, so that
        all of it can be removed again.
        """
        ...

    def next(self, client: Client) -> Call | None:
        """What this client does next; None: nothing now."""
        ...

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:
        """What the answer means (W2)."""
        ...

    def final(self) -> Iterable[Call]:
        """After everything healed, sent once to every node: reads of every key, as f "read"."""
        ...


def outcome_of(reply: Reply | NoAnswer) -> tuple[Outcome, str]:
    """The outcome of a write by its answer alone (W2).

    2xx is done. A connection that was never made, an answer that says `applied: no` or that the node is sealed, and a
    refusal 400-499 in the product's own words were not done. Everything else is unknown: also what a proxy refuses, for
    it may have asked first, and what was done without an answer worth the name (`applied: yes`).
    """
    if isinstance(reply, NoAnswer):
        return ("fail" if reply.never_sent else "info"), reply.why
    if 200 <= reply.status < 300:
        return "ok", ""
    applied = reply.applied
    if applied in {"unknown", "yes"}:
        return "info", f"{reply.status} {applied}"
    is_refused = 400 <= reply.status < 500 and reply.errors is not None
    if applied == "no" or is_refused or reply.sealed:
        return "fail", f"{reply.status}"
    return "info", f"{reply.status}"
