"""Names of mounts under which logins failed: a bounded number of them, and which are forgotten first.

Pure. Invariants
  F1  there are never more than `names_max`, of all mounts together; a mount that has few names loses none to one that
      has many, so a flood at one mount says nothing about the names of another
  F2  of a mount, names that are not locked are forgotten first, while a tenth of all is left for them: a name is locked
      by a few failures, and undoing that costs as many for each of the others
  F3  what counts no longer makes room
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Failures:
    """Of one name; `alias` is "" for one that nobody had. `until_ns`: by then nothing of it counts."""

    alias: str = ""
    count: int = 0
    last_ns: int = 0
    until_ns: int = 0
    is_locked: bool = False

    def __repr__(self) -> str:
        return f"<Failures {self.count}>"


Names = OrderedDict[bytes, Failures]


@dataclass(slots=True, repr=False)
class _OfMount:
    """The oldest failure first."""

    trying: Names = field(default_factory=OrderedDict)
    locked: Names = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self.trying) + len(self.locked)


class FailedNames:
    """At most `names_max` names of all mounts."""

    def __init__(self, names_max: int) -> None:
        self._names_max = names_max
        self._mounts: dict[bytes, _OfMount] = {}

    def __repr__(self) -> str:
        return f"<FailedNames {len(self)}>"

    def __len__(self) -> int:
        return sum(map(len, self._mounts.values()))

    def get(self, mount_uuid: bytes, key: bytes) -> Failures | None:
        """What is remembered of the name."""
        held = self._mounts.get(mount_uuid)
        return None if held is None else held.trying.get(key) or held.locked.get(key)

    def of_mount(self, mount_uuid: bytes) -> Iterable[Failures]:
        """What is remembered of all names of the mount."""
        held = self._mounts.get(mount_uuid) or _OfMount()
        return chain(held.trying.values(), held.locked.values())

    def put(self, mount_uuid: bytes, key: bytes, failures: Failures, now_ns: int) -> None:
        """The name, which is not there, is remembered; what is too old or too many is not."""
        held = self._mounts.setdefault(mount_uuid, _OfMount())
        for names in (held.trying, held.locked):
            if names and next(iter(names.values())).until_ns <= now_ns:
                names.popitem(last=False)
        (held.locked if failures.is_locked else held.trying)[key] = failures
        if len(self) > self._names_max:
            self._drop_one()

    def pop(self, mount_uuid: bytes, key: bytes) -> None:
        """Nothing is remembered of the name."""
        held = self._mounts.get(mount_uuid)
        if held is not None:
            held.trying.pop(key, None)
            held.locked.pop(key, None)

    def _drop_one(self) -> None:
        """F1, F2."""
        most = max(self._mounts.values(), key=len)
        is_full = not most.trying or len(most.locked) > self._names_max * 9 // 10
        (most.locked if is_full else most.trying).popitem(last=False)
