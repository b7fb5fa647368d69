"""Paths that every node answers for itself, sealed or not: init, seal and unseal, health, leader, probes, own status.

A shell. Open paths need no token; those that do are judged like any other request, on state behind a read barrier.
Source: Vault API, sys/init, sys/seal-status, sys/unseal, sys/seal, sys/health, sys/leader, sys/step-down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from cluster import Member, StrongroomError

from . import metrics as metrics_room
from .engines.system.routes import unsupported_operation
from .http.openapi import document
from .http.render import json_bytes, refused, respond
from .outcomes import AuditFailedError, answer_of
from .request import OPERATIONS, Answer, Operation, RawRequest, RawResponse, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .adoption import Adoption
    from .backup_desk import BackupDesk
    from .cluster_seal import ClusterSeal
    from .flow import Flow
    from .metrics import Metrics
    from .seal_desk import SealDesk
    from .status import Status

Handler = Callable[[RawRequest], Awaitable[RawResponse]]
READS = frozenset({Operation.READ, Operation.HEADER})
UPDATES = frozenset({"POST", "PUT"})
PUBLIC = frozenset({"sys/health", "sys/leader", "sys/seal-status", "sys/internal/specs/openapi"})
"""What holds nothing to wrap: whether wrapping was asked for makes no difference, as in Vault."""


class LocalPaths:
    """The table of these paths."""

    def __init__(
        self,
        member: Member,
        desk: SealDesk,
        cluster_seal: ClusterSeal,
        status: Status,
        flow: Flow,
        metrics: Metrics,
        backups: BackupDesk,
        adoption: Adoption,
        *,
        open_metrics: bool,
    ) -> None:
        self._member = member
        self._desk = desk
        self._cluster_seal = cluster_seal
        self._status = status
        self._flow = flow
        self._metrics = metrics
        self._backups = backups
        self._adoption = adoption
        self._open_metrics = open_metrics
        self._document = document()
        self._handlers: dict[str, Handler] = {
            "sys/init": self._init,
            "sys/seal-status": self._seal_status,
            "sys/unseal": self._unseal,
            "sys/health": self._health,
            "sys/leader": self._leader,
            "sys/seal": self._seal,
            "sys/step-down": self._step_down,
            "sys/ha-status": self._ha_status,
            "sys/metrics": self._metrics_path,
            "sys/internal/specs/openapi": self._openapi,
            "strongroom/status": self._own_status,
            "strongroom/adopt": self._adopt,
            "strongroom/backup/status": self._backup_status,
            "strongroom/backup/trigger": self._backup_trigger,
            "/livez": self._live,
            "/readyz": self._ready,
            "/startupz": self._started,
        }

    def add(self, handlers: Mapping[str, Handler]) -> None:
        """More paths, each with its handler."""
        self._handlers.update(handlers)

    def find(self, request: RawRequest) -> Handler | None:
        """The handler of a local path."""
        return self._handlers.get(request.path)

    async def answer(self, handler: Handler, request: RawRequest) -> RawResponse:
        """Its answer; refusals become errors.

        A handler looks at the method, and whoever judges at the operation: where `?help` or `?list` makes another one
        of it, there is nothing to be had.
        """
        misused = _misused(request)
        was_sealed = self._member.sealed  # a path of sealed nodes says what is wrong with itself
        try:
            if misused is None:
                return await handler(request)
            if was_sealed or request.path.startswith("/") or request.path in PUBLIC:
                return refused(misused)
            return await self._flow.unjudged(request, _refusing(misused))
        except Refusal as refusal:
            return refused(refusal)
        except (StrongroomError, AuditFailedError) as error:
            return answer_of(request, error, sealed=self._member.sealed and not was_sealed)

    # ---- open
    async def _init(self, request: RawRequest) -> RawResponse:
        if request.method == "GET" and request.operation is Operation.READ:
            return _bare({"initialized": self._member.initialised})
        if request.method not in UPDATES:
            raise _not_allowed()
        self._desk.check_may_init(request)
        return _bare(await self._desk.init(_object(request)))

    async def _seal_status(self, request: RawRequest) -> RawResponse:
        if request.method != "GET":
            raise _not_allowed()
        return _bare(self._status.seal_status())

    async def _unseal(self, request: RawRequest) -> RawResponse:
        if request.method not in UPDATES:
            raise _not_allowed()
        await self._desk.unseal(_object(request))
        return _bare(self._status.seal_status())

    async def _health(self, request: RawRequest) -> RawResponse:
        if request.method not in {"GET", "HEAD"}:
            raise _not_allowed()
        return self._status.health(request.query)

    async def _leader(self, request: RawRequest) -> RawResponse:
        if request.method != "GET":
            raise _not_allowed()
        return _bare(self._status.leader())

    async def _openapi(self, request: RawRequest) -> RawResponse:
        if request.method != "GET":
            raise unsupported_operation()
        return RawResponse(200, self._document)

    # ---- probes
    async def _live(self, _request: RawRequest) -> RawResponse:
        return _bare({"live": True})

    async def _ready(self, _request: RawRequest) -> RawResponse:
        why = self._status.why()
        if not why:
            try:
                await self._member.read_barrier()
            except StrongroomError as error:
                why = [str(error)]
        if why:
            return RawResponse(503, json_bytes({"ready": False, "why": why}) + b"\n", [("Retry-After", "1")])
        return _bare({"ready": True, "why": []})

    async def _started(self, _request: RawRequest) -> RawResponse:
        member = self._member
        if member.replica is None or member.starting:
            body = json_bytes({"started": False, "why": self._status.why()}) + b"\n"
            return RawResponse(503, body, [("Retry-After", "1")])
        return _bare({"started": True, "why": []})

    # ---- with a token
    async def _seal(self, request: RawRequest) -> RawResponse:
        if request.method not in UPDATES:
            raise _not_allowed()
        if self._member.sealed and self._member.initialised:
            return RawResponse(204)
        whole = _object(request).get("cluster") is True
        if whole and not self._member.is_leader and request.forwarded_from is None:
            return await self._flow.elsewhere(request)
        allowed = False

        async def do(_request: RawRequest) -> Answer:
            nonlocal allowed
            allowed = True
            if whole:
                await self._cluster_seal.propose()
            return Answer()

        try:
            return await self._flow.judged(request, do, stale=not whole)  # a node cut off can be sealed
        finally:
            if allowed and not whole:  # behind the audit record, which needs keys, and even if no device took it
                self._flow.after_answer(self._desk.seal)

    async def _step_down(self, request: RawRequest) -> RawResponse:
        if request.method not in UPDATES:
            raise unsupported_operation()
        if not self._member.is_leader and request.forwarded_from is None and self._member.replica is not None:
            return await self._flow.elsewhere(request)
        return await self._flow.judged(request, self._do_step_down)

    async def _do_step_down(self, _request: RawRequest) -> Answer:
        self._member.step_down()
        return Answer()

    async def _ha_status(self, request: RawRequest) -> RawResponse:
        if request.method != "GET":
            raise unsupported_operation()

        async def do(_request: RawRequest) -> Answer:
            return Answer(data={"nodes": self._status.ha_nodes()}, inject=True)

        return await self._flow.judged(request, do)

    async def _own_status(self, request: RawRequest) -> RawResponse:
        if request.method != "GET":
            raise unsupported_operation()

        async def do(_request: RawRequest) -> Answer:
            return Answer(data=self._status.status())

        return await self._flow.judged(request, do)

    async def _adopt(self, request: RawRequest) -> RawResponse:
        if request.method not in UPDATES:
            raise unsupported_operation()
        if not self._member.is_leader and request.forwarded_from is None and self._member.replica is not None:
            return await self._flow.elsewhere(request)

        async def do(asked: RawRequest) -> Answer:
            return await self._adoption.adopt(audit=_object(asked).get("audit") is not False)

        return await self._flow.judged(request, do)

    def _is_for_the_writer(self, request: RawRequest) -> bool:
        """Whether the leader must answer it, because it alone writes shared sinks and knows of them."""
        member = self._member
        elsewhere = not member.is_leader and request.forwarded_from is None and member.replica is not None
        return self._backups.has_shared and elsewhere

    async def _backup_status(self, request: RawRequest) -> RawResponse:
        if request.method != "GET":
            raise unsupported_operation()

        if self._is_for_the_writer(request):
            return await self._flow.elsewhere(request)

        async def do(_request: RawRequest) -> Answer:
            return self._backups.status()

        return await self._flow.judged(request, do)

    async def _backup_trigger(self, request: RawRequest) -> RawResponse:
        """On the node that writes the sinks: the leader, for shared ones."""
        if request.method not in UPDATES:
            raise unsupported_operation()
        if self._is_for_the_writer(request):
            return await self._flow.elsewhere(request)

        async def do(asked: RawRequest) -> Answer:
            sink = _object(asked).get("sink", "")
            if not isinstance(sink, str):
                raise Refusal(400, "sink must be the name of a backup sink")
            return await self._backups.trigger(sink)

        return await self._flow.judged(request, do)

    async def _metrics_path(self, request: RawRequest) -> RawResponse:
        if request.method != "GET":
            raise unsupported_operation()
        wanted = request.query.get("format", "")
        accept = request.headers.get("accept", "")
        prometheus = wanted == "prometheus" or "openmetrics" in accept or "version=0.0.4" in accept

        async def do(_request: RawRequest) -> Answer:
            if prometheus:
                return Answer(raw=RawResponse(200, self._metrics.prometheus(), [], metrics_room.CONTENT_TYPE))
            return Answer(data=self._metrics.json(), bare=True)

        if self._open_metrics:
            answer = await do(request)
            return respond(request.id, answer)
        return await self._flow.judged(request, do)


def _misused(request: RawRequest) -> Refusal | None:
    """What no local path does, whichever it is."""
    if OPERATIONS.get(request.method) is not request.operation:
        return unsupported_operation()
    if request.wrap_ttl_s and request.path not in PUBLIC:  # never answered unwrapped
        return Refusal(400, "response wrapping is not supported on this path")
    return None


def _refusing(refusal: Refusal) -> Callable[[RawRequest], Awaitable[Answer]]:
    async def do(_request: RawRequest) -> Answer:
        raise refusal

    return do


def _bare(body: dict[str, Any]) -> RawResponse:
    return RawResponse(200, json_bytes(body) + b"\n")


def _not_allowed() -> Refusal:
    return Refusal(405)


def _object(request: RawRequest) -> dict[str, Any]:
    try:
        return request.body.values
    except msgspec.MsgspecError as error:
        raise Refusal(400, "failed to decode JSON input: it is not an object") from error


__all__ = ["LocalPaths"]
