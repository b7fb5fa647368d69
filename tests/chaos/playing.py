"""A cluster in this process that runs can be made with: KV v2, readiness, status; wrong where it is told to.

Its nodes are listeners with one state; a node that is `down` closes whatever is asked. No ability needs its files.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

from chaos.targets.base import PROCESS
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIGEST = "d1"


class PlayingTarget(FakeTarget):
    """See Target. `forgets`: every such write is acknowledged and not done; `stopping` runs within `stop`."""

    name: ClassVar[str] = "playing"

    def __init__(self, folder: Path, *, forgets: int = 0) -> None:
        super().__init__(3, frozenset({PROCESS}))
        self.folder = folder
        self.sink = None
        self.versions: dict[str, list[Any]] = defaultdict(list)
        self.forgets = forgets
        self.digest: str | None = DIGEST
        self.stopping: Callable[[], None] = lambda: None
        self.writes = 0
        self._servers: dict[str, ThreadingHTTPServer] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        super().start()
        for node in self.nodes:
            server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, node))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            self._servers[node] = server

    def stop(self) -> dict[str, int | None]:
        codes = super().stop()
        self.stopping()
        for server in self._servers.values():
            server.shutdown()
            server.server_close()
        return codes

    def url(self, node: str) -> str:
        return f"http://127.0.0.1:{self._servers[node].server_port}"

    def answer(self, node: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        """(status, body)."""
        with self._lock:
            if path == "/readyz":
                return 200, {}
            if path == "/v1/strongroom/status":
                role = "leader" if node == "n1" else "follower"
                return 200, {"data": {"node_id": node, "role": role, "term": 1, "generation": "g",
                                      "digest": self.digest, "digest_index": 7}}  # fmt: skip
            made = self.versions[path]
            if method == "POST":
                return self._write(made, body)
            if not made:
                return 404, {"errors": []}
            return 200, {"data": {"data": {"value": made[-1]}, "metadata": {"version": len(made)}}}

    def _write(self, made: list[Any], body: Any) -> tuple[int, Any]:
        if body.get("options", {}).get("cas", len(made)) != len(made):
            return 400, {"errors": ["check-and-set parameter did not match the current version"]}
        self.writes += 1
        if not self.forgets or self.writes % self.forgets:
            made.append(body["data"]["value"])
            return 200, {"data": {"version": len(made)}}
        return 200, {"data": {"version": len(made) + 1}}


def _handler(target: PlayingTarget, node: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if node in target.down:
                self.close_connection = True
                return
            status, said = target.answer(node, self.command, self.path, json.loads(raw) if raw else None)
            out = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_POST = do_PUT = do_LIST = _any  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler
