"""Paths about the node that is asked, for operators: its machine, what it is at, how it is configured, what it logs.

A shell. Each needs a token and is judged like any other request, except joining, which is refused to everybody alike;
refusals are audited, too. Invariants: no answer holds a secret of the configuration, a token, or a key, nor what may be
one in a path that somebody asked for.
Source: Vault API, "sys/host-info", "sys/in-flight-req", "sys/config/state", "sys/loggers", "sys/storage/raft".
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .autopilot import autopilot_state
from .config.show import printable
from .engines.system.mount_table import find_mount
from .engines.system.raft_members import NOT_YET
from .engines.system.routes import unsupported_operation
from .host_info import host_info
from .request import Answer, RawRequest, RawResponse, Refusal
from .status import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster import Member, View

    from .config import Config
    from .flow import Flow
    from .local import Handler

NS = 1_000_000_000
UPDATES = frozenset({"POST", "PUT"})
OURS = "strongroom/"
HIDDEN = "..."
NAME_CHARACTERS_MAX = 16  # shorter than every token and share
AtWork = dict[str, tuple[RawRequest, float]]
"""Request id → the request, and the boot second in which it came."""


class OwnPaths:
    """Handlers for the table of local paths."""

    def __init__(
        self, member: Member, config: Config, flow: Flow, at_work: AtWork, active_since_ns: Callable[[], int]
    ) -> None:
        self._member = member
        self._config = config
        self._flow = flow
        self._at_work = at_work
        self._active_since_ns = active_since_ns

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Path → its handler."""
        return {
            "sys/host-info": self._host_info,
            "sys/in-flight-req": self._in_flight,
            "sys/config/state/sanitized": self._sanitized,
            "sys/loggers": self._loggers,
            "sys/storage/raft/autopilot/state": self._autopilot,
            "sys/storage/raft/join": self._join,
        }

    async def _host_info(self, request: RawRequest) -> RawResponse:
        async def do(_request: RawRequest) -> Answer:
            info = await asyncio.to_thread(host_info, self._config.node.data_dir)
            return Answer(data={"timestamp": rfc3339(self._member.clock.wall_ns()), **info})

        return await self._read(request, do)

    async def _in_flight(self, request: RawRequest) -> RawResponse:
        async def do(_request: RawRequest) -> Answer:
            clock = self._member.clock
            started_ns = clock.wall_ns() - int(clock.boot() * NS)
            view = self._member.view
            found = {
                one.id: {
                    "client_id": "",
                    "client_remote_address": f"{one.remote_address}:{one.remote_port}",
                    "request_method": one.method,
                    "request_path": f"/v1/{shown_path(view, one.path)}",
                    "start_time": rfc3339(started_ns + int(begun_s * NS)),
                }
                for one, begun_s in self._at_work.values()
                if not one.path.startswith("/")
            }
            return Answer(data=found, bare=True)

        return await self._read(request, do)

    async def _sanitized(self, request: RawRequest) -> RawResponse:
        async def do(_request: RawRequest) -> Answer:
            return Answer(data=sanitized(self._config))

        return await self._read(request, do)

    async def _loggers(self, request: RawRequest) -> RawResponse:
        async def do(_request: RawRequest) -> Answer:
            return Answer(data=loggers())

        return await self._read(request, do)

    async def _autopilot(self, request: RawRequest) -> RawResponse:
        member = self._member
        if request.method != "GET":
            return await self._refuse(request, unsupported_operation())
        if not member.is_leader and request.forwarded_from is None and member.replica is not None:
            return await self._flow.elsewhere(request)

        async def do(_request: RawRequest) -> Answer:
            return Answer(data=autopilot_state(member, self._active_since_ns()))

        return await self._read(request, do)

    async def _join(self, request: RawRequest) -> RawResponse:
        """Whoever asks, and whether the node is sealed or not, nothing else would be said."""
        is_asked = request.method in UPDATES
        return await self._refuse(request, Refusal(400, NOT_YET) if is_asked else unsupported_operation())

    async def _read(self, request: RawRequest, do: Any) -> RawResponse:
        if request.method != "GET":
            return await self._refuse(request, unsupported_operation())
        return await self._flow.judged(request, do)

    async def _refuse(self, request: RawRequest, refusal: Refusal) -> RawResponse:
        """The refusal, audited as any other; a sealed node has no keys for a record."""
        if self._member.sealed:
            raise refusal

        async def do(_request: RawRequest) -> Answer:
            raise refusal

        return await self._flow.unjudged(request, do)


def shown_path(view: View, path: str) -> str:
    """The path as far as its mount and one short name below it: what follows, or is longer, may be a token."""
    found = find_mount(view, path)
    mount_path = (OURS if path.startswith(OURS) else "") if found is None else found[0]
    if len(path) < len(mount_path):  # the mount itself
        return path
    name, slash, below = path[len(mount_path) :].partition("/")
    shown_name = name if len(name) <= NAME_CHARACTERS_MAX else HIDDEN
    return mount_path + shown_name + slash + (HIDDEN if below else "")


def sanitized(config: Config) -> dict[str, Any]:
    """The configuration in Vault's words: addresses, names and levels; no key, password or path of one."""
    api = config.api
    addresses = [address for address in (api.address, api.locked_address) if address]
    cluster = f"https://{config.peer.address}" if config.peer.address else ""
    advertised = printable(api.advertise, "advertise")
    return {
        "api_addr": advertised,
        "cluster_addr": cluster,
        "cluster_name": config.node.cluster_name,
        "disable_cache": True,
        "disable_clustering": False,
        "enable_ui": False,
        "listeners": [
            {"type": "tcp", "config": {"address": address, "tls_disable": api.tls != "on"}} for address in addresses
        ],
        "log_format": config.log.format,
        "log_level": config.log.level,
        "raw_storage_endpoint": False,
        "seals": [{"type": config.seal.type, "disabled": False}],
        "storage": {
            "type": "raft",
            "cluster_addr": cluster,
            "redirect_addr": advertised,
            "raft": {"node_id": config.node.id, "journal_mode": config.journal.mode},
        },
    }


def loggers() -> dict[str, str]:
    """The product's loggers and the levels that hold for them."""
    found = {}
    for name in ("strongroom", *sorted(logging.root.manager.loggerDict)):
        if name == "strongroom" or name.startswith("strongroom."):
            found[name] = logging.getLevelName(logging.getLogger(name).getEffectiveLevel()).lower()
    return found
