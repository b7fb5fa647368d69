"""Who asks, and may they: one judgement of a request on one view.

Pure but for its caches, which hold what was decoded from the records they were decoded from, and never a raw token.
Invariants: a judgement on the leader's overlay uses no cache that a pending record could make wrong; what is said of a
path holds for every spelling of it that an engine takes for the same.
Source: Vault concepts, "Policies"; Vault API, "HTTP status codes".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from .auth import tokens
from .engines import wrapping_tokens
from .engines.base import Caller, Context
from .engines.system.routes import no_handler
from .identity.person import Person, PersonCache, person_of
from .policy import builtin
from .request import Operation, RawRequest, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster import Member, Token, View

    from .auth.tokens import TokenView
    from .policy import Acl, Decision
    from .registry import Registry, Routed


@dataclass(slots=True)
class Judged:
    """A request that may go on."""

    routed: Routed | None  # None: a path the node answers itself
    operation: Operation
    token: TokenView | None
    caller: Caller
    granting: tuple[str, ...] = ()


class DeniedRefusal(Refusal):
    """Whoever asks is known, and may not: audit says who."""

    def __init__(self, judged: Judged) -> None:
        super().__init__(403, "permission denied", wrapped=True)
        self.judged = judged


class Judge:
    """Judges for one node."""

    def __init__(self, member: Member, registry: Registry) -> None:
        self._member = member
        self._registry = registry
        self._tokens: tokens.TokenCache = {}
        self._callers: dict[bytes, tuple[Token, int, bool, Caller]] = {}  # token key → record, second, sudo, caller
        self._persons: PersonCache = {}
        self._turn_ns = 0  # the cluster's time in this turn of the loop
        registry.on_forget.append(self._forget)

    def _forget(self) -> None:
        self._tokens.clear()
        self._callers.clear()
        self._persons.clear()

    def at(self, view: View, request: RawRequest, now_ns: int, *, pending: bool, local: bool = False) -> Judged:
        """As `judge`, with the route looked up in the same view."""
        routed = self._registry.route(view, request.path, pending=pending)
        return self.judge(view, request, routed, now_ns, pending=pending, local=local)

    def judge(
        self,
        view: View,
        request: RawRequest,
        routed: Routed | None,
        now_ns: int,
        *,
        pending: bool,
        local: bool = False,
    ) -> Judged:
        """Raises Refusal as Vault would: first the token, then the policy, then the route (a local path needs none).

        Raises SealedError.
        """
        sealing = self._member.value_sealing
        if request.path in wrapping_tokens.NAMING and request.operation is not Operation.HELP:
            wrapping_tokens.named_token(view, sealing, request, now_ns)
        token = tokens.authenticate(
            view, sealing, request.token, now_ns, request.remote_address, None if pending else self._tokens
        )
        person = None
        if token is not None and token.record.entity_id:
            person = person_of(view, token.record.entity_id, self._persons)
            if person is None:  # the entity is disabled or gone: so is the token
                token = None
        auth_mount = routed.mount_path if routed is not None and routed.mount_path.startswith("auth/") else ""
        is_open = routed is not None and builtin.is_open_read(request.operation, routed.mount.type, routed.path)
        if is_open or builtin.is_unauthenticated(request.path, auth_mount):
            if routed is None:
                raise no_handler(request.path)
            caller = _seen(token, person, now_ns) if token is not None else Caller()
            if request.path == wrapping_tokens.LOOKUP:
                token = None  # looking is free: the token that asks may have one use, and another purpose
            return Judged(routed, request.operation, token, caller)
        if token is None:
            raise Refusal(403, "permission denied")
        acl = self._registry.acl(view, tuple(token.record.policies), person, pending=pending)
        operation = request.operation
        if operation is Operation.UPDATE:
            operation = self._operation(view, request, routed, now_ns, token)
        decision = _decided(acl, operation, request, routed)
        sudo = decision.sudo or decision.is_root
        if not decision.allowed or (builtin.needs_sudo(request.path, operation) and not sudo):
            raise DeniedRefusal(Judged(routed, operation, token, self._caller(token, person, now_ns, sudo=False)))
        if routed is None and not local:
            raise no_handler(request.path)
        if request.wrap_ttl_s and local:  # never answered unwrapped
            raise Refusal(400, "response wrapping is not supported")
        caller = self._caller(token, person, now_ns, sudo=sudo)
        return Judged(routed, operation, token, caller, decision.granting_policies)

    def labour(self, view: View, request: RawRequest, now_ns: int) -> Callable[[], Any] | None:
        """What the engine wants to have run before it decides, for who may ask it at all. Raises Refusal."""
        routed = self._registry.route(view, request.path)
        labour = None if routed is None else getattr(routed.engine, "labour", None)
        if routed is None or labour is None:
            return None
        judged = self.judge(view, request, routed, now_ns, pending=False)
        work: Callable[[], Any] | None = labour(
            self.context(view, routed, now_ns, judged.caller), request, routed.path
        )
        return work

    def may_read(self, view: View, raw_token: str, path: str, now_ns: int, address: str) -> bool:
        """Whether `judge` would let a GET of a secret's path pass, by a token and a rule without any conditions.

        False also for what is merely unusual; then ask `judge`. Raises SealedError.
        """
        sealing = self._member.value_sealing
        token = tokens.authenticate(view, sealing, raw_token, now_ns, address, self._tokens)
        if token is None or token.record.num_uses or token.record.bound_cidrs or token.is_batch:
            return False
        person = None
        if token.record.entity_id:
            person = person_of(view, token.record.entity_id, self._persons)
            if person is None:
                return False
        return self._registry.acl(view, tuple(token.record.policies), person).reads_plainly(path)

    def _caller(self, token: TokenView, person: Person | None, now_ns: int, *, sudo: bool) -> Caller:
        """As engines see the token; the same object for a second, unless a use is counted in it."""
        second = now_ns // 1_000_000_000
        known = self._callers.get(token.key)
        beside = () if person is None else person.policies
        is_same = known is not None and known[0] is token.record and known[1:3] == (second, sudo)
        if known is not None and is_same and known[3].identity_policies == beside:
            return known[3]
        caller = _seen(token, person, now_ns, has_sudo=sudo)
        if len(self._callers) >= tokens.CACHED_MAX:
            self._callers.clear()
        if not (token.record.num_uses or token.is_batch):  # of a batch token nothing is remembered
            self._callers[token.key] = (token.record, second, sudo, caller)
        return caller

    def now(self) -> int:
        """The cluster's time, read once a turn of the loop."""
        if not self._turn_ns:
            self._turn_ns = self._member.now_ns()
            asyncio.get_running_loop().call_soon(self._end_turn)
        return self._turn_ns

    def _end_turn(self) -> None:
        self._turn_ns = 0

    def _operation(
        self, view: View, request: RawRequest, routed: Routed | None, now_ns: int, token: TokenView
    ) -> Operation:
        """Create where the path has an existence check and nothing is there."""
        if routed is None or routed.engine is None:
            return request.operation
        context = self.context(view, routed, now_ns, tokens.caller_of(token, now_ns))
        exists = routed.engine.exists(context, routed.path)
        return Operation.CREATE if exists is False else Operation.UPDATE

    def context(self, view: View, routed: Routed, now_ns: int, caller: Caller) -> Context:
        """What an engine may look at for this caller. Raises SealedError."""
        member = self._member
        return Context(
            view=view,
            now_ns=now_ns,
            random=member.random.bytes,
            sealing=member.value_sealing,
            caller=caller,
            mount_path=routed.mount_path,
            mount=routed.mount,
        )


def _seen(token: TokenView, person: Person | None, now_ns: int, *, has_sudo: bool = False) -> Caller:
    caller = tokens.caller_of(token, now_ns, has_sudo=has_sudo)
    if person is not None:
        caller.identity_policies = person.policies
    return caller


def _decided(acl: Acl, operation: Operation, request: RawRequest, routed: Routed | None) -> Decision:
    """What the rules say of the path as written and, where they say anything of it, in the spelling that counts."""
    body, wrap_ttl_s = _body_of(request, operation), request.wrap_ttl_s
    decision = acl.check(operation, request.path, body=body, wrap_ttl_s=wrap_ttl_s)
    canonical = None if routed is None else getattr(routed.engine, "canonical", None)
    if canonical is None or routed is None or not decision.allowed or (path := canonical(routed.path)) == routed.path:
        return decision
    path = routed.mount_path + path
    return acl.check(operation, path, body=body, wrap_ttl_s=wrap_ttl_s) if acl.names(operation, path) else decision


def _body_of(request: RawRequest, operation: Operation) -> Any:
    if operation in {Operation.READ, Operation.LIST, Operation.SCAN}:
        return dict(request.query)
    try:
        return request.body.values
    except msgspec.MsgspecError:
        return {}
