"""Single KV v2 paths as registers with versions: write, compare-and-set, read.

A path has few operations and few processes, and then another takes its place: that keeps the second, exhaustive check
of linearizability fast (chaos/check/wgl.py). Invariant: a marker is written at most once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import NoAnswer
from chaos.targets.base import MOUNT

from . import MARK
from .base import Call, Client, Completion, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin, Reply

KEYS: Final = 4  # at a time
OPERATIONS_A_KEY: Final = 200
CAS_SHARE: Final = 0.4
WRITER_READS: Final = 0.3
FINAL_KEYS: Final = 4000  # more than a night makes
NOT_FOUND: Final = 404
BAD_REQUEST: Final = 400
MISMATCH: Final = "did not match the current version"  # of a 400: what else is wrong with a request is no mismatch


class Register:
    """See Workload."""

    name: ClassVar[str] = "register"
    about: ClassVar[str] = "writes, compare-and-sets and reads of single KV v2 paths"
    checks: ClassVar[tuple[str, ...]] = ("witness", "wgl", "acked", "session")

    def __init__(self) -> None:
        self.mount = MOUNT
        self._folder = ""
        self._count = 0
        self._keys: list[str] = []

    def prepare(self, admin: Admin, run_id: str) -> None:  # noqa: ARG002 - a workload's signature
        """See Workload; KV is mounted by every target."""
        self._folder = f"{run_id}/register"

    def next(self, client: Client) -> Call:
        """See Workload."""
        self._count += 1
        if self._count % OPERATIONS_A_KEY == 1 or not self._keys:
            self._keys.append(f"{self._folder}/{len(self._keys)}")
        key = client.rng.choice(self._keys[-KEYS:])
        if client.role == "reader" or client.rng.random() < WRITER_READS:
            return read(self.mount, key)
        marker = f"{MARK}-{client.process}-{self._count}"
        known = client.memory.get(key)
        if known is not None and client.rng.random() < CAS_SHARE:
            return write(self.mount, "cas", key, [known, marker], marker, known)
        return write(self.mount, "write", key, marker, marker)

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:
        """See Workload."""
        completion = judged_read(reply) if call.f == "read" else judged_write(reply)
        if completion.outcome == "ok" and completion.version is not None:
            client.memory[call.key] = completion.version
        return completion

    def final(self) -> Iterator[Call]:
        """See Workload."""
        for key in self._keys[-FINAL_KEYS:]:
            yield read(self.mount, key)


def read(mount: str, key: str) -> Call:
    """A read of a path's newest version."""
    return Call("read", key, None, "GET", f"{mount}/data/{key}")


def write(mount: str, f: str, key: str, argument: Any, value: Any, cas: int | None = None) -> Call:
    """A new version of the path; POST, for no client library repeats it unasked."""
    body: dict[str, Any] = {"data": {"value": value}}
    if cas is not None:
        body["options"] = {"cas": cas}
    return Call(f, key, argument, "POST", f"{mount}/data/{key}", body)


def judged_read(reply: Reply | NoAnswer) -> Completion:
    """A read that failed changed nothing: whether it was executed is nobody's question."""
    if isinstance(reply, NoAnswer):
        return Completion("fail", error=reply.why)
    if reply.status == NOT_FOUND and not reply.data and reply.errors is not None:
        return Completion("ok", None, version=0)
    if reply.status != 200:
        return Completion("fail", error=str(reply.status))
    return Completion("ok", reply.data["data"]["value"], version=int(reply.data["metadata"]["version"]))


def judged_write(reply: Reply | NoAnswer) -> Completion:
    """W2."""
    outcome, error = outcome_of(reply)
    if isinstance(reply, NoAnswer) or outcome != "ok":
        mismatch = not isinstance(reply, NoAnswer) and reply.status == BAD_REQUEST and MISMATCH in str(reply.errors)
        return Completion(outcome, error=error, more={"mismatch": True, "refused": True} if mismatch else {})
    return Completion("ok", version=int(reply.data["version"]))
