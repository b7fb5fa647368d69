"""Lists that grow by compare-and-set: each append writes the list it knows, with its element at the end.

Finds lost updates and writes that come true twice. Invariant: after an append of unknown outcome, or a refused one, a
client reads the list before it appends to it again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final

from chaos.targets.base import MOUNT

from . import MARK
from .base import Call, Client, Completion
from .register import judged_read, judged_write, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.api import Admin, NoAnswer, Reply

LENGTH_MAX: Final = 60
KEYS: Final = 2


class Appends:
    """See Workload."""

    name: ClassVar[str] = "append"
    about: ClassVar[str] = "lists that grow by compare-and-set"
    checks: ClassVar[tuple[str, ...]] = ("appends", "acked", "session")

    def __init__(self) -> None:
        self.mount = MOUNT
        self._folder = ""
        self._count = 0
        self._lengths: dict[str, int] = {}

    def prepare(self, admin: Admin, run_id: str) -> None:  # noqa: ARG002 - a workload's signature
        """See Workload."""
        self._folder = f"{run_id}/append"

    def next(self, client: Client) -> Call:
        """See Workload."""
        growing = [key for key, length in self._lengths.items() if length < LENGTH_MAX]
        while len(growing) < KEYS:
            growing.append(f"{self._folder}/{len(self._lengths)}")
            self._lengths[growing[-1]] = 0
        key = client.rng.choice(growing)
        known = client.memory.get(key)
        if client.role == "reader" or known is None:
            return self._list(key)
        self._count += 1
        element = f"{MARK}-{client.process}-{self._count}"
        version, elements = known
        body = {"options": {"cas": version}, "data": {"value": [*elements, element]}}
        return Call("append", key, [version, element], "POST", f"{self.mount}/data/{key}", body)

    def judge(self, call: Call, reply: Reply | NoAnswer, client: Client) -> Completion:
        """See Workload."""
        if call.f == "list":
            found = judged_read(reply)
            if found.outcome != "ok":
                return found
            elements = found.result or []
            client.memory[call.key] = (found.version, elements)
            self._lengths[call.key] = max(self._lengths.get(call.key, 0), len(elements))
            return Completion("ok", elements, version=found.version)
        completion = judged_write(reply)
        if completion.outcome == "ok":
            client.memory[call.key] = (completion.version, call.body["data"]["value"])
            self._lengths[call.key] = max(self._lengths[call.key], len(call.body["data"]["value"]))
        else:
            client.memory.pop(call.key, None)
        return completion

    def final(self) -> Iterator[Call]:
        """See Workload."""
        for key in self._lengths:
            yield self._list(key)

    def _list(self, key: str) -> Call:
        return replace(read(self.mount, key), f="list")
