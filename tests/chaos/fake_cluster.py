"""A cluster of somebody's that answers over HTTP and remembers what was made in it: mounts, policies, tokens.

Its nodes are threads with one state. It does nothing of what a real one does with values; what it must do is remember.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = "hvs.owner"


class FakeCluster:
    """`with` it: nodes listen on loopback. `refuse` names (method, path) that get 403; `asked` is everything."""

    def __init__(self, nodes: int = 3) -> None:
        self.nodes = [f"v{number + 1}" for number in range(nodes)]
        self.mounts = {"secret": "the owner's"}
        self.policies = {"default": "", "app": "the owner's"}
        self.tokens: dict[str, str] = {OWNER: ""}  # token: its parent
        self.refuse: set[tuple[str, str]] = set()
        self.sealed: set[str] = set()
        self.ready = True
        self.asked: list[tuple[str, str, str]] = []
        self.hold = threading.Event()  # answers to sys/mounts wait for it
        self.hold.set()
        self.asked_to_mount = threading.Event()
        self._servers: list[ThreadingHTTPServer] = []
        self._made = 0

    def __enter__(self) -> Self:
        for node in self.nodes:
            server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, node))
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            self._servers.append(server)
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def urls(self) -> list[str]:
        """Of each node."""
        return [f"http://127.0.0.1:{server.server_port}" for server in self._servers]

    def children(self, token: str) -> Iterator[str]:
        """All below it."""
        for one, parent in list(self.tokens.items()):
            if parent == token:
                yield one
                yield from self.children(one)

    def answer(self, node: str, method: str, path: str, token: str, body: Any) -> tuple[int, Any]:
        """(status, body)."""
        self.asked.append((method, path, token))
        if path == "/readyz":
            return (200 if self.ready else 503), {}
        if node in self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token not in self.tokens or (method, path) in self.refuse:
            return 403, {"errors": ["permission denied"]}
        if path == "/v1/strongroom/status":
            return 200, {"data": {"node_id": node, "role": "leader" if node == self.nodes[0] else "follower", "term": 1,
                                  "members": [{"id": one} for one in self.nodes]}}  # fmt: skip
        if path == "/v1/auth/token/create":
            self._made += 1
            made = f"hvs.made-{self._made}"
            self.tokens[made] = token
            return 200, {"auth": {"client_token": made}}
        if path == "/v1/auth/token/revoke":
            for one in [*self.children(body["token"]), body["token"]]:
                self.tokens.pop(one, None)
            return 204, None
        for prefix, table in (("/v1/sys/mounts/", self.mounts), ("/v1/sys/policies/acl/", self.policies)):
            if path.startswith(prefix):
                return self._table(method, path.removeprefix(prefix), table, token)
        if path.removeprefix("/v1/").split("/")[0] in self.mounts and method == "POST":
            return 200, {"data": {"version": 1}}
        return 404, {"errors": []}

    def _table(self, method: str, name: str, table: dict[str, str], token: str) -> tuple[int, Any]:
        if table is self.mounts and method == "POST":
            self.asked_to_mount.set()
            self.hold.wait(10)
            if name in table:
                return 400, {"errors": ["path is already in use"]}
        if method == "DELETE":
            table.pop(name, None)
        else:
            table[name] = token
        return 204, None


def _handler(cluster: FakeCluster, node: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("X-Vault-Token", "")
            body = json.loads(raw) if raw else None
            status, said = cluster.answer(node, self.command, self.path, token, body)
            out = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_POST = do_PUT = do_DELETE = do_LIST = _any  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler
