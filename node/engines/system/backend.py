"""The system backend as an engine: one table, every handler in its own file.

Pure. Invariant: a path that stands in no route is 404 "unsupported path", so what is not there never looks as if it
were. Routes that need more than a view (health, seal, init, metrics) are added by whoever builds the backend.
Source: Vault API, "System backend".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...request import Operation
from . import leases, misc, policies, ui
from .audit_devices import FIELDS as AUDIT_FIELDS
from .audit_devices import HASH_FIELDS, AuditDevices, AuditRules
from .capabilities import Capabilities
from .mounts import FIELDS as MOUNT_FIELDS
from .mounts import TUNE_FIELDS, Mounts, MountTypes
from .operations import operator_routes
from .routes import Route, Router, folded
from .storage import Storage
from .wrapping import ROUTES as WRAPPING_ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cluster import Mount

_READ, _LIST, _UPDATE, _DELETE = Operation.READ, Operation.LIST, Operation.UPDATE, Operation.DELETE


_FOLDED = ("policies/acl/", "policy/", "config/ui/headers/", "config/auditing/request-headers/")


class SystemBackend(Router):
    """The engine of `sys/`. `extra` routes come first."""

    def canonical(self, path: str) -> str:
        """Names of policies and headers are trimmed and in lower case."""
        return folded(path, _FOLDED)

    def __init__(
        self,
        *,
        audit_rules: AuditRules,
        leader_id: Callable[[], str | None],
        engine_for: Callable[[Mount], Any] = lambda _mount: None,
        mount_types: MountTypes | None = None,
        extra: Iterable[Route] = (),
    ) -> None:
        types = mount_types or MountTypes()
        super().__init__(
            (
                *extra,
                *_mount_routes("mounts", Mounts(types.secrets, auth=False)),
                *_mount_routes("auth", Mounts(types.auth, auth=True)),
                *_policy_routes(),
                *Capabilities(engine_for).routes,
                *_audit_routes(AuditDevices(audit_rules)),
                *_ui_routes(),
                *leases.ROUTES,
                *WRAPPING_ROUTES,
                Route(
                    "storage/raft/configuration",
                    reads={_READ: Storage(leader_id).read_configuration},
                    help="Returns the configuration of the Raft cluster.",
                ),
                Route(
                    "replication/status",
                    reads={_READ: misc.read_replication_status},
                    help="Returns the replication status.",
                ),
                *operator_routes(types),
            )
        )


def _mount_routes(name: str, handlers: Mounts) -> tuple[Route, ...]:
    return (
        Route(name, reads={_READ: handlers.read_list}, help=f"List what is mounted under sys/{name}."),
        Route(
            f"{name}/(?P<path>.+?)/tune",
            reads={_READ: handlers.read_tune},
            decisions={_UPDATE: handlers.decide_tune},
            fields=TUNE_FIELDS,
            help="Tune the configuration of a mount.",
        ),
        Route(
            f"{name}/(?P<path>.+)",
            reads={_READ: handlers.read_one},
            decisions={_UPDATE: handlers.decide_enable, _DELETE: handlers.decide_disable},
            fields=MOUNT_FIELDS,
            help="Mount, read or unmount at a path.",
        ),
    )


def _policy_routes() -> tuple[Route, ...]:
    return (
        Route("policies/acl/?", reads={_LIST: policies.read_list}, help="List the ACL policies."),
        Route(
            "policies/acl/(?P<name>.+)",
            reads={_READ: policies.read_policy},
            decisions={_UPDATE: policies.decide_write, _DELETE: policies.decide_delete},
            fields=policies.FIELDS,
            help="Read, write or delete an ACL policy.",
        ),
        Route(
            "policy/?",
            reads={_READ: policies.read_old_list, _LIST: policies.read_old_list},
            help="List the ACL policies.",
        ),
        Route(
            "policy/(?P<name>.+)",
            reads={_READ: policies.read_old_policy},
            decisions={_UPDATE: policies.decide_old_write, _DELETE: policies.decide_delete},
            fields=policies.OLD_FIELDS,
            help="Read, write or delete an ACL policy.",
        ),
    )


def _audit_routes(devices: AuditDevices) -> tuple[Route, ...]:
    return (
        Route("audit", reads={_READ: devices.read_list}, help="List the enabled audit devices."),
        Route(
            "audit/(?P<path>.+)",
            decisions={_UPDATE: devices.decide_enable, _DELETE: devices.decide_disable},
            fields=AUDIT_FIELDS,
            help="Enable or disable an audit device.",
        ),
        Route(
            "audit-hash/(?P<path>.+)",
            reads={_UPDATE: devices.read_hash},
            fields=HASH_FIELDS,
            help="The hash of a text as it stands in the log of an audit device.",
        ),
    )


def _ui_routes() -> tuple[Route, ...]:
    return (
        Route("internal/ui/mounts/?", reads={_READ: ui.read_mounts}, help="Information about visible mounts."),
        Route(
            "internal/ui/mounts/(?P<path>.+)",
            reads={_READ: ui.read_mount},
            help="Information about the mount of a path.",
        ),
        Route(
            "internal/ui/resultant-acl",
            reads={_READ: ui.read_resultant_acl},
            help="The rules of the token it is called with.",
        ),
        Route("internal/ui/namespaces/?", reads={_READ: ui.read_namespaces}, help="The visible namespaces."),
    )
