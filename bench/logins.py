"""AppRole logins over HTTP: one node on core 0 with wrk on core 1, and three nodes, through the leader and a follower.

A shell. Every login makes a token, which is a write, or a batch token, which is none. The secret-id has any number of
uses, as where many processes share one.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from . import etcd, nodes, wrk, yardsticks
from .posts import Post, Posts
from .processes import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .figures import Figure
    from .nodes import Nodes
    from .options import Sizes

GROUP = "logins"
NGINX_MISSING = "nginx is not installed here (apt install nginx-light)"


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """See the module's paragraph. Raises BenchError."""
    if not wrk.there():
        raise BenchError("wrk is not installed (apt install wrk)")
    many = sizes.connections[-1]
    with contextlib.ExitStack() as stack:
        nginx = stack.enter_context(yardsticks.nginx(folder / "nginx"))
        cluster = stack.enter_context(nodes.running(folder / "single", count=1, core=0))
        beside = None if nginx is None else (lambda connections: nginx.measure(sizes.yardstick_s, connections))
        posts = Posts(GROUP, cluster, sizes, beside, NGINX_MISSING, core=1)
        service, batch = login(cluster, "service"), login(cluster, "batch")
        yield posts.figure("AppRole logins, single node", cluster.nodes[0], service, many)
        yield posts.figure("AppRole logins, single node, 1 connection", cluster.nodes[0], service, 1)
        yield posts.figure("AppRole logins, single node, batch tokens", cluster.nodes[0], batch, many)
    with contextlib.ExitStack() as stack:
        three = stack.enter_context(etcd.running(folder / "etcd"))
        cluster = stack.enter_context(nodes.running(folder / "three"))
        beside = (
            None if three is None else (lambda connections: three.puts(connections, sizes.yardstick_s, sizes.paths))
        )
        posts = Posts(GROUP, cluster, sizes, beside, etcd.MISSING)
        service = login(cluster, "service")
        yield posts.figure("AppRole logins, leader of three", cluster.leader(), service, many)
        yield posts.figure("AppRole logins, follower of three", cluster.followers()[0], service, many)


def login(cluster: Nodes, token_type: str) -> Post:
    """The login of a role whose tokens are of this type. Raises BenchError."""
    mount = f"auth/bench-{token_type}"
    cluster.root("POST", f"sys/{mount}", {"type": "approle"})
    role = f"{mount}/role/app"
    cluster.root("POST", role, {"token_policies": ["bench"], "token_ttl": "1h", "token_type": token_type})
    role_id = cluster.root("GET", f"{role}/role-id", None)["data"]["role_id"]
    secret_id = cluster.root("POST", f"{role}/secret-id", {})["data"]["secret_id"]
    return Post(f"{mount}/login", {"role_id": role_id, "secret_id": secret_id})
