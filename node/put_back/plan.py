"""Which mounts a snapshot puts back, under which uuids, and which leave.

Pure. Invariants
  P1  secrets engines alone are put back or leave: auth methods, cubbyholes, identity and the system stay
  P2  what is put back lies under a fresh uuid, which nothing that was ever sealed or leased names
  P3  a mount that is still there (its twin) keeps its settings: times to live, what audit shows of it, headers, who
      sees it. What its engine keeps in the record (KV: version and configuration) is the snapshot's
Source: docs/decisions/0010-a-snapshot-is-put-back-by-writes.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cluster import DamagedError, Mount, Table, records

from ..engines.kv_config import KEY as KV
from ..engines.system.mount_table import AUTH
from ..request import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cluster import View

MOUNTS_MAX = 190
"""Mounts that one transaction exchanges: two records for each that comes or leaves, of at most a thousand."""
MOUNT_BYTES_MAX = 800_000
"""And the bytes of their records: beside them there is room for what changed at the last moment (work.py)."""


class Present(NamedTuple):
    """A secrets engine as it is now."""

    path: str
    at_index: int
    mount: Mount


class Putting(NamedTuple):
    """A mount of the snapshot: its record as it will stand, its uuid there, the fresh one, and its twin now."""

    path: str
    type: str
    record: bytes
    source: bytes
    target: bytes
    twin: Present | None


class Plan(NamedTuple):
    """`leaving`: every secrets engine that is there now, by its path."""

    putting: list[Putting]
    leaving: dict[str, Present]

    @property
    def gone(self) -> list[str]:
        """Paths now of mounts that the snapshot does not know."""
        kept = {one.twin.path for one in self.putting if one.twin is not None}
        return sorted(self.leaving.keys() - kept)


def present(view: View, types: Collection[str]) -> dict[str, Present]:
    """The secrets engines that are there (P1)."""
    found = {}
    for key, index, record in view.items(Table.MOUNT):
        path, mount = key.decode(), records.decode(Mount, record)
        if not path.startswith(AUTH) and mount.type in types:
            found[path] = Present(path, index, mount)
    return found


def planned(
    view: View, mounts: Mapping[bytes, bytes], types: Collection[str], kept: Collection[str],
    random: Callable[[int], bytes],
) -> Plan:  # fmt: skip
    """What becomes of the snapshot's mount table. `kept`: types that stay whatever it says. Raises Refusal."""
    leaving = present(view, types)
    by_uuid = {one.mount.uuid: one for one in leaving.values()}
    by_accessor = {one.mount.accessor: one for one in leaving.values()}
    putting = []
    for key, record in sorted(mounts.items()):
        path, mount = key.decode(), records.readable(Mount, record)
        if mount is None:
            raise DamagedError("a mount of the snapshot does not decode")
        if path.startswith(AUTH) or mount.type in kept:
            continue
        if mount.type not in types:
            raise Refusal(400, "the snapshot has a secrets engine of a type that this node does not have")
        # Putting back made another uuid, moving another path: an accessor outlives both.
        twin = by_uuid.get(mount.uuid) or by_accessor.get(mount.accessor)
        twin = None if twin is None or twin.mount.type != mount.type else twin
        target = random(16)
        config = mount.config if twin is None else _config(twin.mount, mount)
        stands = records.change(Mount, record, uuid=target, config=config)
        putting.append(Putting(path, mount.type, stands, mount.uuid, target, twin))
    size_bytes = sum(len(one.record) + 3 * len(one.path) for one in putting)
    if len(putting) > MOUNTS_MAX or len(leaving) > MOUNTS_MAX or size_bytes > MOUNT_BYTES_MAX:
        raise Refusal(400, f"more than {MOUNTS_MAX} mounts, or too large ones, cannot be exchanged in one step")
    return Plan(putting, leaving)


def _config(now: Mount, then: Mount) -> dict[str, object]:
    """P3."""
    own = {KV: then.config[KV]} if KV in then.config else {}
    return {**{name: value for name, value in now.config.items() if name != KV}, **own}


__all__ = ["Plan", "Present", "Putting", "planned", "present"]
