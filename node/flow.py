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
  F6  a node that is sealed under a request says so, and nothing that was read: 503, unless something was done already
Source: Vault internals, "Request handling"; docs/architecture.md.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster import (
    DamagedError,
    Draft,
    NotLeaderError,
    OverloadedError,
    SealedError,
    StrongroomError,
    UnavailableError,
    UnknownOutcomeError,
    View,
)

from .auth import tokens
from .engines import wrapping_tokens
from .engines.system.routes import unsupported_operation
from .http.render import refused, respond
from .judge import Judge, Judged
from .outcomes import AuditFailedError, answer_of, broken, failed, outcome, while_sealed
from .request import OPERATIONS, WRITES, Answer, NeedsDecision, RawRequest, RawResponse, Refusal
from .writing import Writing, ask, is_for_leader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster import Member, State

    from .audit_desk import AuditDesk
    from .audit_port import AuditPort
    from .indexes import IndexHeaders
    from .metrics import Metrics
    from .registry import Registry, Routed
    from .writes import WriteIds


class Read(NamedTuple):
    """A read that is decided: the state's index, what is answered, and what audit wants to know of it."""

    at_index: int
    response: RawResponse
    judged: Judged | None
    answer: Answer | None
    refusal: Refusal | None


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
        self._audit: AuditPort = audit.broker
        self._write_ids = write_ids
        self._indexes = indexes
        self._forward = forward
        self._tasks: set[asyncio.Task[None]] = set()
        self.judge = Judge(member, registry)
        self._writing = Writing(member, self.judge, audit, write_ids, indexes)
        self.metrics: Metrics | None = None

    def close(self) -> None:
        """No more work is begun in threads."""
        self._writing.close()

    def hear_configured(self, told: Callable[[RawRequest, str], None]) -> None:
        """`told(request, applied)` hears of each change of configuration that this node executes."""
        self._writing.on_configured = told

    async def handle(self, request: RawRequest) -> RawResponse:
        """The answer to a request below a mount. Never raises but for cancellation and broken invariants."""
        try:
            return await self._handle(request)
        except (Refusal, StrongroomError, AuditFailedError) as error:
            return self._failed(request, error)

    def _failed(self, request: RawRequest, error: Exception) -> RawResponse:
        if isinstance(error, Refusal):
            return refused(error)
        assert isinstance(error, (StrongroomError, AuditFailedError))
        sealed = self._member.sealed
        said = while_sealed(error) if sealed else error
        if request.forwarded_from is not None and isinstance(said, StrongroomError) and not _is_final(said):
            raise NotLeaderError(self._member.leader_id) from error  # the forwarder waits for the next leader
        return answer_of(request, said, sealed=sealed)

    async def _handle(self, request: RawRequest) -> RawResponse:
        member = self._member
        registry = self._registry
        if request.index_states:
            try:
                self._indexes.check(request.index_states)
            except Refusal as refusal:
                await self._record(request, refusal)
                raise
        state = member.view
        epoch, routed = registry.epoch, registry.route(state, request.path)
        if not is_for_leader(routed, request):
            try:
                await member.read_barrier()
            except StrongroomError as error:
                if self.metrics is not None:
                    self.metrics.reads["refused"] += 1
                await self.record_failure(request, error)
                raise
            state = member.view
            if registry.epoch != epoch:  # the mount may only now be here
                routed = registry.route(state, request.path)
            if not is_for_leader(routed, request):
                response = await self._read(request, routed, state)
                if response is not None:
                    return response
        self._write_ids.give(request, member.now_ns(), routed=routed, early=member.leader_id is None)
        if member.is_leader:
            return await self._writing.write(request)
        return await self._elsewhere(request)

    async def _elsewhere(self, request: RawRequest) -> RawResponse:
        if request.forwarded_from is not None:
            raise NotLeaderError(self._member.leader_id)  # F3
        if request.no_forwarding:
            leader = self._member.settings.members.get(self._member.leader_id or "")
            if leader is not None:
                await self._record(request, Refusal(307, "redirected to the active node"))
                return RawResponse(307, b"", [("Location", f"{leader.api}{request.target}")])
        try:
            response = await self._forward(request)
        except StrongroomError as error:
            await self.record_failure(request, error)
            raise
        assert isinstance(response, RawResponse)
        return response

    async def record_failure(self, request: RawRequest, error: StrongroomError) -> None:
        """F1 for what becomes of an error. While this node is sealed there are no keys for a record."""
        if not self._member.sealed:
            applied = "unknown" if isinstance(error, UnknownOutcomeError) else "no"
            await self._record(request, failed(error), applied)

    async def _record(self, request: RawRequest, refusal: Refusal, applied: str = "no") -> None:
        """F1 for what this node answers without having judged it. Raises AuditFailedError."""
        if self._audit.enabled and not await self._audit.both(request, None, None, refusal):
            raise AuditFailedError(applied)

    async def limited(self, request: RawRequest, refusal: Refusal, *, audited: bool) -> RawResponse:
        """The answer to a request that a quota holds back, before anybody looked who asks."""
        try:
            if audited:
                await self._record(request, refusal)
        except AuditFailedError as error:
            return answer_of(request, error, sealed=self._member.sealed)
        if request.operation in WRITES:
            return outcome(request, refusal.status, refusal.texts[0], "no", retry_after_s=refusal.retry_after_s)
        return refused(refusal)

    async def elsewhere(self, request: RawRequest) -> RawResponse:
        """Forward a local path's request to the leader."""
        return await self._elsewhere(request)

    async def judged(
        self, request: RawRequest, do: Callable[[RawRequest], Awaitable[Answer]], *, stale: bool = False
    ) -> RawResponse:
        """A local path that needs a token: judged on state behind a read barrier, audited, done, audited.

        With `stale` on what this node has, if nobody confirms it: for what only closes. Raises as `handle` catches.
        """
        member = self._member
        if OPERATIONS.get(request.method) is not request.operation:
            raise unsupported_operation()  # it would be judged as something else than what is done
        try:
            await member.read_barrier()
        except StrongroomError as error:
            if not stale:
                await self.record_failure(request, error)
                raise
        state, now_ns = member.view, member.now_ns()
        judged: Judged | None = None
        answer: Answer | None = None
        refusal: Refusal | None = None
        failure: StrongroomError | None = None
        try:
            if self._limited(state, request, now_ns):
                judged = await self._pay(request)
            else:
                judged = self.judge.at(state, request, now_ns, pending=False, local=True)
        except Refusal as error:
            refusal = error
        except StrongroomError as error:
            await self.record_failure(request, error)
            raise
        if self._audit.enabled and not await self._audit.request(request, judged, refusal):
            raise AuditFailedError
        if refusal is None:
            try:
                answer = await do(request)
            except Refusal as error:
                refusal = error
            except StrongroomError as error:
                failure, refusal = error, failed(error)
        if self._audit.enabled and not await self._audit.response(request, judged, answer, refusal):
            raise AuditFailedError(_applied(request, failure, refusal))
        if failure is not None:
            raise failure
        if refusal is not None:
            return refused(refusal)
        assert answer is not None
        response = respond(request.id, answer)
        if member.sealed:  # meanwhile: an index is signed with a key, and what was done may be told only once
            if request.operation not in WRITES:
                raise SealedError("this node is sealed")  # F6
            return response
        return self._indexes.add(response, state.applied_index, "readindex")

    async def unjudged(self, request: RawRequest, do: Callable[[RawRequest], Awaitable[Answer]]) -> RawResponse:
        """A local path that needs no token, of a node that is unsealed: audited, done, audited. Raises as `judged`."""
        if self._audit.enabled and not await self._audit.request(request, None, None):
            raise AuditFailedError
        answer: Answer | None = None
        refusal: Refusal | None = None
        failure: StrongroomError | None = None
        try:
            answer = await do(request)
        except Refusal as error:
            refusal = error
        except StrongroomError as error:
            failure, refusal = error, failed(error)
        if self._audit.enabled and not await self._audit.response(request, None, answer, refusal):
            raise AuditFailedError(_applied(request, failure, refusal))
        if failure is not None:
            raise failure
        if refusal is not None:
            return refused(refusal)
        assert answer is not None
        return respond(request.id, answer)

    async def _pay(self, request: RawRequest) -> Judged:
        """A local path's request judged on the leader, its token's use committed whether allowed or refused (F4).

        Elsewhere it is refused: the leader cannot answer for this node, and only the leader can take a use.
        """
        if self._member.leader_id is None:
            raise UnavailableError("there is no leader now")
        if not self._member.is_leader:
            raise Refusal(400, "a token with a limited number of uses works on this path only at the active node")
        replica = self._member.running

        def decide(view: View, now_ns: int) -> tuple[Draft, Judged | Refusal]:
            paid = self._writing.paid(view, now_ns, request)
            try:
                pending = replica.overlay_pending
                return paid, self.judge.at(view, request, now_ns, pending=pending, local=True)
            except Refusal as refusal:
                return paid, refusal

        _index, judged = await self._member.propose(decide)
        if isinstance(judged, Refusal):
            raise judged
        return judged

    def after_answer(self, action: Callable[[], Awaitable[None]]) -> None:
        """Let `action` happen once the answer of the present request had time to leave. It was promised: if it fails,
        the process ends.
        """
        loop = asyncio.get_running_loop()

        def begin() -> None:
            task = loop.create_task(_run(action))
            self._tasks.add(task)
            task.add_done_callback(self._done)

        loop.call_soon(begin)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._member.on_fatal(type(error).__name__)

    # ---- read
    def state_now(self) -> State | None:
        """The state a read of this turn may be answered from: the barrier holds, no device wants a record (F1)."""
        return self._member.view if self._member.reads_now and not self._audit.enabled else None

    def read_now(self, request: RawRequest, state: State) -> RawResponse | None:
        """As `handle`, on `state_now` of this turn; None, and nothing has happened, for what must wait or may write."""
        try:
            if request.index_states:
                self._indexes.check(request.index_states)
            routed = self._registry.route(state, request.path)
            done = None if is_for_leader(routed, request) else self._decide_read(request, routed, state)
        except (Refusal, StrongroomError) as error:
            return self._failed(request, error)
        return None if done is None else self._read_done(request, done)

    async def _read(self, request: RawRequest, routed: Routed | None, state: State) -> RawResponse | None:
        """The answer, decided on this state in one turn; None: the leader must decide it, or take a token's use."""
        done = self._decide_read(request, routed, state)
        if done is None:
            return None
        if self._audit.enabled and not await self._audit.both(request, done.judged, done.answer, done.refusal):
            raise AuditFailedError
        return self._read_done(request, done)

    def _decide_read(self, request: RawRequest, routed: Routed | None, state: State) -> Read | None:
        """What `_read` audits and answers. Nothing is awaited: the state is one."""
        now_ns, index = self.judge.now(), state.applied_index
        judged: Judged | None = None
        answer: Answer | None = None
        refusal: Refusal | None = None
        asked = request.operation
        try:
            judged = self.judge.judge(state, request, routed, now_ns, pending=False)
            if judged.token is not None and judged.token.record.num_uses:
                return None  # F4
            answer = ask(self.judge, judged, request, state, now_ns)
            response = respond(request.id, answer)
        except Refusal as error:
            if judged is None and self._limited(state, request, now_ns):
                return None  # F4: a refusal costs a use, too
            refusal = error
            response = refused(refusal)
        except NeedsDecision:
            request.operation = asked
            return None
        except DamagedError:
            refusal = Refusal(500, "internal error")
            response = refused(refusal)
        except StrongroomError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, its record is written (F1)
            refusal = broken(error)
            response = refused(refusal)
        return Read(index, response, judged, answer, refusal)

    def _read_done(self, request: RawRequest, done: Read) -> RawResponse:
        if self._member.sealed:
            raise SealedError("this node is sealed")  # F6
        if self.metrics is not None:
            self.metrics.reads["readindex"] += 1
        return self._indexes.add(done.response, done.at_index, "readindex") if request.token else done.response

    def _limited(self, view: View, request: RawRequest, now_ns: int) -> bool:
        if request.path == wrapping_tokens.LOOKUP:
            return False  # looking is free, also where it fails
        sealing = self._member.value_sealing
        token = tokens.authenticate(view, sealing, request.token, now_ns, request.remote_address)
        return token is not None and token.record.num_uses != 0


def _is_final(error: Exception) -> bool:
    """Whether another node, or the same one a little later, would say the same."""
    elsewhere = (NotLeaderError, SealedError, UnavailableError)
    return isinstance(error, OverloadedError) or not isinstance(error, elsewhere)


async def _run(action: Callable[[], Awaitable[None]]) -> None:
    await action()


__all__ = ["Flow"]


def _applied(request: RawRequest, failure: StrongroomError | None, refusal: Refusal | None) -> str:
    """What became of what a local path did, whichever way that was said."""
    if isinstance(failure, UnknownOutcomeError) or (refusal is not None and refusal.applied == "unknown"):
        return "unknown"
    return "yes" if refusal is None and request.operation in WRITES else "no"
