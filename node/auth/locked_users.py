"""The paths below sys/locked-users: who is locked out, and letting somebody try again.

Pure but for what it changes in `Lockout`. Both are asked of the node that leads, which is the one that counts; so
looking is a decision, too, that proposes nothing.
Source: Vault API, "sys/locked-users".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cluster import Mount, Table, View, records

from ..engines.base import Context, Plan
from ..engines.system.mount_table import AUTH
from ..engines.system.routes import Captures, Route
from ..request import Answer, Operation, RawRequest, Refusal
from .lockout_settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .lockout import Lockout


class LockedUsers:
    """The handlers."""

    def __init__(self, lockout: Lockout) -> None:
        self._lockout = lockout

    def decide_list(self, context: Context, _request: RawRequest, _captures: Captures) -> Plan:
        """The names that somebody has and that are locked, by mount."""
        found, total = [], 0
        for _, mount in _auth_mounts(context.view):
            names = sorted(self._lockout.locked(mount.uuid, settings_of(mount), context.now_ns))
            total += len(names)
            if names:
                found.append({"mount_accessor": mount.accessor, "counts": len(names), "alias_identifiers": names})
        root = {"namespace_id": "root", "namespace_path": "", "counts": total, "mount_accessors": found}
        return Plan(Answer(data={"by_namespace": [root] if found else [], "total": total}))

    def decide_unlock(self, context: Context, _request: RawRequest, captures: Captures) -> Plan:
        """The name may try again; 204 also where it was not locked."""
        for path, mount in _auth_mounts(context.view):
            if mount.accessor == captures["accessor"]:
                unlock = partial(self._lockout.unlock, context.at(path, mount), captures["alias"])
                return Plan(Answer(), after=unlock)
        raise Refusal(400, "no auth method has this accessor")


def routes(lockout: Lockout) -> tuple[Route, ...]:
    """What stands below `sys/`."""
    handlers = LockedUsers(lockout)
    return (
        Route(
            "locked-users/?",
            decisions={Operation.READ: handlers.decide_list},
            help="Report the locked user count metrics, for this namespace and all child namespaces.",
        ),
        Route(
            "locked-users/(?P<accessor>[^/]+)/unlock/(?P<alias>.+)",
            decisions={Operation.UPDATE: handlers.decide_unlock},
            help="Unlock the user with the given mount accessor and alias identifier.",
        ),
    )


def _auth_mounts(view: View) -> Iterator[tuple[str, Mount]]:
    for key, _, record in view.items(Table.MOUNT):
        if key.startswith(AUTH.encode()):
            yield key.decode(), records.decode(Mount, record)
