"""One request, from the edge to the answer: who, may they, audit, do, audit, answer. The order is the whole point.

  write, on the leader    who? → may they? → audit the request → [who, may: again → decide → propose] → applied →
                          audit the response → answer        (nothing is awaited inside the brackets)
  write, elsewhere        forwarded whole to the leader; its answer is returned as it is
  read, on any node       a read barrier → who? → may they? → look up → audit request and response → answer

Invariants
  F1  nothing is answered before its audit record is written; a device that cannot write means 500
  F2  a refusal, too, is a linearizable read: on the leader it leaves only when the log end it was decided at is applied
  F3  a request that was forwarded is never forwarded again
  F4  a request by a token with limited uses goes to the leader, and the use is in the same transaction
  F5  the outcome of a failed write is said: applied no, unknown or yes
Source: Vault internals, "Request handling"; docs/architecture.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cluster import (
    DamagedError,
    Draft,
    NotLeaderError,
    SealedError,
    StrongroomError,
    UnknownOutcomeError,
    View,
)

from .auth import tokens
from .auth.token_use import join, use_token
from .engines.base import Plan
from .engines.system.routes import Router, unsupported_path
from .http.render import errors_body, refused, respond
from .judge import Judge, Judged
from .request import Answer, Operation, RawRequest, RawResponse, Refusal
from .writes import Repetition, WriteIds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster import Member, State

    from .audit_desk import AuditDesk
    from .audit_port import AuditPort
    from .indexes import IndexHeaders
    from .metrics import Metrics
    from .registry import Registry, Routed

RETRY_AFTER_S = 1


class AuditFailedError(Exception):
    """No device took the record: the request must not be answered."""


class Flow:
    """The request path of one node."""

    def __init__(
        self,
        member: Member,
        registry: Registry,
        audit: AuditDesk,
        write_ids: WriteIds,
        indexes: IndexHeaders,
        forward: Callable[[RawRequest], Any],
    ) -> None:
        self._member = member
        self._registry = registry
        self._desk = audit
        self._audit: AuditPort = audit.broker
        self._write_ids = write_ids
        self._indexes = indexes
        self._forward = forward
        self._tasks: set[asyncio.Task[None]] = set()
        self._judge = Judge(member, registry)
        self.metrics: Metrics | None = None

    async def handle(self, request: RawRequest) -> RawResponse:
        """The answer to a request below a mount. Never raises but for cancellation and broken invariants."""
        try:
            return await self._handle(request)
        except Refusal as refusal:
            return refused(refusal)
        except SealedError:
            return refused(Refusal(503, "Vault is sealed"))
        except UnknownOutcomeError:
            return self._outcome(request, 504, "the outcome of the write is unknown", "unknown")
        except StrongroomError as error:
            if isinstance(error, DamagedError):
                return RawResponse(500, errors_body(["internal error"]))
            return self._outcome(request, 503, str(error), "no", retry=True)
        except AuditFailedError:
            return RawResponse(500, errors_body(["1 error occurred:\n\t* internal error\n\n"]))

    def _outcome(
        self, request: RawRequest, status: int, text: str, applied: str, *, retry: bool = False
    ) -> RawResponse:
        body = errors_body([text], applied=applied, write_id=request.write_id)
        return RawResponse(status, body, [("Retry-After", str(RETRY_AFTER_S))] if retry else [])

    async def _handle(self, request: RawRequest) -> RawResponse:
        member = self._member
        registry = self._registry
        if request.index_states:
            self._indexes.check(request.index_states)
        state = member.view
        epoch, routed = registry.epoch, registry.route(state, request.path)
        if not _is_write(routed, request):
            await member.read_barrier()
            state = member.view
            if registry.epoch != epoch:  # the mount may only now be here
                routed = registry.route(state, request.path)
            if not _is_write(routed, request):
                response = await self._read(request, routed, state)
                if response is not None:
                    return response
        self._write_ids.give(request, member.now_ns())
        if member.is_leader:
            return await self._write(request)
        return await self._elsewhere(request)

    async def _elsewhere(self, request: RawRequest) -> RawResponse:
        if request.forwarded_from is not None:
            raise NotLeaderError(self._member.leader_id)  # F3
        response = await self._forward(request)
        assert isinstance(response, RawResponse)
        return response

    async def elsewhere(self, request: RawRequest) -> RawResponse:
        """Forward a local path's request to the leader."""
        return await self._elsewhere(request)

    async def judged(self, request: RawRequest, do: Callable[[RawRequest], Awaitable[Answer]]) -> RawResponse:
        """A local path that needs a token: judged on state behind a read barrier, audited, done, audited.

        Raises as `handle` catches.
        """
        member = self._member
        await member.read_barrier()
        state, now_ns = member.view, member.now_ns()
        judged: Judged | None = None
        refusal: Refusal | None = None
        try:
            if self._limited(state, request, now_ns):
                judged = await self._pay(request)
            else:
                judged = self._judge.at(state, request, now_ns, pending=False, local=True)
        except Refusal as error:
            refusal = error
        if self._audit.enabled and not await self._audit.request(request, judged, refusal):
            return RawResponse(500, errors_body(["internal error"]))
        answer: Answer | None = None
        if refusal is None:
            try:
                answer = await do(request)
            except Refusal as error:
                refusal = error
        if self._audit.enabled and not await self._audit.response(request, judged, answer, refusal):
            return RawResponse(500, errors_body(["internal error"]))
        if refusal is not None:
            return refused(refusal)
        assert answer is not None
        return self._indexes.add(respond(request.id, answer), state.applied_index, "readindex")

    async def _pay(self, request: RawRequest) -> Judged:
        """A local path's request judged on the leader, its token's use committed whether allowed or refused (F4).

        Elsewhere it is refused: the leader cannot answer for this node, and only the leader can take a use.
        """
        if not self._member.is_leader:
            raise Refusal(400, "a token with a limited number of uses works on this path only at the active node")
        replica = self._member.running

        def decide(view: View, now_ns: int) -> tuple[Draft, Judged | Refusal]:
            paid = self._paid(view, now_ns, request)
            try:
                pending = replica.overlay_pending
                return paid, self._judge.at(view, request, now_ns, pending=pending, local=True)
            except Refusal as refusal:
                return paid, refusal

        _index, judged = await self._member.write(decide)
        if isinstance(judged, Refusal):
            raise judged
        return judged

    def after_answer(self, action: Callable[[], Awaitable[None]]) -> None:
        """Let `action` happen once the answer of the present request had time to leave."""
        loop = asyncio.get_running_loop()

        def begin() -> None:
            task = loop.create_task(_run(action))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        loop.call_soon(begin)

    # ---- read
    async def _read(self, request: RawRequest, routed: Routed | None, state: State) -> RawResponse | None:
        """The answer, decided on this state in one turn; None for a token with limited uses: the leader's."""
        now_ns, index = self._judge.now(), state.applied_index
        judged: Judged | None = None
        answer: Answer | None = None
        refusal: Refusal | None = None
        try:
            judged = self._judge.judge(state, request, routed, now_ns, pending=False)
            if judged.token is not None and judged.token.record.num_uses:
                return None  # F4
            answer = self._ask(judged, request, state, now_ns)
            response = respond(request.id, answer)
        except Refusal as error:
            if judged is None and self._limited(state, request, now_ns):
                return None  # F4: a refusal costs a use, too
            refusal = error
            response = refused(refusal)
        if self._audit.enabled and not await self._audit.both(request, judged, answer, refusal):
            raise AuditFailedError
        if self.metrics is not None:
            self.metrics.reads["readindex"] += 1
        return self._indexes.add(response, index, "readindex") if request.token else response

    def _limited(self, view: View, request: RawRequest, now_ns: int) -> bool:
        assert self._member.values is not None
        token = tokens.authenticate(view, self._member.values, request.token, now_ns, request.remote_address)
        return token is not None and token.record.num_uses != 0

    def _ask(self, judged: Judged, request: RawRequest, view: View, now_ns: int) -> Answer:
        assert judged.routed is not None
        engine = judged.routed.engine
        if engine is None:
            raise unsupported_path()
        request.operation = judged.operation
        if request.operation is Operation.HELP and not isinstance(engine, Router):
            return _help(judged.routed)
        return engine.read(self._judge.context(view, judged.routed, now_ns, judged.caller), request, judged.routed.path)

    # ---- write
    async def _write(self, request: RawRequest) -> RawResponse:
        member = self._member
        replica = member.running
        judged: Judged | None = None
        refusal: Refusal | None = None
        if self._audit.enabled or request.path.startswith("sys/audit/"):
            try:
                judged = self._judge.at(replica.overlay, request, replica.now_ns(), pending=replica.overlay_pending)
            except Refusal as error:
                refusal = error
        if self._audit.enabled and not await self._audit.request(request, judged, refusal):
            raise AuditFailedError
        if refusal is None and request.path.startswith("sys/audit/"):
            await self._desk.before(request)
        try:
            index, done = await member.write(lambda view, now_ns: self._decide(view, now_ns, request))
        except StrongroomError as error:
            failed = Refusal(504 if isinstance(error, UnknownOutcomeError) else 503, str(error))
            if self._audit.enabled and not await self._audit.response(request, judged, None, failed):
                raise AuditFailedError from error
            raise
        return await self._applied(request, judged, index, done)

    def _decide(self, view: View, now_ns: int, request: RawRequest) -> tuple[Draft, Any]:
        """Inside the brackets: judged again on the overlay, decided, to be proposed in the same turn."""
        replica = self._member.running
        try:
            judged = self._judge.at(view, request, now_ns, pending=replica.overlay_pending)
            if judged.routed is None or judged.routed.engine is None:
                raise unsupported_path()
            remembered = self._write_ids.look(view, request, judged.token, now_ns)
            if remembered is not None:
                return Draft(), remembered
            return self._plan(view, now_ns, request, judged)
        except Refusal as refusal:
            return self._paid(view, now_ns, request), refusal

    def _paid(self, view: View, now_ns: int, request: RawRequest) -> Draft:
        """The use that a refused request costs its token; nothing if the token is not valid here or has no limit."""
        assert self._member.values is not None
        token = tokens.authenticate(view, self._member.values, request.token, now_ns, request.remote_address)
        return Draft() if token is None else use_token(view, token)[1]

    def _plan(self, view: View, now_ns: int, request: RawRequest, judged: Judged) -> tuple[Draft, Any]:
        routed = judged.routed
        assert routed is not None
        engine = routed.engine
        assert engine is not None
        use = Draft()
        if judged.token is not None and judged.token.record.num_uses:
            view, use = use_token(view, judged.token)
            judged.caller.num_uses = judged.token.record.num_uses - 1
        asked = request.operation
        try:
            if not _is_write(routed, request):  # here only for its use
                return use, Plan(self._ask(judged, request, view, now_ns))
            request.operation = judged.operation
            context = self._judge.context(view, routed, now_ns, judged.caller)
            plan = engine.decide(context, request, routed.path)
        except Refusal as refusal:
            return use, refusal  # a use is paid by a refused request, too
        finally:
            request.operation = asked
        draft = join(use, plan.draft)
        if not draft.empty:
            self._write_ids.remember(draft, request, judged.token, plan, now_ns)
        return draft, plan

    async def _applied(self, request: RawRequest, judged: Judged | None, index: int, done: Any) -> RawResponse:
        answer: Answer | None = None
        refusal: Refusal | None = None
        if isinstance(done, Refusal):
            refusal = done
            response = refused(refusal)
        elif isinstance(done, Repetition):
            response = done.response
        else:
            assert isinstance(done, Plan)
            answer = done.answer
            response = respond(request.id, answer)
            if request.path.startswith("sys/audit/"):
                await self._desk.after(request)
        if self._audit.enabled and not await self._audit.response(request, judged, answer, refusal):
            if answer is not None and not getattr(done, "draft", Draft()).empty:
                return self._outcome(request, 500, "1 error occurred:\n\t* internal error\n\n", "yes")
            raise AuditFailedError
        if isinstance(done, Plan) and done.after is not None:
            done.after()
        if request.write_id is not None:
            response.headers.append(("X-Strongroom-Write-Id", request.write_id))
        if request.token is None:
            return response
        served = "forwarded" if request.forwarded_from else "leader"
        return self._indexes.add(response, index or self._member.view.applied_index, served)


def _help(routed: Routed) -> Answer:
    text = f"The {routed.mount.type} engine at {routed.mount_path}; see docs/api.md."
    about = {"title": "Strongroom", "version": "1", "description": "HTTP API"}
    openapi = {"openapi": "3.0.2", "info": about, "paths": {}}
    return Answer(bare=True, data={"help": text, "see_also": None, "openapi": openapi})


def _is_write(routed: Routed | None, request: RawRequest) -> bool:
    engine = None if routed is None or request.operation is Operation.HELP else routed.engine
    return engine is not None and routed is not None and engine.is_write(request.operation, routed.path)


async def _run(action: Callable[[], Awaitable[None]]) -> None:
    await action()


__all__ = ["AuditFailedError", "Flow"]
