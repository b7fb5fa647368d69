"""A World with the auth methods that have roles or users: mounted, and logged in at as the flow would let one in."""

from __future__ import annotations

from typing import Any

from cluster import Draft, Table
from node.auth.approle.engine import ApproleEngine
from node.auth.locked_users import routes as locked_users_routes
from node.auth.lockout import Lockout
from node.auth.token_engine import TokenEngine
from node.auth.token_use import join
from node.auth.userpass import UserpassEngine
from node.catalog import RENEWERS
from node.engines.base import Caller, Context
from node.engines.system.backend import SystemBackend
from node.engines.system.mount_table import find_mount
from node.engines.system.mounts import MountTypes
from node.request import Answer, RawRequest, Refusal
from tests.node.auth.world import ADDRESS, FakeAuditRules, World, make_request

TYPES = MountTypes(auth=frozenset({"approle", "userpass"}))


class LoginWorld(World):
    """`auth/approle/` and `auth/userpass/` are mounted. Labour is done where it is asked for."""

    def __init__(self) -> None:
        super().__init__(mount_types=TYPES)
        self.lockout = Lockout()
        self.engines |= {
            "system": SystemBackend(
                audit_rules=FakeAuditRules(), leader_id=lambda: "n1", mount_types=TYPES,
                engine_for=self.engine_for,
                extra=locked_users_routes(self.lockout),
            ),
            "token": TokenEngine(RENEWERS),
            "approle": ApproleEngine(self.lockout),
            "userpass": UserpassEngine(self.lockout),
        }  # fmt: skip
        for type_ in ("approle", "userpass"):
            self.ask("update", f"sys/auth/{type_}", {"type": type_})

    def _plan(self, request: RawRequest, view: Any, token_view: Any) -> Any:
        self._work(request)
        return super()._plan(request, view, token_view)

    def _work(self, request: RawRequest) -> None:
        mount_path, _, mount = find_mount(self.state, request.path)
        labour = getattr(self.engines[mount.type], "labour", None)
        work = None if labour is None else labour(self.context(request.path), request, request.path[len(mount_path) :])
        request.labour = None if work is None else work()

    def context(self, path: str) -> Context:
        """As nobody, at the mount of the path."""
        mount_path, _, mount = find_mount(self.state, path)
        return Context(self.state, self.now_ns, self.random, self.keys, Caller(), mount_path, mount)

    def log_in(self, path: str, body: object = None, address: str = ADDRESS) -> Answer:
        """The answer to a login without a token. Raises Refusal."""
        request = make_request("update", path, body, None, address=address)
        self._work(request)
        context = self.context(path)
        plan = self.engines[context.mount.type].decide(context, request, path[len(context.mount_path) :])
        self.plans.append(plan)
        self.apply(join(Draft(), plan.draft))
        return plan.answer

    def turned_away(self, path: str, body: object = None, address: str = ADDRESS) -> tuple[int, str]:
        """(status, text) of a login that is refused; nothing is changed by it."""
        before = self.state.applied_index
        try:
            self.log_in(path, body, address)
        except Refusal as refusal:
            assert self.state.applied_index == before
            return refusal.status, "".join(refusal.texts)
        raise AssertionError("not refused")

    # ---- approle
    def role(self, name: str = "app", **fields: object) -> str:
        """The id of a role that is written with these fields."""
        self.ask("update", f"auth/approle/role/{name}", fields)
        return self.data("read", f"auth/approle/role/{name}/role-id")["role_id"]

    def secret_id(self, role: str = "app", **fields: object) -> str:
        return self.data("update", f"auth/approle/role/{role}/secret-id", fields)["secret_id"]

    def approle(self, role_id: str, secret_id: str, address: str = ADDRESS) -> dict[str, Any]:
        """The auth block of a login."""
        return self.log_in("auth/approle/login", {"role_id": role_id, "secret_id": secret_id}, address).auth

    def no_approle(self, role_id: str, secret_id: str, address: str = ADDRESS) -> tuple[int, str]:
        return self.turned_away("auth/approle/login", {"role_id": role_id, "secret_id": secret_id}, address)

    def entries(self, segment: str = "") -> int:
        """How many entries begin with the segment."""
        return sum(key[16:].startswith(segment.encode()) for key, _, _ in self.state.items(Table.ENTRY))
