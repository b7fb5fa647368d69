"""The upper half of one simulated node in one life: the product's flow, judge, engines, write ids and forwarder.

No listener and no audit device: a request enters as the edge's parser would hand it on. The replica below it is the
simulated member's; the two meet in the product's own `Member` methods. Everything may be replaced by a `Product` whose
classes have one rule switched off: those live in the tests.
"""

from __future__ import annotations

import contextlib
import inspect
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cluster.answering import answer
from cluster.errors import FatalError, UnknownOutcomeError
from cluster.links.calls import CallError
from cluster.member import Member
from cluster.raft.replica import Replica
from cluster.salts import follow_salts
from cluster.serving import Serving
from cluster.settings import MemberAddress, MemberSettings
from cluster.values import ValueSealing
from node import forward
from node.auth.token_engine import TokenEngine
from node.engines.kv2 import KvV2
from node.engines.system.backend import SystemBackend
from node.flow import Flow
from node.forward import Forwarder, Frame
from node.indexes import IndexHeaders
from node.maintenance import Maintenance
from node.registry import Registry
from node.writes import WriteIds

from ..journal import Ended
from ..world import SimRandom
from .bulk import SimLinks
from .loop import SimLoop
from .operations import reply_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster.links.messages import Call
    from cluster.seams import Clock, Random
    from cluster.state.machine import State
    from node.request import RawRequest, RawResponse

    from ..member import SimMember
    from ..world import World
    from .operations import Reply

FORWARD_S = 1.5
POLL_S = 0.1  # of a forwarder without a leader: five times the product's, which would be half of all events
FORWARDS_MAX = 64
VERSIONS_MAX = 5


class SimNode(Member):
    """The product's member over a replica that somebody else drives: no folder, no seal, no child process."""

    def __init__(self, settings: MemberSettings, clock: Clock, random: Random) -> None:
        Serving.__init__(self, settings, clock, random)
        self.values = None
        self.on_forward = self.on_call = None
        self.state_listeners = []

    def begin(self, replica: Replica) -> None:
        """As `Member._begin`, with a replica that stands."""
        self.replica = replica
        self.values = ValueSealing(replica.sealer)
        follow_salts(replica.state, replica.sealer)
        replica.on_state_replaced = self._state_replaced
        replica.wall_is_trusted = lambda: True  # the world's wall clocks agree


class NoAudit:
    """A desk and a broker without devices: audit has tests of its own."""

    enabled = False
    rules = None

    @property
    def broker(self) -> NoAudit:
        """Itself."""
        return self


@dataclass(frozen=True)
class Product:
    """The classes a node is made of. `patches` are (module, name, what stands there during the run)."""

    replica: type[Replica] = Replica
    node: type[SimNode] = SimNode
    flow: type[Flow] = Flow
    forwarder: type[Forwarder] = Forwarder
    write_ids: type[WriteIds] = WriteIds
    tokens: Callable[[], Any] = TokenEngine
    kv: Callable[..., Any] = KvV2
    patches: tuple[tuple[Any, str, Any], ...] = field(default=())

    @contextlib.contextmanager
    def patched(self) -> Any:
        """While entered, what `patches` names is replaced."""
        patches = (*self.patches, (forward, "POLL_S", POLL_S))
        kept = [(place, name, getattr(place, name)) for place, name, _ in patches]
        try:
            for place, name, replacement in patches:
                setattr(place, name, replacement)
            yield
        finally:
            for place, name, former in kept:
                setattr(place, name, former)


def _raise(error: BaseException) -> None:
    raise error


@dataclass(frozen=True, slots=True)
class Dedupe:
    """How long write ids are remembered, and how many."""

    window_s: int
    entries_max: int


class NodeHalf:
    """See the module's paragraph. It ends with the life of its member. `quiet`: it proposes nothing by itself."""

    def __init__(
        self,
        owner: SimMember,
        others: list[SimMember],
        product: Product,
        dedupe: Dedupe,
        on_state: Callable[[State], None],
        *,
        quiet: bool,
    ) -> None:
        self.owner = owner
        self.others = others
        self.world: World = owner.world
        self.loop = SimLoop(self.world, owner)
        self.loop.on_mistake = self._mistake
        self._on_state = on_state
        replica = owner.replica
        assert replica is not None
        addresses = {other.node_id: MemberAddress((other.node_id, 0), "") for other in others}
        settings = MemberSettings(owner.node_id, "sim", Path(), addresses)
        member = self.member = product.node(settings, owner.clock, SimRandom(owner.rng))
        member.begin(replica)
        self._engines: dict[str, Any] = {
            "system": SystemBackend(audit_rules=NoAudit.rules, leader_id=lambda: member.leader_id),  # type: ignore[arg-type]
            "token": product.tokens(),
            "kv": product.kv(versions_max=VERSIONS_MAX),
        }
        self.registry = Registry(lambda mount: self._engines.get(mount.type))
        self.write_ids = product.write_ids(lambda: member.values, member.random.bytes, dedupe.window_s)  # type: ignore[arg-type,return-value]
        self.forwarder = product.forwarder(member, timeout_s=FORWARD_S, per_peer_max=FORWARDS_MAX)
        audit: Any = NoAudit()
        self.flow = product.flow(
            member, self.registry, audit, self.write_ids, IndexHeaders(member), self._forward
        )
        self.forwarder.handler = self._take
        self.forwarder.give = lambda request: self.write_ids.give(request, member.now_ns())
        member.on_forward = self._serve
        self.links = SimLinks(self, others)
        member.links = self.links  # type: ignore[assignment]
        maintenance = Maintenance(member, window_s=dedupe.window_s, entries_max=dedupe.entries_max)
        member.state_listeners.append(self._state_replaced)
        self._follow(replica.state)
        self._tasks: dict[int, Any] = {}
        self.pending: dict[int, Callable[[Reply | None], None]] = {}
        self._number = 0
        self._meant = 0  # term of the leader that a frame means, until its request is taken
        self._maintenance = None if quiet else self.spawn(maintenance.run())

    # ---- the state below
    def _follow(self, state: State) -> None:
        state.listeners.append(self.registry.changed)
        self._on_state(state)

    def _state_replaced(self, state: State) -> None:
        self.registry.forget()
        self._follow(state)

    # ---- running
    def spawn(self, coroutine: Awaitable[None]) -> Any:
        """Let it run beside the rest; its task."""
        task = self._begin(coroutine)
        task.add_done_callback(self._ended)
        return task

    def quiet(self) -> None:
        """From now on nothing is proposed that no client asks for."""
        if self._maintenance is None:
            return
        self._maintenance.cancel()
        _, coroutine = self._tasks.get(id(self._maintenance), (None, None))
        if coroutine is not None and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            coroutine.close()  # it would be cancelled before it is awaited

    def _begin(self, coroutine: Any) -> Any:
        task = self.loop.create_task(self._watched(coroutine))
        self._tasks[id(task)] = (task, coroutine)
        return task

    async def _watched(self, coroutine: Any) -> Any:
        """A task would keep what ends the process as its result."""
        try:
            return await coroutine
        except (Ended, FatalError) as error:
            self.owner.guard(_raise, error)
            raise

    def _ended(self, task: Any) -> None:
        self._tasks.pop(id(task), None)
        error = None if task.cancelled() else task.exception()
        if error is not None and self.loop.alive:
            if self.world.trace_lines is not None:
                self.world.trace(*traceback.format_exception(error))
            self._mistake(type(error).__name__)

    def _mistake(self, what: str) -> None:
        self.world.violate("a mistake in the node", self.owner.node_id, what)

    def submit(self, request: RawRequest, done: Callable[[Reply | None], None]) -> None:
        """A client's request has arrived; `done` gets the answer, or None if the process ends before it."""
        self._number += 1
        number = self._number
        self.pending[number] = done

        def answered(task: Any) -> None:
            self._ended(task)
            called = self.pending.pop(number, None)
            if called is not None and not task.cancelled() and task.exception() is None:
                called(reply_of(task.result()))

        task = self._begin(self.flow.handle(request))
        task.add_done_callback(answered)
        self.loop.turn()

    def end(self) -> None:
        """The process is gone; connections break."""
        pending, self.pending = self.pending, {}
        for done in pending.values():
            done(None)
        for task, coroutine in self._tasks.values():
            for waiting in (coroutine, task.get_coro()):
                if inspect.getcoroutinestate(waiting) == inspect.CORO_CREATED:
                    waiting.close()
        self._tasks.clear()

    # ---- calls of other members
    async def answer_call(self, peer: str, proven: bool, call: Call, certificate: bytes) -> bytes:
        """As `Member` does."""
        return await answer(self.member, peer, proven, call, certificate)

    async def _serve(self, peer: str, body: bytes) -> bytes:
        self.world.stats["forwarded"] += 1
        self._meant = msgspec.msgpack.decode(body, type=Frame).term
        try:
            return await self.forwarder.serve(peer, body)
        except CallError:
            self.world.violate("a frame that does not open", self.owner.node_id, peer)
            raise

    def _take(self, request: RawRequest) -> Awaitable[RawResponse]:
        """What is forwarded is for the leader of that term, or of a later one."""
        meant, self._meant = self._meant, 0
        if meant > self.member.running.term:
            self.world.violate("a deposed leader took a forwarded request", self.owner.node_id, meant)
        return self.flow.handle(request)

    async def _forward(self, request: RawRequest) -> RawResponse:
        if request.forwarded_from is not None:
            self.world.violate("forwarded twice", self.owner.node_id)
        try:
            return await self.forwarder.forward(request)
        except UnknownOutcomeError:
            self.world.stats["forwards nobody answered"] += 1
            raise
