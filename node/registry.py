"""What a path means on this node: mounts, engines, compiled policies, as of a view.

Caches over applied state, told by the state of every change; on the leader's overlay, where a mount or policy may be
proposed and not yet applied, the caches are by-passed for that table.
Invariants: the longest mount path that is a prefix of the path, segment by segment, decides; a cache is never older
than the state that is read beside it.
Source: Vault API, "Paths"; Vault concepts, "Policies".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import Mount, Table, View, records

from .auth.access import acl_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from . import policy
    from .engines.base import Engine

ACLS_MAX = 10_000
ROUTES_MAX = 10_000


@dataclass(slots=True)
class Routed:
    """A path below a mount."""

    mount_path: str
    mount: Mount
    engine: Engine | None  # None: a mountable type without paths
    path: str  # what follows the mount path


class Registry:
    """Mounts and policies, cached over applied state."""

    def __init__(self, engine_for: Callable[[Mount], Engine | None]) -> None:
        self._engine_for = engine_for
        self._mounts: dict[str, tuple[Mount, Engine | None]] | None = None
        self._acls: dict[tuple[str, ...], policy.Acl] = {}
        self._routes: dict[str, Routed] = {}  # paths of secrets alone: others may hold a token
        self._lone: dict[str, Routed | None] = {}  # mount path → the mount that has every path below it
        self.epoch = 0  # moves when a mount or policy changes

    # ---- following the state
    def changed(self, _index: int, transaction: Any) -> None:
        """A listener of the state: drop what may have changed."""
        for table, *_ in (*transaction.puts, *transaction.drops):
            if table == Table.MOUNT:
                self._mounts = None
                self.epoch += 1
            elif table == Table.POLICY:
                self._acls.clear()
                self.epoch += 1

    def forget(self) -> None:
        """The whole state was replaced."""
        self._mounts = None
        self._acls.clear()
        self.epoch += 1

    # ---- mounts
    def _all(self, view: View) -> Mapping[str, tuple[Mount, Engine | None]]:
        if self._mounts is None:
            self._mounts = self._read(view)
            self._routes.clear()
            self._lone.clear()
        return self._mounts

    def _read(self, view: View) -> dict[str, tuple[Mount, Engine | None]]:
        found = {}
        for key, _, record in view.items(Table.MOUNT):
            mount = records.decode(Mount, record)
            found[key.decode()] = (mount, self._engine_for(mount))
        return found

    def route(self, view: View, path: str, *, pending: bool = False) -> Routed | None:
        """The mount of a path, or None."""
        if pending:
            return _route(self._read(view), path)
        mounts = self._all(view)
        known = self._routes.get(path)
        if known is not None:
            return known
        routed = _route(mounts, path)
        if routed is not None and routed.mount.type == "kv":
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()
            self._routes[path] = routed
        return routed

    def lone_mount(self, view: View, mount_path: str) -> Routed | None:
        """The mount of that path, if every path that begins with it is this mount's: no other is mounted below it."""
        mounts = self._all(view)
        if mount_path in self._lone:
            return self._lone[mount_path]
        found = mounts.get(mount_path)
        alone = found is not None and not any(other.startswith(mount_path) and other != mount_path for other in mounts)
        lone = None if found is None or not alone else Routed(mount_path, found[0], found[1], "")
        if found is not None:
            self._lone[mount_path] = lone
        return lone

    def route_name(self, view: View, path: str) -> str:
        """The type of the mount of a path, "none" without one: never a path somebody chose."""
        routed = self.route(view, path)
        return "none" if routed is None else routed.mount.type

    # ---- policies
    def acl(self, view: View, names: tuple[str, ...], *, pending: bool = False) -> policy.Acl:
        """The merged rules of the named policies; names without a policy grant nothing."""
        if pending:
            return acl_of(view, names)
        found = self._acls.get(names)
        if found is None:
            if len(self._acls) >= ACLS_MAX:
                self._acls.clear()
            found = self._acls[names] = acl_of(view, names)
        return found


def _route(mounts: Mapping[str, tuple[Mount, Engine | None]], path: str) -> Routed | None:
    probe = path if path.endswith("/") else f"{path}/"
    end = len(probe)
    while (end := probe.rfind("/", 0, end)) >= 0:
        found = mounts.get(probe[: end + 1])
        if found is not None:
            return Routed(probe[: end + 1], found[0], found[1], path[end + 1 :])
    return None
