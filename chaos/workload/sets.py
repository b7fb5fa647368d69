"""Sets: elements are names of secrets in one folder, read by LIST. Finds lost and stale elements.

A set is left for the next one when it has SIZE_MAX elements. Invariant: an element is added at most once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from chaos.api import NoAnswer
from chaos.targets.base import MOUNT

from . import MARK
from .base import Call, Client, Completion, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin, Reply

SIZE_MAX: Final = 300
NOT_FOUND: Final = 404


class Sets:
    """See Workload."""

    name: ClassVar[str] = "set"
    about: ClassVar[str] = "elements added to a folder of secrets, and the folder listed"
    checks: ClassVar[tuple[str, ...]] = ("sets",)

    def __init__(self) -> None:
        self.mount = MOUNT
        self._folder = ""
        self._count = 0

    def prepare(self, admin: Admin, run_id: str) -> None:  # noqa: ARG002 - a workload's signature
        """See Workload."""
        self._folder = f"{run_id}/set"

    def _key(self) -> str:
        return f"{self._folder}/{self._count // SIZE_MAX}"

    def next(self, client: Client) -> Call:
        """See Workload."""
        if client.role == "reader":
            return members(self.mount, self._key())
        key = self._key()
        self._count += 1
        element = f"e{client.process}-{self._count}"
        body = {"data": {"value": f"{MARK}-{element}"}}
        return Call("add", key, element, "POST", f"{self.mount}/data/{key}/{element}", body)

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:  # noqa: ARG002
        """See Workload."""
        if call.f == "add":
            outcome, error = outcome_of(reply)
            return Completion(outcome, error=error)
        if isinstance(reply, NoAnswer):
            return Completion("fail", error=reply.why)
        if reply.status == NOT_FOUND and reply.errors is not None:
            return Completion("ok", [])
        if reply.status != 200:
            return Completion("fail", error=str(reply.status))
        return Completion("ok", sorted(reply.data["keys"]))

    def final(self) -> Iterator[Call]:
        """See Workload."""
        for number in range(self._count // SIZE_MAX + 1):
            yield members(self.mount, f"{self._folder}/{number}")


def members(mount: str, key: str) -> Call:
    """The elements of a set."""
    return Call("members", key, None, "LIST", f"{mount}/metadata/{key}")
