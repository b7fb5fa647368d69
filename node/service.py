"""One node: member, engines, flow, audit, listeners and what runs beside them, wired together.

A shell. Start: member and its links (peers can reach us) → listeners (health answers while sealed) → what opens the
node by itself. Stop: hand over → drain → flush → wipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

from cluster import (
    Member,
    Mount,
    Rehydrate,
    SealedError,
    StrongroomError,
    Table,
    arm_failpoints,
    clock_of,
    failpoint,
    find_cluster,
    is_failpoint,
    records,
)

from .adoption import Adoption
from .at_once import AtOnce
from .audit_check import AuditCheck
from .audit_desk import AuditDesk
from .auth import locked_users
from .auth.lockout import Lockout
from .auto_seal import auto_seal_of
from .backup_desk import BackupDesk
from .catalog import MOUNT_TYPES, engines
from .cluster_seal import ClusterSeal
from .config.document import FIELDS
from .engines.system.backend import SystemBackend
from .engines.system.keys import key_routes
from .flow import Flow
from .forward import Forwarder
from .hot_reads import HotReads
from .http.limits import Limited
from .indexes import IndexHeaders
from .key_desks import KeyDesks
from .limit_refusals import LimitRefusals
from .link_certificates import LinkCertificates
from .listeners import Listeners
from .local import LocalPaths
from .logs import configure, request_id
from .maintenance import Maintenance
from .metrics import Metrics
from .outcomes import answer_of
from .own_paths import AtWork, OwnPaths
from .quotas import Quotas
from .registry import Registry
from .request import RawRequest, RawResponse
from .restore.on_boot import BootRestore
from .seal_desk import SealDesk
from .security_log import SecurityLog
from .settings import member_settings
from .snapshots import SnapshotPaths
from .status import Status
from .writes import WriteIds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .config import Config
    from .engines.base import Engine

log = logging.getLogger("strongroom.node")

FIND_CLUSTER_S = 0.5
LAG_PERIOD_S = 0.05
SENT_S = 0.005
"""An answer has left so long after it was given to the listener."""
RELOADABLE = frozenset({"log.level", "log.format", "api.tls_cert_file", "api.tls_key_file"})


class Node:
    """One process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        arm_failpoints(config.profile)
        self.member = Member(member_settings(config), clock=clock_of(config.profile))
        dev = config.profile == "dev"
        single = len(self.member.settings.members) == 1
        self.desk = SealDesk(
            self.member,
            seal_type=config.seal.type,
            peers=bool(config.seal.peers),
            auto=auto_seal_of(self.member, config),
            secure=config.api.tls == "on",
            dev_mounts=dev and os.environ.get("STRONGROOM_DEV_SECRET_MOUNT") == "1",
        )
        self.cluster_seal = ClusterSeal(self.member, self.desk.seal)
        self.status = Status(self.member, self.desk)
        self.audit = AuditDesk(self.member, config)
        self.desk.audit_status = self.audit.status
        self.backups = BackupDesk(self.member, config)
        self.status.backups = self.backups.standings
        self.keys = KeyDesks(self.member, self.desk)
        self._engines = self._make_engines()
        self.registry = Registry(self._engine_for)
        self.write_ids = WriteIds(self._sealing, self.member.random.bytes, config.dedupe.window_s)
        self.indexes = IndexHeaders(self.member)
        self.forwarder = Forwarder(
            self.member,
            timeout_s=config.limits.request_timeout_s,
            per_peer_max=config.limits.forwards_per_peer,
        )
        self.flow = Flow(self.member, self.registry, self.audit, self.write_ids, self.indexes, self.forwarder.forward)
        self.member.on_call = self.audit.call
        self.forwarder.handler = self._forwarded
        self.forwarder.give = self._give_id
        self.metrics = Metrics(self.member, self._root_tokens)
        self.metrics.audit_failures = lambda: {one.path: one.failures_total for one in self.audit.broker.statuses()}
        self.metrics.backups = self.backups.numbers
        self.flow.metrics = self.metrics
        adoption = Adoption(self.member, self.audit)
        self.status.not_adopted = adoption.waiting
        self._make_paths(adoption)
        self.maintenance = Maintenance(
            self.member, window_s=config.dedupe.window_s, entries_max=config.dedupe.entries_max,
            held=self.snapshots.restores.held,
        )  # fmt: skip
        self.rehydrate = Rehydrate(
            self.member, enabled=bool(config.seal.peers), absence_max_s=config.seal.peers_max_absence_s
        )
        self.security = SecurityLog(self.member.settings.data_dir, config.node.id, self.member.clock)
        self.boot_restore = BootRestore(self.member, config, self.security.record)
        self.limited = LimitRefusals(self.member.clock, self.security.record)
        self.link_certificates = LinkCertificates(self.member, self.security.record)
        self.listeners = Listeners(
            config, self.member, self.handle, self.at_once, self.security, self.limited.count
        )
        self.servers = self.listeners.servers
        self._tasks: list[asyncio.Task[Any]] = []
        self.on_opened: Callable[[], None] = lambda: None
        self.on_closed: Callable[[], Awaitable[None]] = self.backups.closed
        self._single = single
        self._listen_to_parts()

    def _listen_to_parts(self) -> None:
        """What happens in a part is heard by the others."""
        self.security.to_devices = self._event_to_devices
        self.rehydrate.on_event = self.security.record
        self.desk.on_event = self.desk.migration.on_event = self._desk_event
        self.keys.hear(self.security.record)
        self.snapshots.restores.on_event = self.security.record
        self.flow.hear_configured(self._configured)
        self.member.keyrings.on_rekeyed = self.backups.begin_bases
        self.member.on_forward = self.forwarder.serve
        self.member.rehydrate = self.rehydrate
        self.member.on_unsealed = self._unsealed
        self.member.on_sealed = self._sealed
        self.member.state_listeners.append(self._state_replaced)

    # ---- parts
    def _make_paths(self, adoption: Adoption) -> None:
        """What the node answers itself, what it counts first, and what it answers at once."""
        self.local = LocalPaths(
            self.member,
            self.desk,
            self.cluster_seal,
            self.status,
            self.flow,
            self.metrics,
            self.backups,
            adoption,
            open_metrics=self.config.metrics.unauthenticated,
        )
        hot = HotReads(self.member, self.registry, self.flow.judge, self.indexes, self.metrics)
        self._at_work: AtWork = {}
        own = OwnPaths(self.member, self.config, self.flow, self._at_work, lambda: self.desk.active_since_ns)
        self.local.add(own.handlers)
        self.snapshots = SnapshotPaths(self.member, self.flow, MOUNT_TYPES.secrets)
        self.local.add(self.snapshots.handlers)
        self.local.add(AuditCheck(self.flow, self.audit.chain_mac).handlers)
        self.local.add(self.keys.paths(self.flow, rekey_is_open=self.config.api.unauthenticated_rekey))
        self.quotas = Quotas(self.member)
        self.at_once = AtOnce(self.member, self.registry, self.local, self.flow, hot, self.metrics, self.quotas)

    def _make_engines(self) -> dict[str, Engine]:
        lockout = Lockout()
        system = SystemBackend(
            audit_rules=self.audit.rules, leader_id=lambda: self.member.leader_id, mount_types=MOUNT_TYPES,
            engine_for=self._engine_for,
            extra=(*locked_users.routes(lockout), *key_routes(self.keys.rotation)),
        )  # fmt: skip
        return {"system": system, **engines(self.config.limits, lockout)}

    def _engine_for(self, mount: Mount) -> Engine | None:
        if mount.type == "kv":
            version = (mount.options or {}).get("version")
            return self._engines["kv2" if version == "2" else "kv1"]
        return self._engines.get(mount.type)

    def _sealing(self) -> Any:
        return self.member.value_sealing

    def _give_id(self, request: RawRequest) -> None:
        self.write_ids.give(request, self.member.now_ns(), routed=self.registry.route(self.member.view, request.path))

    def _root_tokens(self) -> int:
        replica = self.member.replica
        if replica is None:
            return 0
        found = (records.decode(records.Token, record) for _, _, record in replica.state.items(Table.TOKEN))
        return sum("root" in token.policies for token in found)

    def _unsealed(self) -> None:
        self.on_opened()
        self.registry.forget()
        self.member.view.listeners.append(self.registry.changed)
        self.member.view.listeners.append(self.audit.on_change)
        self.member.view.listeners.append(self.quotas.changed)
        self.member.view.listeners.append(self.cluster_seal.on_change)
        self.cluster_seal.opened(by_shares=self.desk.by_shares)
        self.audit.forget(anew=True)
        self.quotas.forget()
        self.backups.opened()
        self.link_certificates.opened()
        if self.status.not_adopted():
            self.security.record("a restored cluster was opened", adopted=False)
        self.member.running.on_lead = self._leads

    def _sealed(self) -> None:
        self.registry.forget()
        self.keys.forget()
        self.quotas.closed()
        self._spawn(self.on_closed())

    def _state_replaced(self, state: Any) -> None:
        self.registry.forget()
        state.listeners.append(self.registry.changed)
        state.listeners.append(self.audit.on_change)
        state.listeners.append(self.quotas.changed)
        state.listeners.append(self.cluster_seal.on_change)
        self.audit.forget(anew=True)
        self.quotas.forget()
        self.cluster_seal.look()

    def _desk_event(self, event: str, **details: str | int | bool) -> None:
        if event == "unseal attempt":
            self.metrics.unseals["accepted" if details["accepted"] else "refused"] += 1
        self.security.record(event, **details)

    def _configured(self, request: RawRequest, applied: str) -> None:
        path, operation = request.path, request.operation.value
        self.security.record("configuration changed", path=path, operation=operation, applied=applied)

    async def _event_to_devices(self, event: str, details: Mapping[str, str | int | bool]) -> None:
        if self.audit.broker.enabled and self.member.replica is not None:
            await self.audit.broker.event(event, details)

    def _leads(self, leads: bool) -> None:
        self.metrics.leader_changes += 1
        self.keys.forget()
        self.desk.active_since_ns = self.member.clock.wall_ns() if leads else 0

    # ---- requests
    async def handle(self, request: RawRequest) -> RawResponse:
        """Every request of every listener, counted."""
        metrics, clock = self.metrics, self.member.clock
        begun_s = clock.boot()
        metrics.in_flight += 1
        self._at_work[request.id] = (request, begun_s)
        named = request_id.set(request.id)
        try:
            response = await self._counted(request)
        finally:
            request_id.reset(named)
            metrics.in_flight -= 1
            self._at_work.pop(request.id, None)
        route = self._route_of(request)
        metrics.answered(route, request.method, response.status, request.operation.value, clock.boot() - begun_s)
        failpoint("answer.before-send")
        if is_failpoint("answer.after-send"):
            asyncio.get_running_loop().call_later(SENT_S, failpoint, "answer.after-send")
        return response

    async def _counted(self, request: RawRequest) -> RawResponse:
        """Quotas first: whoever has used up theirs costs nothing more."""
        verdict = self.quotas.judge(request) if self.quotas.active else None
        if verdict is None:
            return await self._answer(request)
        if verdict.refusal is None:
            response = await self._answer(request)
        else:
            self.limited.count(Limited.RATE_QUOTA, request.remote_address)
            response = await self.flow.limited(request, verdict.refusal, audited=verdict.audited)
        response.headers = [*response.headers, *verdict.headers]
        return response

    async def _answer(self, request: RawRequest) -> RawResponse:
        handler = self.local.find(request)
        if handler is not None:
            return await self.local.answer(handler, request)
        if request.path.startswith("/"):
            return RawResponse(404, b'{"errors":[]}\n')
        if self.member.sealed:
            return answer_of(request, SealedError())
        return await self.flow.handle(request)

    def _route_of(self, request: RawRequest) -> str:
        """A path of our own or the type of a mount: never a path somebody chose."""
        if self.local.find(request) is not None:
            return request.path
        if self.member.replica is None:
            return "sealed"
        return self.registry.route_name(self.member.view, request.path)

    async def _forwarded(self, request: RawRequest) -> RawResponse:
        named = request_id.set(request.id)
        try:
            handler = self.local.find(request)
            return await (self.flow.handle(request) if handler is None else self.local.answer(handler, request))
        finally:
            request_id.reset(named)

    # ---- life
    async def start(self) -> None:
        """Links and listeners stand."""
        await self.member.start()
        self.link_certificates.started()
        self.desk.write_init_secret()
        await self.listeners.start()
        self._spawn(self.maintenance.run())
        self._spawn(self.keys.run())
        self._spawn(self.audit.run())
        self._spawn(self.cluster_seal.run())
        self._spawn(self._measure_lag())
        self._spawn(self.limited.run())
        if not self.member.initialised and (not self._single or self.boot_restore.enabled):
            self._spawn(self._look_for_cluster())
        self._spawn(self.desk.auto.run())
        self._spawn(self.desk.migration.run())
        if self.config.seal.peers and not self._single:
            self._spawn(self.rehydrate.ask_until_open())
        log.info("the node listens on %s, profile %s", self.config.api.address, self.config.profile)

    async def _measure_lag(self) -> None:
        """How late the loop is, every LAG_PERIOD_S."""
        clock = self.member.clock
        while True:
            due_s = clock.boot() + LAG_PERIOD_S
            await asyncio.sleep(LAG_PERIOD_S)
            self.metrics.loop_lag.observe(max(0.0, clock.boot() - due_s))

    def reload(self, config: Config) -> None:
        """SIGHUP: log level, certificates of the listeners, audit files. Everything else needs a restart."""
        configure(config.log.format, config.log.level, config.node.id)
        self.audit.broker.rotate()
        self.listeners.reload(config.api)
        fixed = {key for key in FIELDS if key not in RELOADABLE and self.config.value(key) != config.value(key)}
        if fixed:
            log.warning("changed, and used only after a restart: %s", ", ".join(sorted(fixed)))
        self.security.record("configuration reloaded", needs_restart=", ".join(sorted(fixed)))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """What runs beside the requests runs for ever: if it does not, the mistake is ours, and nothing may go on."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a background task failed", exc_info=error)
            self.member.on_fatal(type(error).__name__)

    async def _look_for_cluster(self) -> None:
        """An empty node whose peers are initialised fetches the envelope and waits for its shares."""
        while not self.member.initialised:
            await asyncio.sleep(FIND_CLUSTER_S)
            with contextlib.suppress(StrongroomError, OSError):
                if not await self.boot_restore.step():
                    await find_cluster(self.member)
        self.desk.write_init_secret()

    async def stop(self) -> None:
        """See the module's paragraph."""
        for task in self._tasks:
            task.cancel()
        self.limited.tell(everything=True)
        await self.backups.flush()
        await self.keys.answered()
        await self.member.hand_over()
        await self.listeners.stop(self.config.limits.drain_timeout_s)
        self.flow.close()
        await self.audit.close()
        await self.backups.closed()
        await self.member.stop()
