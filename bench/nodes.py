"""A cluster of real nodes on loopback, as `strongroom dev` starts it, each with a load generator inside.

A shell. Nodes have mutual TLS between them and fsync on every write; clients speak plain HTTP on loopback. An ordinary
token with a policy of its own (and `default`) asks, never root.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from node.cli.dev import DevOptions
from node.dev import Dev, DevNode

from . import control
from .processes import HOST, BenchError, end, free_ports, pinned, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY_S = 60.0
ASK_S = 5.0
MORE_S = 60.0
POLICY = 'path "secret/data/*" { capabilities = ["create", "read", "update", "delete", "list"] }'


class Nodes(Dev):
    """The cluster; the first node's folder is `<data>/n1`."""

    token = ""
    core: int | None = None

    # ---- processes
    def start(self, node: DevNode) -> None:
        """The node's process runs."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")}
        environ |= {"STRONGROOM_DEV_SECRET_MOUNT": "1", "STRONGROOM_PARENT": str(os.getpid())}
        command = [sys.executable, "-m", "bench.node", str(node.folder / "node.toml"), str(self.socket(node))]
        with (node.folder / "node.log").open("ab") as log, pinned(self.core):
            node.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, start_new_session=True
            )

    def kill(self, node: DevNode) -> None:
        """The process is gone: kill -9."""
        assert node.process is not None
        node.process.kill()
        node.process.wait()

    def end(self, node: DevNode) -> None:
        """SIGTERM, and wait."""
        assert node.process is not None
        end(node.process)

    def wipe(self, node: DevNode) -> None:
        """Its data is gone; configuration and certificate stay."""
        shutil.rmtree(node.folder / "data")

    def serve(self, node: DevNode) -> None:
        """A node that was started is unsealed and answers reads. Raises BenchError, DevError or OSError."""
        self.wait_listening(node)
        wait_until(lambda: self._knows_its_cluster(node), f"{node.node_id} finds the cluster", READY_S)
        for key in self.secrets["unseal_keys"]:
            status, _ = self.request(node, "PUT", "/v1/sys/unseal", {"key": key}, timeout_s=READY_S)
            if status != 200:
                raise BenchError(f"{node.node_id} cannot be unsealed: {status}")
        wait_until(lambda: self.ready(node), f"{node.node_id} is ready", READY_S)

    def _knows_its_cluster(self, node: DevNode) -> bool:
        status, raw = self.request(node, "GET", "/v1/sys/seal-status")
        return status == 200 and json.loads(raw)["initialized"] is True

    @staticmethod
    def socket(node: DevNode) -> Path:
        """Where the node's load generator listens."""
        return node.folder / control.NAME

    def pid(self, node: DevNode) -> int:
        """Of the node itself, not of its journal's writer."""
        assert node.process is not None
        return node.process.pid

    # ---- who leads
    def leader(self) -> DevNode:
        """The node that leads. Raises BenchError."""
        found: list[tuple[int, DevNode]] = []

        def leads() -> bool:
            for node in self.nodes:
                if node.process is None or node.process.poll() is not None:
                    continue
                with contextlib.suppress(OSError, BenchError):
                    status = self.do(node, "status", timeout_s=2.0)
                    if status["leads"]:
                        found.append((status["term"], node))
            return bool(found)

        wait_until(leads, "a node leads", READY_S)
        return max(found, key=lambda pair: pair[0])[1]

    def followers(self) -> list[DevNode]:
        """All but the leader."""
        leader = self.leader()
        return [node for node in self.nodes if node is not leader]

    # ---- asking
    def do(self, node: DevNode, do: str, *, timeout_s: float = MORE_S, **arguments: Any) -> dict[str, Any]:
        """One request to the node's load generator."""
        return control.ask(self.socket(node), do, timeout_s=timeout_s, **arguments)

    def begin(self, node: DevNode, do: str, *, timeout_s: float = MORE_S, **arguments: Any) -> control.Control:
        """The same without waiting: `receive` its answer, then `close`."""
        conversation = control.Control(self.socket(node), timeout_s)
        conversation.send(do, **arguments)
        return conversation

    def fill(self, count: int) -> dict[str, Any]:
        """So many secrets exist, 1 KiB each, under the paths of `load.path_of`."""
        answer = self.do(
            self.leader(), "load", kind="kv", token=self.token, paths=count, count=count, writers=256, timeout_s=600.0
        )
        if answer["count"] != count:
            raise BenchError(f"only {answer['count']} of {count} secrets were stored: {answer['failures']}")
        return answer

    def request(
        self,
        node: DevNode,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "",
        timeout_s: float = ASK_S,
    ) -> tuple[int, bytes]:
        """One HTTP request; `path` from the root. Raises OSError."""
        connection = http.client.HTTPConnection(HOST, node.api_port, timeout=timeout_s)
        try:
            headers = {"X-Vault-Request": "true"} | ({"X-Vault-Token": token} if token else {})
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(type(error).__name__) from error
        finally:
            connection.close()

    def ready(self, node: DevNode) -> bool:
        """It answers strong reads. Raises OSError."""
        return self.request(node, "GET", "/readyz")[0] == 200

    def root(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """One request with the root token at the first node. Raises BenchError."""
        status, raw = self.request(self.nodes[0], method, f"/v1/{path}", body, token=self.secrets["root_token"])
        if status >= 300:
            raise BenchError(f"{method} {path} was answered {status}")
        answer: dict[str, Any] = json.loads(raw) if raw else {}
        return answer

    def make_token(self, name: str = "bench", policy: str = POLICY) -> None:
        """An ordinary token may do what the policy says: without one, use the mount secret/."""
        self.root("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        made = self.root("POST", "auth/token/create", {"policies": [name], "ttl": "24h"})
        self.token = made["auth"]["client_token"]


@contextlib.contextmanager
def running(folder: Path, count: int = 3, core: int | None = None) -> Iterator[Nodes]:
    """The nodes serve inside; outside they have ended and their folder is gone."""
    options = DevOptions(nodes=count, data=folder, port_base=free_ports(count, 10))
    nodes = Nodes(options, folder, temporary=True)
    nodes.core = core
    try:
        nodes.up()
        nodes.make_token()
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(folder, ignore_errors=True)
