"""Which writes are logins, and so take no write id: told from the mount and what follows it, never from the path."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import Mount, Table, records
from node.catalog import MOUNT_TYPES, STUBS
from node.policy import builtin
from node.registry import Registry
from node.writes import takes_id
from tests.node.flow_site import Site, raw_request, uuid7

ID = "X-Strongroom-Write-Id"
MOUNTS = {
    "auth/approle/": "approle", "auth/approle/role/": "userpass", "auth/cert/": "cert", "auth/github/": "github",
    "auth/jwt/": "jwt", "auth/k8s/": "kubernetes", "auth/login-x/": "approle", "auth/oidc/": "oidc",
    "auth/token/": "token", "auth/userpass/": "userpass", "secret/": "kv", "login/": "kv", "sys/": "system",
}  # fmt: skip
NONE = (
    "auth/approle/login", "auth/cert/login", "auth/jwt/login", "auth/jwt/oidc/callback", "auth/k8s/login",
    "auth/login-x/login", "auth/oidc/login", "auth/oidc/oidc/callback", "auth/userpass/login/a",
    "auth/userpass/login/login-x", "auth/approle/role/login/b",
    "sys/seal", "sys/unseal", "sys/init", "sys/step-down", "sys/wrapping/wrap", "sys/wrapping/unwrap",
)  # fmt: skip
ONE = (
    "auth/approle/role-x/login", "auth/approle/login-x", "auth/approle/login/x", "auth/cert/certs/login",
    "auth/cert/certs/login-x", "auth/jwt/config", "auth/jwt/role/login", "auth/jwt/role/login-x", "auth/k8s/loginx",
    "auth/k8s/role/login", "auth/login-x/role/a", "auth/login-x/role/login", "auth/login-x/role/login-x/secret-id",
    "auth/oidc/oidc/auth_url", "auth/oidc/role/login/x", "auth/token/create/login", "auth/token/roles/login-x",
    "auth/userpass/login", "auth/userpass/users/login", "auth/userpass/users/login/password",
    "auth/userpass/users/login-x", "auth/approle/role/users/login", "auth/github/login", "auth/nowhere/login",
    "secret/data/auth/x/login", "login/login", "sys/auth/login-x", "sys/mounts/auth/login/tune",
    "sys/policies/acl/login",
)  # fmt: skip


class Mounted:
    """A view with the mounts of the table."""

    def items(self, table: Table) -> Iterator[tuple[bytes, int, bytes]]:
        assert table is Table.MOUNT
        for path, type_ in MOUNTS.items():
            yield path.encode(), 1, records.encode(Mount(type=type_, uuid=bytes(16), accessor=path))


def takes(path: str, **fields: Any) -> bool:
    view: Any = Mounted()
    return takes_id(raw_request("POST", path, {}, **fields), Registry(lambda _mount: None).route(view, path))


@pytest.mark.parametrize("path", NONE)
def test_a_login_takes_no_id(path: str) -> None:
    """Nor does what seals, or what is wrapped."""
    assert not takes(path)


@pytest.mark.parametrize("path", ONE)
def test_what_only_speaks_of_a_login_takes_one(path: str) -> None:
    """A role, user, mount, policy or secret of that name; and as any write it takes none if its answer is wrapped."""
    assert takes(path)
    assert not takes(path, headers=[("X-Vault-Wrap-TTL", "60s")])


def test_every_method_that_has_paths_says_what_its_logins_are() -> None:
    """A method that came without it would have its logins remembered."""
    assert MOUNT_TYPES.auth - STUBS == builtin.WITH_LOGINS


@pytest.mark.asyncio(loop_scope="session")
async def test_a_role_whose_name_begins_with_login_is_written_once(three: Site) -> None:
    """On the leader and on a follower: another body with the same id is another request, and is not done."""
    await three.ask("POST", "sys/auth/approle", {"type": "approle"})
    for number, server in enumerate((three.leader, three.followers[0])):
        path, headers = f"auth/approle/role/login-{number}", [(ID, uuid7(time.time()))]
        drawn = await server.ask("POST", f"{path}-drawn", {}, token=three.token)
        first = await server.ask("POST", path, {"token_ttl": "1h"}, token=three.token, headers=headers)
        again = await server.ask("POST", path, {"token_ttl": "1h"}, token=three.token, headers=headers)
        other = await server.ask("POST", path, {"token_ttl": "2h"}, token=three.token, headers=headers)

        assert [reply.status for reply in (drawn, first, again, other)] == [204, 204, 204, 409]
        assert drawn.headers[ID][14] == "7"
        assert (await three.ask("GET", path)).data["token_ttl"] == 3600


@pytest.mark.asyncio(loop_scope="session")
async def test_a_login_is_not_repeated_by_its_id(three: Site) -> None:
    """Also one that carries a token, by which it could be remembered: each makes a token of its own; none is drawn."""
    await three.ask("POST", "sys/auth/userpass", {"type": "userpass"})
    await three.must("POST", "auth/userpass/users/login-x", {"password": "pw"})
    path, headers = "auth/userpass/login/login-x", [(ID, uuid7(time.time()))]
    for server in (three.leader, three.followers[0]):
        drawn = await server.ask("POST", path, {"password": "pw"})
        replies = [
            await server.ask("POST", path, {"password": "pw"}, token=three.token, headers=headers) for _ in range(2)
        ]

        assert [reply.status for reply in (drawn, *replies)] == [200, 200, 200]
        assert ID not in drawn.headers
        assert len({reply.json["auth"]["client_token"] for reply in replies}) == 2
