"""One write on the leader: judged, audited, judged again and decided, proposed, applied, audited, answered.

A shell around the engines. Nothing is awaited between the second judgement and the proposal: what was decided is
decided on the state the entry meets. The invariants are those of flow.py.
Source: Vault internals, "Request handling"; docs/architecture.md.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from cluster import (
    DamagedError,
    Draft,
    OverloadedError,
    StrongroomError,
    Table,
    UnknownOutcomeError,
    View,
    failpoint,
)

from .auth import tokens
from .auth.token_use import join, use_token
from .engines import leases, wrapping_tokens
from .engines.base import Plan
from .engines.system.routes import Router, unsupported_path
from .http.render import refused, respond
from .labour import Labourers, kind_of
from .outcomes import INTERNAL, AuditFailedError, broken, failed, say_write_id
from .request import Answer, NeedsDecision, Operation, RawRequest, RawResponse, Refusal, StaleLabour
from .wrapping import goes_to_leader, wrapped
from .writes import Repetition

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Member

    from .audit_desk import AuditDesk
    from .audit_port import AuditPort
    from .indexes import IndexHeaders
    from .judge import Judge, Judged
    from .registry import Routed
    from .writes import WriteIds


LABOUR_ATTEMPTS = 3
CONFIGURATION = ("sys/config/", "sys/quotas/", "sys/audit/")
"""What changes below these paths is a security event, also where no audit device is left to say so."""


class Writing:
    """The writes of one node, while it leads."""

    def __init__(
        self, member: Member, judge: Judge, audit: AuditDesk, write_ids: WriteIds, indexes: IndexHeaders
    ) -> None:
        self._member = member
        self._judge = judge
        self._desk = audit
        self._audit: AuditPort = audit.broker
        self._write_ids = write_ids
        self._indexes = indexes
        self._labourers = Labourers()
        self.on_configured: Callable[[RawRequest, str], None] = lambda _request, _applied: None

    def close(self) -> None:
        """No more work is begun in threads."""
        self._labourers.close()

    async def write(self, request: RawRequest) -> RawResponse:
        """Its answer, applied and audited. Raises StrongroomError, AuditFailedError."""
        replica = self._member.running
        judged: Judged | None = None
        refusal: Refusal | None = None
        if self._audit.enabled or request.path.startswith("sys/audit/"):
            try:
                judged = self._judge.at(replica.overlay, request, replica.now_ns(), pending=replica.overlay_pending)
            except Refusal as error:
                refusal = error
            except DamagedError:
                refusal = Refusal(500, INTERNAL)
        if self._audit.enabled and not await self._audit.request(request, judged, refusal):
            raise AuditFailedError
        for _ in range(LABOUR_ATTEMPTS):
            try:
                return await self._proposed(request, judged, refusal)
            except StaleLabour:
                continue
        overtaken = OverloadedError("what this needs is being changed by others")
        if self._audit.enabled and not await self._audit.response(request, judged, None, failed(overtaken)):
            raise AuditFailedError
        raise overtaken

    async def _before(self, request: RawRequest) -> Refusal | None:
        """What has to be done before the brackets is done, for who may ask for it; or why it cannot be."""
        if request.path.startswith("sys/audit/"):
            try:
                await self._desk.before(request)
            except Refusal as error:  # the device cannot be opened here
                return error
        replica = self._member.running
        try:
            work = self._judge.labour(replica.state, request, replica.now_ns())
            request.labour = None if work is None else await self._labourers.run(work, kind_of(request.path))
        except Refusal as error:
            return error
        except StrongroomError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, its record is written and its use is paid
            return broken(error)
        return None

    async def _proposed(self, request: RawRequest, judged: Judged | None, refusal: Refusal | None) -> RawResponse:
        decided: Any = None
        changes = False
        unopened: Refusal | None = None

        def decide(view: View, now_ns: int) -> tuple[Draft, Any]:
            nonlocal decided, judged, changes
            draft, decided, judged = self._decide(view, now_ns, request, unopened)
            changes = not draft.empty
            return draft, decided

        try:
            unopened = await self._before(request) if refusal is None else None
            index, done = await self._member.write(decide)
        except StrongroomError as error:
            failure: StrongroomError = error
            if isinstance(decided, Repetition):  # what it repeats may or may not be applied
                failure = UnknownOutcomeError("leadership was lost while the first write with this id was under way")
            elif isinstance(failure, UnknownOutcomeError) and _configures(request, decided):
                self.on_configured(request, "unknown")
            if self._audit.enabled and not await self._audit.response(request, judged, None, failed(failure)):
                raise AuditFailedError("unknown" if isinstance(failure, UnknownOutcomeError) else "no") from error
            raise failure from None
        if isinstance(done, StaleLabour):
            raise done
        return await self._applied(request, judged, index, done, changes=changes)

    def _decide(
        self, view: View, now_ns: int, request: RawRequest, unopened: Refusal | None
    ) -> tuple[Draft, Any, Judged | None]:
        """Inside the brackets: judged again on the overlay, decided, to be proposed in the same turn.

        `unopened` is what was refused before them; a repetition gets its first answer all the same.
        """
        replica = self._member.running
        judged: Judged | None = None
        try:
            judged = self._judge.at(view, request, now_ns, pending=replica.overlay_pending)
            if judged.routed is None or judged.routed.engine is None:
                return self.paid(view, now_ns, request), unsupported_path(), judged
            remembered = self._write_ids.look(view, request, judged.token, now_ns, routed=judged.routed)
            if remembered is not None:
                return Draft(), remembered, judged
            if unopened is not None:
                return self.paid(view, now_ns, request), unopened, judged
            return *self._plan(view, now_ns, request, judged), judged
        except StaleLabour as stale:
            return Draft(), stale, judged
        except Refusal as refusal:
            return self.paid(view, now_ns, request), refusal, judged
        except StrongroomError:
            raise
        except Exception as error:  # noqa: BLE001 - as in `_before`
            return self.paid(view, now_ns, request), broken(error), judged

    def paid(self, view: View, now_ns: int, request: RawRequest) -> Draft:
        """The use that a refused request costs its token; nothing if the token is not valid here or has no limit."""
        if request.path == wrapping_tokens.LOOKUP:
            return Draft()  # looking is free, also where it fails
        sealing = self._member.value_sealing
        token = tokens.authenticate(view, sealing, request.token, now_ns, request.remote_address)
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
            writes = is_write(routed, request)
            request.operation = judged.operation
            context = self._judge.context(view, routed, now_ns, judged.caller)
            if not writes:  # here only for its use, or because its answer is wrapped
                with contextlib.suppress(NeedsDecision):
                    plan = wrapped(context, request, Plan(ask(self._judge, judged, request, view, now_ns)))
                    return join(use, plan.draft), plan
            plan = engine.decide(context, request, routed.path)
            if plan.answer.auth is not None and is_refused(plan.answer):
                raise RuntimeError("an engine refuses and gives a token")  # nobody foresaw it: see `broken`
            last_use = judged.token is not None and judged.token.record.num_uses == 1
            leases.grant(context, plan, request.path, last_use=last_use)
            plan = wrapped(context, request, plan)
        except Refusal as refusal:
            return use, refusal  # a use is paid by a refused request, too
        finally:
            request.operation = asked
        draft = join(use, plan.draft)
        if not draft.empty or not is_refused(plan.answer):
            # Also where nothing had to change: an attempt with the same id may still be on its way here, and would
            # otherwise be executed after this answer.
            self._write_ids.remember(draft, request, judged.token, plan, now_ns, routed=routed)
        return draft, plan

    async def _applied(
        self, request: RawRequest, judged: Judged | None, index: int, done: Any, *, changes: bool
    ) -> RawResponse:
        """`changes`: something was applied, be it only the use that the token paid."""
        failpoint("write.after-apply")
        answer: Answer | None = None
        refusal: Refusal | None = None
        if isinstance(done, Refusal):
            refusal = done
            response = refused(refusal)
        elif isinstance(done, Repetition):
            response = done.response
        else:
            assert isinstance(done, Plan)
            if _configures(request, done):
                self.on_configured(request, "yes")
            answer = done.answer
            response = respond(request.id, answer)
            if request.path.startswith("sys/audit/"):
                await self._desk.after(request)
        if self._audit.enabled and not await self._audit.response(request, judged, answer, refusal):
            if isinstance(done, Repetition):
                raise AuditFailedError("unknown" if response.status == 504 else "yes")
            raise AuditFailedError("yes" if answer is not None and changes else "no")
        if isinstance(done, Plan) and done.after is not None:
            done.after()
        say_write_id(request, response)
        if request.token is None or self._member.sealed:  # an index needs a key, and this may be told only once
            return response
        served = "forwarded" if request.forwarded_from else "leader"
        return self._indexes.add(response, index or self._member.view.applied_index, served)


def ask(judge: Judge, judged: Judged, request: RawRequest, view: View, now_ns: int) -> Answer:
    """What the engine answers to a read. Raises Refusal."""
    assert judged.routed is not None
    engine = judged.routed.engine
    if engine is None:
        raise unsupported_path()
    request.operation = judged.operation
    if request.operation is Operation.HELP and not isinstance(engine, Router):
        return _help(judged.routed)
    return engine.read(judge.context(view, judged.routed, now_ns, judged.caller), request, judged.routed.path)


def _help(routed: Routed) -> Answer:
    text = f"The {routed.mount.type} engine at {routed.mount_path}; see docs/api.md."
    about = {"title": "Strongroom", "version": "1", "description": "HTTP API"}
    openapi = {"openapi": "3.0.2", "info": about, "paths": {}}
    return Answer(bare=True, data={"help": text, "see_also": None, "openapi": openapi})


def _configures(request: RawRequest, done: Any) -> bool:
    """Whether what was decided changes the configuration; that its write id is remembered is no change."""
    if not isinstance(done, Plan) or not request.path.startswith(CONFIGURATION):
        return False
    draft = done.draft
    return any(table != Table.WRITE_ID for table, *_ in (*draft.puts, *draft.drops))


def is_refused(answer: Answer) -> bool:
    """Whether the answer says that the request cannot be done."""
    return (answer.status if answer.raw is None else answer.raw.status) >= 400


def is_write(routed: Routed | None, request: RawRequest) -> bool:
    """Whether the engine decides it, and on the leader."""
    engine = None if routed is None or request.operation is Operation.HELP else routed.engine
    return engine is not None and routed is not None and engine.is_write(request.operation, routed.path)


def is_for_leader(routed: Routed | None, request: RawRequest) -> bool:
    """Whether its answer may need a proposal: of a write, or of anything whose answer is wrapped."""
    return goes_to_leader(request) or is_write(routed, request)


__all__ = ["Writing", "ask", "is_for_leader", "is_write"]
