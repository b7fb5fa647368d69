"""The routes of what operators set and ask beside mounts, policies, audit devices and leases.

A table: every handler is in its own file. Source: Vault API, "System backend".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...request import Operation
from . import (
    cors,
    password_policies,
    quotas,
    raft_members,
    remount,
    request_headers,
    tools,
    ui_headers,
    version_history,
)
from .plugin_catalog import PluginCatalog
from .routes import Route

if TYPE_CHECKING:
    from .mounts import MountTypes

_READ, _LIST, _UPDATE, _DELETE = Operation.READ, Operation.LIST, Operation.UPDATE, Operation.DELETE
_NAME = r"(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)"


def operator_routes(types: MountTypes) -> tuple[Route, ...]:
    """All of them."""
    return (
        *_remount_routes(),
        *_password_routes(),
        *_tool_routes(),
        *_header_routes(),
        *_quota_routes(),
        *_raft_routes(),
        *_catalog_routes(PluginCatalog(types)),
        Route(
            "config/cors",
            reads={_READ: cors.read_cors, _UPDATE: cors.refuse_cors, _DELETE: cors.remove_cors},
            fields=cors.FIELDS,
            help="The settings of cross-origin requests, which are off.",
        ),
        Route(
            "version-history/?",
            reads={_LIST: version_history.read_versions},
            help="The versions that served this cluster.",
        ),
        Route("namespaces/?", reads={_LIST: version_history.read_namespaces}, help="The namespaces."),
    )


def _remount_routes() -> tuple[Route, ...]:
    return (
        Route("remount", decisions={_UPDATE: remount.decide_remount}, fields=remount.FIELDS, help="Move a mount."),
        Route("remount/status/(?P<id>[^/]+)", reads={_READ: remount.read_status}, help="How far a move is."),
    )


def _password_routes() -> tuple[Route, ...]:
    return (
        Route("policies/password/?", reads={_LIST: password_policies.read_list}, help="List the password policies."),
        Route(
            f"policies/password/{_NAME}",
            reads={_READ: password_policies.read_policy},
            decisions={_UPDATE: password_policies.decide_write, _DELETE: password_policies.decide_delete},
            fields=password_policies.FIELDS,
            help="Read, write or delete a password policy.",
        ),
        Route(
            f"policies/password/{_NAME}/generate",
            reads={_READ: password_policies.read_password},
            help="A password by a policy.",
        ),
    )


def _tool_routes() -> tuple[Route, ...]:
    source, count = "(?P<source>[^/0-9][^/]*)", "(?P<urlbytes>[^/]+)"
    random = tuple(
        Route(
            f"tools/random{below}", reads={_UPDATE: tools.read_random}, fields=tools.RANDOM_FIELDS, help="Random bytes."
        )
        for below in ("", f"/{source}", f"/{count}", f"/{source}/{count}")
    )
    hashes = tuple(
        Route(f"tools/hash{below}", reads={_UPDATE: tools.read_hash}, fields=tools.HASH_FIELDS, help="A hash.")
        for below in ("", "/(?P<urlalgorithm>[^/]+)")
    )
    decoding = Route(
        "decode-token",
        reads={_UPDATE: tools.read_decoded_token},
        fields=tools.DECODE_FIELDS,
        help="The token behind what generate-root answered.",
    )
    return (*random, *hashes, decoding)


def _header_routes() -> tuple[Route, ...]:
    return (
        Route("config/ui/headers/?", reads={_LIST: ui_headers.read_list}, help="List the headers of a user interface."),
        Route(
            "config/ui/headers/(?P<header>[^/]+)",
            reads={_READ: ui_headers.read_header},
            decisions={_UPDATE: ui_headers.decide_header, _DELETE: ui_headers.decide_delete},
            fields=ui_headers.FIELDS,
            help="Read, set or remove a header of a user interface.",
        ),
        Route(
            "config/auditing/request-headers/?",
            reads={_READ: request_headers.read_all},
            help="The headers of requests that are audited.",
        ),
        Route(
            "config/auditing/request-headers/(?P<header>[^/]+)",
            reads={_READ: request_headers.read_one},
            decisions={_UPDATE: request_headers.decide_write, _DELETE: request_headers.decide_delete},
            fields=request_headers.FIELDS,
            help="Read, set or end the auditing of a header of requests.",
        ),
    )


def _quota_routes() -> tuple[Route, ...]:
    return (
        Route(
            "quotas/config",
            reads={_READ: quotas.read_config},
            decisions={_UPDATE: quotas.decide_config},
            fields=quotas.CONFIG_FIELDS,
            help="What holds for all quotas.",
        ),
        Route("quotas/rate-limit/?", reads={_LIST: quotas.read_list}, help="List the rate limits."),
        Route(
            f"quotas/rate-limit/{_NAME}",
            reads={_READ: quotas.read_limit},
            decisions={_UPDATE: quotas.decide_limit, _DELETE: quotas.decide_delete},
            fields=quotas.FIELDS,
            help="Read, write or delete a rate limit.",
        ),
    )


def _raft_routes() -> tuple[Route, ...]:
    members = tuple(
        Route(
            f"storage/raft/{name}",
            reads={_UPDATE: raft_members.refuse_member},
            fields=raft_members.MEMBER_FIELDS,
            help="Changing the members of a running cluster is not there yet.",
        )
        for name in ("remove-peer", "promote", "demote")
    )
    autopilot = Route(
        "storage/raft/autopilot/configuration",
        reads={_READ: raft_members.read_autopilot, _UPDATE: raft_members.check_autopilot},
        fields=raft_members.AUTOPILOT_FIELDS,
        help="The settings of autopilot, which are fixed.",
    )
    return (*members, autopilot)


def _catalog_routes(catalog: PluginCatalog) -> tuple[Route, ...]:
    kind = "plugins/catalog/(?P<kind>[^/]+)"
    return (
        Route("plugins/catalog/?", reads={_READ: catalog.read_all, _LIST: catalog.read_all}, help="What is built in."),
        Route(f"{kind}/?", reads={_READ: catalog.read_kind, _LIST: catalog.read_kind}, help="What is built in."),
        Route(f"{kind}/(?P<name>[^/]+)", reads={_READ: catalog.read_one}, help="What is built in."),
    )
