"""Every route behind a token, as a table: what grants it and what it answers. And those that need none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.node.flow_site import Site


@dataclass(frozen=True)
class Case:
    """What the bodies of one run may name: a name nobody has used, and a token that may be lost."""

    name: str
    token: str
    accessor: str


@dataclass(frozen=True)
class Route:
    """`path` and `before` hold {name}; `grant` is the rule a token needs: its path if it differs, its capabilities."""

    method: str
    path: str
    capabilities: str
    status: int
    body: Callable[[Case], Any] | None = None
    before: tuple[tuple[str, str, Any], ...] = ()
    grant: str = ""
    served: str = ""  # on a follower; "" = by what the operation is

    @property
    def id(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_write(self) -> bool:
        return "forwarded" in self.expected_served

    @property
    def expected_served(self) -> str:
        if self.served:
            return self.served
        return "forwarded" if self.method in {"POST", "PUT", "PATCH", "DELETE"} else "readindex"

    def rule(self, case: Case) -> tuple[str, str]:
        return (self.grant or self.path.split("?")[0]).format(name=case.name), self.capabilities

    def path_of(self, case: Case) -> str:
        return self.path.format(name=case.name)

    def body_of(self, case: Case) -> Any:
        return None if self.body is None else self.body(case)


def fixed(value: Any) -> Callable[[Case], Any]:
    return lambda _case: value


_V2 = (("POST", "secret/data/{name}", {"data": {"k": "v"}}),)
_V1 = (("POST", "kv1/{name}", {"k": "v"}),)
_POLICY = (("PUT", "sys/policies/acl/{name}", {"policy": 'path "x" { capabilities = ["read"] }'}),)
_MOUNT = (("POST", "sys/mounts/{name}", {"type": "kv"}),)
_TOKEN_ROLE = (("POST", "auth/token/roles/{name}", {"orphan": True}),)
_DEVICE = (("PUT", "sys/audit/{name}", {"type": "file", "options": {"file_path": "{name}.log"}}),)
_VERSIONS = fixed({"versions": [1]})
_TEXT = fixed({"policy": 'path "x" { capabilities = ["read"] }'})


def _victim(case: Case) -> Any:
    return {"token": case.token}


def _accessor(case: Case) -> Any:
    return {"accessor": case.accessor}


def _device(case: Case) -> Any:
    return {"type": "file", "options": {"file_path": f"{case.name}.log"}}


PASSWORDS = 'length = 20\nrule "charset" { charset = "abc" }'
_PASSWORDS = (("POST", "sys/policies/password/{name}", {"policy": PASSWORDS}),)
_UI_HEADER = (("POST", "sys/config/ui/headers/x-{name}", {"values": ["v"]}),)
_AUDITED_HEADER = (("POST", "sys/config/auditing/request-headers/x-{name}", {"hmac": True}),)
_QUOTA = (("POST", "sys/quotas/rate-limit/{name}", {"path": "kv1/{name}", "rate": 1000}),)


def _quota(case: Case) -> Any:
    return {"path": f"kv1/{case.name}", "rate": 1000}


def _move(case: Case) -> Any:
    return {"from": case.name, "to": f"{case.name}-moved"}


ROUTES = (
    # mounts
    Route("GET", "sys/mounts", "read", 200),
    Route("GET", "sys/mounts/secret", "read", 200),
    Route("POST", "sys/mounts/{name}", "update", 204, fixed({"type": "kv"})),
    Route("DELETE", "sys/mounts/{name}", "delete", 204, before=_MOUNT),
    Route("GET", "sys/mounts/secret/tune", "read", 200),
    Route("POST", "sys/mounts/{name}/tune", "update", 204, fixed({"description": "d"}), before=_MOUNT),
    Route("GET", "sys/auth", "read", 200),
    Route("GET", "sys/auth/token", "read sudo", 200),
    Route("POST", "sys/auth/{name}", "update sudo", 400, fixed({"type": "no-such-type"})),
    Route("DELETE", "sys/auth/{name}", "delete sudo", 204),
    Route("GET", "sys/auth/token/tune", "read sudo", 200),
    Route("POST", "sys/auth/token/tune", "update sudo", 204, fixed({"description": "d"})),
    Route("GET", "sys/internal/ui/resultant-acl", "read", 200),
    # policies and capabilities
    Route("LIST", "sys/policies/acl", "list", 200),
    Route("GET", "sys/policies/acl/{name}", "read", 200, before=_POLICY),
    Route("PUT", "sys/policies/acl/{name}", "update", 204, _TEXT),
    Route("DELETE", "sys/policies/acl/{name}", "delete", 204, before=_POLICY),
    Route("GET", "sys/policy", "read", 200),
    Route("GET", "sys/policy/{name}", "read", 200, before=_POLICY),
    Route("PUT", "sys/policy/{name}", "update", 204, _TEXT),
    Route("DELETE", "sys/policy/{name}", "delete", 204, before=_POLICY),
    Route("POST", "sys/capabilities", "update", 200, lambda c: {"token": c.token, "paths": ["a"]}, served="readindex"),
    Route("POST", "sys/capabilities-self", "update", 200, fixed({"paths": ["a", "b"]}), served="readindex"),
    Route(
        "POST",
        "sys/capabilities-accessor",
        "update",
        200,
        lambda c: {"accessor": c.accessor, "path": "a"},
        served="readindex",
    ),
    # tokens
    Route("POST", "auth/token/create", "update", 200, fixed({"ttl": "1h"})),
    Route("POST", "auth/token/create-orphan", "update", 200, fixed({"ttl": "1h"})),
    Route("POST", "auth/token/lookup", "update", 200, _victim, served="readindex"),
    Route("GET", "auth/token/lookup-self", "read", 200),
    Route("POST", "auth/token/lookup-accessor", "update", 200, _accessor, served="readindex"),
    Route("POST", "auth/token/renew", "update", 200, _victim),
    Route("POST", "auth/token/renew-self", "update", 200, fixed({"increment": 60})),
    Route("POST", "auth/token/renew-accessor", "update", 200, _accessor),
    Route("POST", "auth/token/revoke", "update", 204, _victim),
    Route("POST", "auth/token/revoke-self", "update", 204),
    Route("POST", "auth/token/revoke-orphan", "update sudo", 204, _victim),
    Route("POST", "auth/token/revoke-accessor", "update", 204, _accessor),
    Route("POST", "auth/token/revoke-batch-tokens", "update sudo", 204),
    Route("LIST", "auth/token/accessors", "list sudo", 200, grant="auth/token/accessors/"),
    Route("POST", "auth/token/tidy", "update", 202),
    Route("POST", "auth/token/roles/{name}", "create", 204, fixed({"orphan": True})),
    Route("POST", "auth/token/roles/{name}", "update", 204, fixed({"orphan": True}), before=_TOKEN_ROLE),
    Route("GET", "auth/token/roles/{name}", "read", 200, before=_TOKEN_ROLE),
    Route("LIST", "auth/token/roles", "list", 200, before=_TOKEN_ROLE, grant="auth/token/roles/"),
    Route("DELETE", "auth/token/roles/{name}", "delete", 204, before=_TOKEN_ROLE),
    Route("POST", "auth/token/create/{name}", "update", 200, fixed({"ttl": "1h"}), before=_TOKEN_ROLE),
    # what a token keeps
    Route("POST", "cubbyhole/{name}", "create", 204, fixed({"k": "v"})),
    Route("DELETE", "cubbyhole/{name}", "delete", 204),
    Route("POST", "sys/wrapping/wrap", "update", 400, fixed({"k": "v"}), served="readindex"),
    # KV v1
    Route("POST", "kv1/{name}", "create", 204, fixed({"k": "v"})),
    Route("PUT", "kv1/{name}", "update", 204, fixed({"k": "w"}), before=_V1),
    Route("GET", "kv1/{name}", "read", 200, before=_V1),
    Route("LIST", "kv1/", "list", 200, before=_V1),
    Route("DELETE", "kv1/{name}", "delete", 204, before=_V1),
    # KV v2
    Route("POST", "secret/data/{name}", "create", 200, fixed({"data": {"k": "v"}})),
    Route("PUT", "secret/data/{name}", "update", 200, fixed({"data": {"k": "w"}}), before=_V2),
    Route("PATCH", "secret/data/{name}", "patch", 200, fixed({"data": {"l": "w"}}), before=_V2),
    Route("GET", "secret/data/{name}", "read", 200, before=_V2),
    Route("GET", "secret/data/{name}?version=1", "read", 200, before=_V2),
    Route("DELETE", "secret/data/{name}", "delete", 204, before=_V2),
    Route("POST", "secret/delete/{name}", "update", 204, _VERSIONS, before=_V2),
    Route("POST", "secret/undelete/{name}", "update", 204, _VERSIONS, before=_V2),
    Route("PUT", "secret/destroy/{name}", "update", 204, _VERSIONS, before=_V2),
    Route("GET", "secret/metadata/{name}", "read", 200, before=_V2),
    Route("POST", "secret/metadata/{name}", "update", 204, fixed({"max_versions": 3}), before=_V2),
    Route("PATCH", "secret/metadata/{name}", "patch", 204, fixed({"max_versions": 3}), before=_V2),
    Route("DELETE", "secret/metadata/{name}", "delete", 204, before=_V2),
    Route("LIST", "secret/metadata/", "list", 200, before=_V2),
    Route("SCAN", "secret/metadata/", "scan", 200, before=_V2),
    Route("LIST", "secret/detailed-metadata/", "list", 200, before=_V2),
    Route("GET", "secret/subkeys/{name}", "read", 200, before=_V2),
    Route("GET", "secret/config", "read", 200),
    Route("POST", "secret/config", "update", 204, fixed({"max_versions": 10})),
    # audit devices
    Route("GET", "sys/audit", "read sudo", 200),
    Route("PUT", "sys/audit/{name}", "update sudo", 204, _device),
    Route("DELETE", "sys/audit/{name}", "delete sudo", 204, before=_DEVICE),
    Route("POST", "sys/audit-hash/file", "update", 200, fixed({"input": "text"}), served="readindex"),
    # what operators set and ask
    Route("POST", "sys/remount", "update sudo", 200, _move, before=_MOUNT),
    Route("LIST", "sys/policies/password", "list", 200, before=_PASSWORDS),
    Route("GET", "sys/policies/password/{name}", "read", 200, before=_PASSWORDS),
    Route("GET", "sys/policies/password/{name}/generate", "read", 200, before=_PASSWORDS),
    Route("POST", "sys/policies/password/{name}", "update", 204, fixed({"policy": PASSWORDS})),
    Route("DELETE", "sys/policies/password/{name}", "delete", 204, before=_PASSWORDS),
    Route("POST", "sys/tools/random", "update", 200, served="readindex"),
    Route("POST", "sys/tools/random/16", "update", 200, served="readindex"),
    Route("POST", "sys/tools/hash", "update", 200, fixed({"input": "aGVsbG8="}), served="readindex"),
    Route("POST", "sys/tools/hash/sha3-256", "update", 200, fixed({"input": "aGVsbG8="}), served="readindex"),
    Route("LIST", "sys/config/ui/headers", "list sudo", 200, before=_UI_HEADER, grant="sys/config/ui/headers/"),
    Route("GET", "sys/config/ui/headers/x-{name}", "read sudo", 200, before=_UI_HEADER),
    Route("POST", "sys/config/ui/headers/x-{name}", "update sudo", 204, fixed({"values": ["v"]})),
    Route("DELETE", "sys/config/ui/headers/x-{name}", "delete sudo", 204, before=_UI_HEADER),
    Route("GET", "sys/config/auditing/request-headers", "read sudo", 200),
    Route("GET", "sys/config/auditing/request-headers/x-{name}", "read sudo", 200, before=_AUDITED_HEADER),
    Route("POST", "sys/config/auditing/request-headers/x-{name}", "update sudo", 204, fixed({"hmac": True})),
    Route("DELETE", "sys/config/auditing/request-headers/x-{name}", "delete sudo", 204, before=_AUDITED_HEADER),
    Route("POST", "sys/config/cors", "update sudo", 400, fixed({"allowed_origins": "*"}), served="readindex"),
    Route("DELETE", "sys/config/cors", "delete sudo", 204, served="readindex"),
    Route("GET", "sys/quotas/config", "read", 200),
    Route("POST", "sys/quotas/config", "update", 204, fixed({"enable_rate_limit_audit_logging": False})),
    Route("LIST", "sys/quotas/rate-limit", "list", 200, before=_QUOTA),
    Route("GET", "sys/quotas/rate-limit/{name}", "read", 200, before=_QUOTA),
    Route("POST", "sys/quotas/rate-limit/{name}", "update", 204, _quota),
    Route("DELETE", "sys/quotas/rate-limit/{name}", "delete", 204, before=_QUOTA),
    Route("GET", "sys/storage/raft/autopilot/configuration", "read", 200),
    Route("POST", "sys/storage/raft/autopilot/configuration", "update", 204, fixed({}), served="readindex"),
    Route("POST", "sys/storage/raft/remove-peer", "update sudo", 400, fixed({}), served="readindex"),
    Route("POST", "sys/storage/raft/promote", "update sudo", 400, fixed({}), served="readindex"),
    Route("POST", "sys/storage/raft/demote", "update sudo", 400, fixed({}), served="readindex"),
    Route("GET", "sys/plugins/catalog", "read", 200),
    Route("GET", "sys/plugins/catalog/auth", "read sudo", 200),
    Route("LIST", "sys/plugins/catalog/secret", "list sudo", 200),
    Route("GET", "sys/plugins/catalog/secret/kv", "read sudo", 200),
    Route("LIST", "sys/version-history", "list", 200),
    Route("GET", "sys/host-info", "read", 200),
    Route("GET", "sys/in-flight-req", "read", 200),
    Route("GET", "sys/config/state/sanitized", "read", 200),
    Route("GET", "sys/loggers", "read", 200),
    # the cluster, and this node
    Route("GET", "sys/storage/raft/configuration", "read", 200),
    Route("GET", "sys/config/cors", "read sudo", 200),
    Route("GET", "sys/metrics", "read", 200),
    Route("GET", "sys/metrics?format=prometheus", "read", 200),
    Route("GET", "sys/ha-status", "read", 200),
    Route("GET", "strongroom/status", "read", 200),
)

REFUSED_ONLY = (
    Route("PUT", "sys/seal", "update sudo", 204),
    Route("PUT", "sys/step-down", "update sudo", 204),
)
"""What these do is tested elsewhere: the nodes of this table have to go on."""


@dataclass(frozen=True)
class Open:
    """A route that needs no token: its statuses on a leader, on a follower, and while sealed."""

    method: str
    path: str
    leads: int = 200
    follows: int = 200
    sealed: int = 503
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.method} {self.path}"


OPEN = (
    Open("GET", "sys/init", sealed=200),
    Open("GET", "sys/seal-status", sealed=200),
    Open("GET", "sys/health", follows=429),
    Open("HEAD", "sys/health", follows=429),
    Open("GET", "sys/leader"),
    Open("GET", "sys/replication/status"),
    Open("GET", "sys/internal/ui/mounts"),
    Open("GET", "/livez", sealed=200),
    Open("GET", "/readyz"),
    Open("GET", "/startupz"),
)


async def make_case(site: Site, route: Route) -> Case:
    """The route's run is prepared."""
    site.victims += 1
    name = f"r{site.victims}"
    auth = (await site.must("POST", "auth/token/create", {"ttl": "1h", "policies": ["default"]})).json["auth"]
    case = Case(name, auth["client_token"], auth["accessor"])
    for method, path, body in route.before:
        named = _named(body, name)
        await site.must(method, path.format(name=name), named)
    return case


def _named(body: Any, name: str) -> Any:
    if isinstance(body, dict):
        return {key: _named(value, name) for key, value in body.items()}
    return body.replace("{name}", name) if isinstance(body, str) else body


async def clean(site: Site, case: Case) -> None:
    """What a run may have left that would cost later ones time."""
    await site.must("DELETE", f"sys/audit/{case.name}")
