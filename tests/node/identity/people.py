"""A World with identity in it, whose requests are judged by the node's own judge and registry."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cluster import Draft, Entity, Fact, Table, look
from node.auth.login import Login, issue
from node.auth.token_engine import TokenEngine
from node.auth.token_params import TokenParams
from node.auth.token_use import join
from node.engines.base import Context, Plan
from node.engines.identity.engine import IdentityEngine
from node.engines.kv2 import KvV2
from node.engines.system.mount_table import find_mount
from node.identity import keys
from node.judge import Judge
from node.registry import Registry
from node.request import Answer, Operation, RawRequest, Refusal
from tests.node.auth.login_world import LoginWorld
from tests.node.auth.world import ADDRESS, make_request

DENIED = (403, "permission denied", True)  # the token is good, and may not
NOBODY = (403, "permission denied", False)  # the token is not


class Door:
    """An auth method that believes everybody: the path behind login/ is the alias, the body what the role says."""

    def is_write(self, operation: Operation, path: str) -> bool:
        return True

    def decide(self, context: Context, request: RawRequest, path: str) -> Plan:
        asked = dict(request.body.values)
        metadata = asked.pop("alias_metadata", None)
        beside = Draft()
        if asked.pop("beside", False):
            beside.put(Table.FACT, b"beside", Fact())
        alias = path.removeprefix("login/")
        return issue(context, request, Login(TokenParams(**asked), alias, alias_metadata=metadata), beside)


class People(LoginWorld):
    """KV v2 is at secret/, and whoever knocks at auth/userpass/ comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.engines |= {"identity": IdentityEngine(), "kv": KvV2(), "userpass": Door()}
        self.engines["token"] = TokenEngine({"userpass": lambda _context, _token: TokenParams()})
        self.registry = Registry(lambda mount: self.engines.get(mount.type))
        self.state.listeners.append(self.registry.changed)
        member: Any = SimpleNamespace(value_sealing=self.keys, random=SimpleNamespace(bytes=self.random))
        self.judge = Judge(member, self.registry)
        self.ask("update", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})

    def go(self, operation: str, path: str, body: object = None, *, token: str | None = "root") -> Answer:
        """The answer to a request that is judged as a node judges it. Raises Refusal."""
        request = make_request(operation, path, body, self.root if token == "root" else token)
        judged = self.judge.at(self.state, request, self.now_ns, pending=False)
        assert judged.routed is not None
        context = self.judge.context(self.state, judged.routed, self.now_ns, judged.caller)
        engine: Any = judged.routed.engine
        request.operation = judged.operation
        if not engine.is_write(request.operation, judged.routed.path):
            return engine.read(context, request, judged.routed.path)
        plan: Plan = engine.decide(context, request, judged.routed.path)
        self.plans.append(plan)
        self.apply(join(Draft(), plan.draft))
        return plan.answer

    def no(self, operation: str, path: str, body: object = None, *, token: str = "root") -> tuple[int, str, bool]:
        """(status, text, whether in Go's multierror form) of a refusal that changed nothing."""
        before = self.state.applied_index
        try:
            self.go(operation, path, body, token=token)
        except Refusal as refusal:
            assert self.state.applied_index == before
            return refusal.status, "".join(refusal.texts), refusal.wrapped
        raise AssertionError("not refused")

    def may(self, token: str, operation: str, path: str) -> bool:
        """Whether the judge lets the request pass; of a read, the shortest way has to agree."""
        request = make_request(operation, path, None, token)
        try:
            self.judge.at(self.state, request, self.now_ns, pending=False)
        except Refusal:
            passed = False
        else:
            passed = True
        if operation == "read":
            at_once = self.judge.may_read(self.state, token, path, self.now_ns, ADDRESS)
            assert at_once == (passed and not token.startswith("hvb."))  # batch tokens take the other way
        return passed

    def sign_in(self, name: str = "alice", path: str = "auth/userpass/", **role: object) -> dict[str, Any]:
        """The auth block of a login."""
        auth = self.log_in(f"{path}login/{name}", role).auth
        assert auth is not None
        return auth

    def accessor(self, path: str = "auth/userpass/") -> str:
        found = find_mount(self.state, path)
        assert found is not None
        return found[2].accessor

    def entity(self, entity_id: str) -> Entity | None:
        found = look(self.state, Table.IDENTITY, Entity, keys.entity(entity_id))
        return None if found is None else found[1]

    def new_entity(self, **fields: object) -> str:
        return self.data("update", "identity/entity", fields)["id"]

    def new_group(self, **fields: object) -> str:
        return self.data("update", "identity/group", fields)["id"]
