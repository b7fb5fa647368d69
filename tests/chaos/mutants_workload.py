"""Nodes with one rule of the request path switched off: the simulator must find them out.

Each class names the rule, the product that breaks it and the checks that may say so. They live here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chaos.sim.workload.half import Product, SimNode
from cluster import Draft
from cluster.errors import NotLeaderError, UnavailableError, UnknownOutcomeError
from cluster.raft.replica import Replica
from cluster.state.overlay import Overlay
from node import flow, registry, writing
from node.auth import tokens
from node.engines import kv2
from node.flow import Flow
from node.forward import AnswerFrame, Forwarder, _encode, unpack
from node.policy import Acl
from node.request import RawRequest, RawResponse
from node.writes import Repetition, WriteIds
from node.writing import Writing
from tests.chaos.mutants_base import Mutant, Where

if TYPE_CHECKING:
    from cluster import View
    from cluster.raft.applying import ProposalCallback
    from cluster.raft.reads import ReadCallback


# ---- the overlay
class _KeptOverlay(Overlay):
    def drop(self) -> None:
        pass


class _KeepsTheOverlay(Replica):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.overlay = _KeptOverlay(self.state)


class KeepsTheOverlay(Mutant):
    """O2: what an earlier leadership proposed is still decided on."""

    where = Where(script="deposed-reader")
    product = Product(replica=_KeepsTheOverlay)
    caught_by = (
        "broken", "decided on another state", "a refusal that nothing justifies", "acknowledged and not applied",
    )  # fmt: skip


class _AppliedNode(SimNode):
    async def write(self, decide: Any) -> Any:
        return await super().write(lambda _view, now_ns: decide(self.running.state, now_ns))


class _WithoutExpectations(Replica):
    def propose(self, draft: Draft, callback: ProposalCallback, **options: Any) -> int:
        draft.expects = []
        return super().propose(draft, callback, **options)


class DecidesOnAppliedState(Mutant):
    """Design rule 2: what is proposed and not applied is not looked at; the expectations notice."""

    product = Product(node=_AppliedNode)
    caught_by = ("broken", "a refusal that nothing justifies", "acknowledged and not applied")


class ExpectsNothing(Mutant):
    """S2: what a transaction was decided on is not compared; with decisions on applied state, it matters."""

    product = Product(node=_AppliedNode, replica=_WithoutExpectations)
    caught_by = (
        "versions are not dense", "decided on another state", "a refusal that nothing justifies",
        "acknowledged and not applied",
    )  # fmt: skip


# ---- leadership
class _DecidesAtOnce(Replica):
    def may_propose(self) -> None:
        if not self.is_leader:
            raise NotLeaderError(self.leader)
        if self.transferring:
            raise UnavailableError("leadership is being handed over")


class _LeadsAtOnce(SimNode):
    @property
    def is_leader(self) -> bool:
        return self.replica is not None and self.replica.is_leader


class DecidesBeforeTheNoOp(Mutant):
    """Design rule 1: a new leader decides on a state that may lack what earlier leaders committed."""

    product = Product(replica=_DecidesAtOnce, node=_LeadsAtOnce)
    caught_by = ("broken", "decided on another state", "a refusal that nothing justifies", "stale answer")


class _RefusesAtOnce(Replica):
    def settle(self, callback: ProposalCallback) -> None:
        callback(self.log.last_index, None, None)


class RefusesAtOnce(Mutant):
    """Design rule 4: a refusal leaves before what it was decided on is applied."""

    product = Product(replica=_RefusesAtOnce)
    caught_by = ("answered for an index that nobody applied", "a refusal that nothing justifies", "stale answer")


class _LosesCallbacks(Replica):
    def lose_proposals(self) -> None:
        self.overlay.drop()
        self._waiting.clear()
        self._settling.clear()


class LosesCallbacks(Mutant):
    """K2: who waits for a proposal when leadership is lost is never told."""

    product = Product(replica=_LosesCallbacks)
    caught_by = ("a request was never answered",)


class _CallsItRefused(Replica):
    def lose_proposals(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for index, callback in waiting.items():
            callback(index, None, UnavailableError("leadership was lost"))
        super().lose_proposals()


class CallsUnknownRefused(Mutant):
    """A3: a proposal that may still be committed is answered with `applied: no`."""

    product = Product(replica=_CallsItRefused)
    caught_by = ("refused, and applied", "acknowledged at another index")


class _ReadsBeforeApplying(Replica):
    def _when_applied(self, index: int, since_s: float, callback: ReadCallback) -> None:
        del index, since_s
        callback(self.applied_index, None)


class ReadsBeforeApplying(Mutant):
    """ReadIndex: the read looks at the state before the confirmed index is applied."""

    product = Product(replica=_ReadsBeforeApplying)
    caught_by = ("stale answer", "applied before it was asked", "answered for an index that nobody applied")


# ---- write ids
class _Forgets(WriteIds):
    def remember(self, *_: Any, **__: Any) -> None:
        pass


class ForgetsWriteIds(Mutant):
    """Write ids: the outcome is not remembered, and a repetition is executed again."""

    product = Product(write_ids=_Forgets)
    caught_by = ("applied twice", "acknowledged and not applied", "a write id does not resolve")


class _Impatient(SimNode):
    async def write(self, decide: Any) -> Any:
        replica = self.running
        replica.may_propose()
        draft, answer = decide(replica.overlay, replica.next_stamp())
        if draft.empty and isinstance(answer, Repetition):
            return replica.log.last_index, answer
        return await super().write(lambda _view, _now_ns: (draft, answer))


class AnswersPendingWriteIds(Mutant):
    """Write ids: a repetition is answered while the first execution is still under way."""

    product = Product(node=_Impatient)
    caught_by = (
        "acknowledged and not applied", "answered for an index that nobody applied", "acknowledged at another index",
        "a repetition that names another write",
    )  # fmt: skip


# ---- tokens
class _JudgesAppliedState(Writing):
    def _decide(self, view: View, now_ns: int, request: RawRequest, unopened: Any) -> Any:
        replica = self._member.running
        judge = self._judge

        class Stale:
            def at(self, _view: View, *args: Any, **options: Any) -> Any:
                return judge.at(replica.state, *args, **options)

            def __getattr__(self, name: str) -> Any:
                return getattr(judge, name)

        self._judge = Stale()  # type: ignore[assignment]
        try:
            return super()._decide(view, now_ns, request, unopened)
        finally:
            self._judge = judge


class JudgesTokensOnAppliedState(Mutant):
    """Design rule 5: a token whose revocation is proposed writes behind it."""

    product = Product(patches=((flow, "Writing", _JudgesAppliedState),))
    caught_by = ("applied for a token that is not valid", "a refusal that nothing justifies")


class RevokesNoChildren(Mutant):
    """T1: the children of a revoked token are valid."""

    product = Product(patches=((tokens, "_ancestors_live", lambda *_: True),))
    caught_by = (
        "applied for a token that is not valid", "a revoked token was served", "a refusal that nothing justifies",
        "a read of what is not there",
    )  # fmt: skip


# ---- forwarding
class _SendsAgain(Forwarder):
    async def _send(self, request: RawRequest) -> RawResponse:
        try:
            return await super()._send(request)
        except UnknownOutcomeError:
            request.write_id = None
            return await super()._send(request)


class ForwardsAgain(Mutant):
    """A request whose outcome is unknown is sent a second time, as another write."""

    product = Product(forwarder=_SendsAgain)
    caught_by = ("applied twice", "acknowledged and not applied", "refused, and applied")


class _CallsLostFramesRefused(Forwarder):
    async def _send(self, request: RawRequest) -> RawResponse:
        try:
            return await super()._send(request)
        except UnknownOutcomeError:
            raise UnavailableError("the leader did not answer") from None


class CallsLostFramesRefused(Mutant):
    """A forwarded request that nobody answered is said to have had no effect."""

    product = Product(forwarder=_CallsLostFramesRefused)
    caught_by = ("refused, and applied",)


class _ForwardsWhatWasForwarded(Flow):
    async def _elsewhere(self, request: RawRequest) -> RawResponse:
        response = await self._forward(request)
        assert isinstance(response, RawResponse)
        return response


class _ServesWithoutLeading(Forwarder):
    async def serve(self, peer: str, body: bytes) -> bytes:
        assert self.handler is not None
        answer = await self.handler(unpack(body, peer))
        return _encode(AnswerFrame(answer.status, answer.body, answer.headers, answer.content_type, answer.lines))


class ForwardsWhatWasForwarded(Mutant):
    """F3: a node that does not lead passes a forwarded request on."""

    product = Product(flow=_ForwardsWhatWasForwarded, forwarder=_ServesWithoutLeading)
    caught_by = ("forwarded twice",)


# ---- reads and deciders
class _NoBarrier(SimNode):
    async def read_barrier(self) -> int:
        return self.running.applied_index


class ReadsWithoutBarrier(Mutant):
    """A read looks at what this node has, whatever was acknowledged elsewhere."""

    product = Product(node=_NoBarrier)
    caught_by = ("stale answer",)


class ChecksNoVersion(Mutant):
    """KV v2: check-and-set is not compared."""

    product = Product(patches=((kv2, "_check_cas", lambda *_: None),))
    caught_by = ("decided on another state",)


class AllowsEverything(Mutant):
    """Policies are not asked."""

    product = Product(patches=((registry, "acl_of", lambda _view, _names: Acl.ROOT),))
    caught_by = ("applied for a token that is not valid", "a read of what is not there")


class CountsNoUses(Mutant):
    """F4: a token of limited uses serves for ever."""

    product = Product(patches=((writing, "use_token", lambda view, _token: (view, Draft())),))
    caught_by = ("a token was used too often",)
