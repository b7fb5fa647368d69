"""A cluster in one object: the real state, fake keys, and a request path that judges, decides, proposes and applies.

It judges as the flow does (token, policy, sudo, the use of a limited token), so that tests speak of requests.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

from cluster import DamagedError, Draft, Mount, Table, Token, Transaction, look, sweeps
from cluster.state.machine import State
from node.auth.access import acl_of
from node.auth.token_engine import TokenEngine
from node.auth.token_use import join, use_token
from node.auth.tokens import TokenView, authenticate, caller_of, new_raw_token, root_token_records
from node.engines.base import Caller, Context, Plan
from node.engines.cubbyhole import Cubbyhole
from node.engines.system.backend import SystemBackend
from node.engines.system.bootstrap import bootstrap_records
from node.engines.system.mount_table import find_mount
from node.engines.system.mounts import MountTypes
from node.engines.system.routes import no_handler
from node.policy import builtin
from node.request import Answer, Body, Operation, RawRequest, Refusal

NS = 1_000_000_000
START_NS = 1_763_977_260_250_000_000  # 2025-11-24T09:41:00.25Z
ADDRESS = "127.0.0.1"


class FakeKeys:
    """Seals by naming the place, hashes without a key."""

    def seal(self, _view, _draft, plaintext, *, table, key, field, record_id, nonce):
        assert len(nonce) == 12
        return 1, nonce + _tag(table, key, field, record_id) + plaintext

    def open(self, salt_id, box, *, table, key, field, record_id):
        if salt_id != 1 or box[12:28] != _tag(table, key, field, record_id):
            raise DamagedError("the box is of another place")
        return box[28:]

    def token_hash(self, token):
        return hashlib.blake2b(token.encode(), digest_size=32).digest()

    def path_hash(self, secret_key):
        return hashlib.blake2b(secret_key, digest_size=8).digest()

    def seal_token(self, nonce, payload):
        assert len(nonce) == 12
        return nonce + _tag(nonce, payload) + payload

    def open_token(self, sealed):
        if sealed[12:28] != _tag(sealed[:12], sealed[28:]):
            raise DamagedError("a batch token of nobody")
        return sealed[28:]


def _tag(*place):
    return hashlib.blake2b(repr(place).encode(), digest_size=16).digest()


class FakeAuditRules:
    """Refuses one option, hashes plainly."""

    def check_options(self, type_, options):
        if options.get("file_path") == "forbidden":
            raise Refusal(400, f"{type_}: forbidden")

    def check_opened(self, request_id, path, type_, options):
        """Whatever may be is taken to open."""

    def hash_text(self, salt, text):
        return "hmac-sha256:" + hashlib.sha256(salt + text.encode()).hexdigest()


class World:
    """One node that leads. `now_ns` moves by hand; `root` is the raw root token; `plans` are those decided so far."""

    def __init__(self, *, dev: bool = False, mount_types: MountTypes | None = None, leader: str | None = "n1") -> None:
        self.state = State(b"d" * 32)
        self.keys = FakeKeys()
        self.now_ns = START_NS
        self._draws = itertools.count(1)
        self.plans: list[Plan] = []
        system = SystemBackend(
            audit_rules=FakeAuditRules(), leader_id=lambda: leader, mount_types=mount_types or MountTypes(),
            engine_for=self.engine_for,
        )  # fmt: skip
        self.engines = {"system": system, "token": TokenEngine(), "cubbyhole": Cubbyhole()}
        self.root = new_raw_token(self.random)
        facts = bootstrap_records(self.now_ns, self.random, dev=dev)
        facts += root_token_records(self.root, self.keys, self.now_ns, self.random)
        draft = Draft()
        for table, key, record in facts:
            draft.put(table, key, record)
        self.apply(draft)

    def random(self, count: int) -> bytes:
        return hashlib.shake_128(next(self._draws).to_bytes(8, "big")).digest(count)

    def engine_for(self, mount: Mount) -> Any:
        """The engine of a mount."""
        return self.engines.get(mount.type)

    def apply(self, draft: Draft) -> int:
        """The index at which the draft was installed; nothing is allowed to fail."""
        if draft.empty:
            return self.state.applied_index
        index = self.state.applied_index + 1
        facts = ([tuple(one) for one in draft.expects], draft.puts, draft.drops)
        outcome = self.state.apply(index, 1, Transaction(1, index, self.now_ns, *facts))
        assert outcome.ok, outcome.why
        return index

    def pass_time(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)

    def sweep(self) -> int:
        """Every sweep and expiry runs to its end; the number of steps it took."""
        for count in itertools.count():
            draft = sweeps.next_expiry(self.state, self.now_ns) or sweeps.next_sweep(self.state)
            if draft is None:
                return count
            self.apply(draft)
        raise AssertionError

    # ---- asking
    def ask(self, operation: str, path: str, body: object = None, *, token: str | None = "root", **rest: Any) -> Answer:
        """The answer; `token` "root" is the root token. Raises Refusal. `query`, `address` as they are named."""
        raw_token = self.root if token == "root" else token
        request = make_request(operation, path, body, raw_token, **rest)
        token_view = authenticate(self.state, self.keys, raw_token, self.now_ns, request.remote_address)
        if token_view is None and not builtin.is_unauthenticated(path):
            raise Refusal(403, "permission denied")
        view, use = (self.state, Draft()) if token_view is None else use_token(self.state, token_view)
        try:
            plan = self._plan(request, view, token_view)
        except Refusal:
            self.apply(use)  # a use is paid by a refused request, too
            raise
        self.plans.append(plan)
        self.apply(join(use, plan.draft))
        return plan.answer

    def _plan(self, request: RawRequest, view: Any, token_view: TokenView | None) -> Plan:
        caller = Caller() if token_view is None else self._judged(token_view, request)
        found = find_mount(self.state, request.path)
        if found is None:
            raise no_handler(request.path)
        mount_path, _, mount = found
        engine = self.engines[mount.type]
        context = Context(view, self.now_ns, self.random, self.keys, caller, mount_path, mount)
        below = request.path[len(mount_path) :]
        if engine.is_write(request.operation, below):
            return engine.decide(context, request, below)
        return Plan(engine.read(context, request, below))

    def _judged(self, token_view, request: RawRequest) -> Caller:
        decision = acl_of(self.state, token_view.record.policies).check(request.operation, request.path)
        sudo = decision.sudo or decision.is_root
        is_open = builtin.is_unauthenticated(request.path)
        if not is_open and (not decision.allowed or (builtin.needs_sudo(request.path, request.operation) and not sudo)):
            raise Refusal(403, "permission denied", wrapped=True)
        return caller_of(token_view, self.now_ns, has_sudo=sudo)

    def refused(self, operation: str, path: str, body: object = None, **rest: Any) -> tuple[int, str, bool]:
        """(status, text, whether in Go's multierror form) of a refusal."""
        try:
            self.ask(operation, path, body, **rest)
        except Refusal as refusal:
            return refusal.status, "".join(refusal.texts), refusal.wrapped
        raise AssertionError("not refused")

    def data(self, operation: str, path: str, body: object = None, **rest: Any) -> Any:
        """The data of a 200."""
        answer = self.ask(operation, path, body, **rest)
        assert answer.status == 200
        return answer.data

    # ---- tokens
    def make(self, body: object = None, *, token: str | None = "root", path: str = "create") -> str:
        """A raw new token."""
        answer = self.ask("update", f"auth/token/{path}", body or {}, token=token)
        assert answer.auth is not None
        return str(answer.auth["client_token"])

    def works(self, raw_token: str, address: str = ADDRESS) -> bool:
        return authenticate(self.state, self.keys, raw_token, self.now_ns, address) is not None

    def record(self, raw_token: str) -> Token | None:
        found = look(self.state, Table.TOKEN, Token, self.keys.token_hash(raw_token))
        return None if found is None else found[1]

    def policy(self, name: str, text: str) -> None:
        self.ask("update", f"sys/policies/acl/{name}", {"policy": text})

    def count(self, table: Table) -> int:
        return sum(1 for _ in self.state.items(table))


def make_request(
    operation: str,
    path: str,
    body: object = None,
    token: str | None = None,
    *,
    query: dict[str, str] | None = None,
    address: str = ADDRESS,
) -> RawRequest:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawRequest(
        id="00000000-0000-0000-0000-000000000000",
        method="",
        target="",
        operation=Operation(operation),
        path=path,
        query=query or {},
        body=Body(raw),
        token=token,
        headers={},
        remote_address=address,
        remote_port=1,
    )
