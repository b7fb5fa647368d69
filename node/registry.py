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

from .auth.access import acl_of, rules_of
from .policy import Acl, builtin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .engines.base import Engine
    from .identity.person import Person
    from .policy import Rules

ACLS_MAX = 10_000
RULES_MAX = 1_000
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
        self._acls: dict[tuple[str, ...], Acl] = {}
        self._rules: dict[tuple[str, ...], Rules | None] = {}  # the same before templates are filled in
        self._personal: dict[tuple[tuple[str, ...], str], tuple[Person, Acl]] = {}  # by a token's policies and entity
        self._routes: dict[str, Routed] = {}  # paths of secrets alone: others may hold a token
        self._lone: dict[str, Routed | None] = {}  # mount path → the mount that has every path below it
        self.epoch = 0  # moves when a mount, a policy or somebody's identity changes
        self.on_forget: list[Callable[[], None]] = []  # of those who remember what they read of the state

    # ---- following the state
    def changed(self, _index: int, transaction: Any) -> None:
        """A listener of the state: drop what may have changed."""
        for table, *_ in (*transaction.puts, *transaction.drops):
            if table == Table.MOUNT:
                self._mounts = None
                self.epoch += 1
            elif table == Table.POLICY:
                self._forget_policies()
                self.epoch += 1
            elif table == Table.IDENTITY:  # no cache of lists: each is kept with the person it was made for
                self.epoch += 1

    def forget(self) -> None:
        """The whole state was replaced, or is gone with the keys: nothing that was read of it is kept here."""
        self._mounts = None
        self._routes.clear()
        self._lone.clear()
        self._forget_policies()
        self.epoch += 1
        for forget in self.on_forget:
            forget()

    def _forget_policies(self) -> None:
        self._acls.clear()
        self._rules.clear()
        self._personal.clear()

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
    def acl(
        self, view: View, names: tuple[str, ...], person: Person | None = None, *, pending: bool = False
    ) -> Acl:
        """The merged rules of the named policies, and of those of the person; names without a policy grant nothing."""
        if person is not None:
            return self._acl_of_person(view, names, person, pending=pending)
        if pending:
            return acl_of(view, names)
        found = self._acls.get(names)
        if found is None:
            if len(self._acls) >= ACLS_MAX:
                self._acls.clear()
            found = self._acls[names] = acl_of(view, names)
        return found

    def _acl_of_person(self, view: View, names: tuple[str, ...], person: Person, *, pending: bool) -> Acl:
        known = None if pending else self._personal.get((names, person.entity_id))
        if known is not None and known[0] is person:
            return known[1]
        wanted = person.beside(names)
        if pending or builtin.ROOT in wanted:
            return acl_of(view, wanted, person.identity)
        if wanted not in self._rules:
            if len(self._rules) >= RULES_MAX:
                self._rules.clear()
            self._rules[wanted] = rules_of(view, wanted)
        rules = self._rules[wanted]
        acl = Acl({}) if rules is None else rules.of(person.identity)
        if len(self._personal) >= ACLS_MAX:
            del self._personal[next(iter(self._personal))]
        self._personal[names, person.entity_id] = person, acl
        return acl


def _route(mounts: Mapping[str, tuple[Mount, Engine | None]], path: str) -> Routed | None:
    probe = path if path.endswith("/") else f"{path}/"
    end = len(probe)
    while (end := probe.rfind("/", 0, end)) >= 0:
        found = mounts.get(probe[: end + 1])
        if found is not None:
            return Routed(probe[: end + 1], found[0], found[1], path[end + 1 :])
    return None
