"""Three real nodes, a real server that their backup goes to, and proxies before both: what a scenario plays on.

Each node reaches the server through a listener of its own, so that one node can be cut off from it alone. The members
reach each other through proxies, too (tests/network/far.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cluster.backup.postgres_server import PASSWORD, make_roles, running_server
from tests.network.child import Child
from tests.network.far import Far, far_cluster
from tests.process.harness import wait_until
from tests.process.machine import HOST, free_port_base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.cluster.backup.postgres_server import Server as Postgres
    from tests.process.harness import Server

SINK = "main"
AT = "sink"
"""Name of the server's host in the network."""
BACKUP = {"timeout_s": 2.0, "batch_interval_ms": 200}
PASSWORDS = "sink-password"
SETTLED_S = 60.0


class Way:
    """From each node to the server: a port of ours for each."""

    def __init__(self, folder: Path, nodes: list[str], target_port: int) -> None:
        self.ports = {name: free_port_base(1) for name in nodes}
        self._folder = folder
        self._target_port = target_port
        self._child: Child | None = None

    def open(self) -> None:
        """The nodes can dial."""
        self._child = Child("chaos.net", [], self._folder / "way.log")
        self._child.__enter__()
        links = [
            {"dialler": name, "target": AT, "port": port, "target_port": self._target_port, "address": HOST}
            for name, port in self.ports.items()
        ]
        self._child.ask("listen", links=links)

    def close(self) -> None:
        """Nobody listens there."""
        child, self._child = self._child, None
        if child is not None:
            child.__exit__()

    def leads_to(self, target_port: int) -> None:
        """The same addresses lead to another server from now on; every connection is gone."""
        self.close()
        self._target_port = target_port
        self.open()

    def _do(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert self._child is not None
        return self._child.ask(do, **arguments)

    def cut(self, node: str) -> None:
        """Nothing arrives in either direction until `heal`, and nothing is lost."""
        self._do("cut", source=node, sink=AT)
        self._do("cut", source=AT, sink=node)

    def heal(self) -> None:
        """Nothing is cut."""
        self._do("heal")

    def reset(self, node: str) -> None:
        """Its connections are reset; what was in flight is lost."""
        self._do("reset", one=node, other=AT)

    def shape(self, delay_s: float, bytes_per_s: float = 0.0) -> None:
        """The way is so long and so narrow, for all."""
        for name in self.ports:
            for source, sink in ((name, AT), (AT, name)):
                self._do("shape", source=source, sink=sink, delay_s=delay_s, bytes_per_s=bytes_per_s)

    @property
    def counts(self) -> dict[str, int]:
        """What was done to it so far."""
        return self._do("counts")


@dataclass
class Stage:
    """The cluster, its sink, and what is asked about it."""

    far: Far
    way: Way | None = None
    postgres: Postgres | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def leader(self) -> Server:
        """Who leads now."""
        return self.far.cluster.leader()

    def standing(self, server: Server | None = None) -> dict[str, Any]:
        """The sink as that node sees it, or the leader. Raises OSError."""
        reply = self.far.cluster.ask("GET", "strongroom/backup/status", at=server or self.leader, timeout_s=5.0)
        if reply.status != 200:
            raise OSError(f"status {reply.status}")
        found: dict[str, Any] = reply.data["sinks"][0]
        return found

    def settled(self, timeout_s: float = SETTLED_S) -> tuple[int, str]:
        """(index, digest) that all nodes have and the sink holds: the lag is zero. Nobody writes meanwhile."""

        def agreed() -> tuple[int, str] | None:
            index, digest = self.far.cluster.equal_digests(timeout_s)
            standing = self.standing()
            return (index, digest) if standing["index"] >= index and not standing["lag_entries"] else None

        found = wait_until(agreed, "the sink holds everything", timeout_s)
        assert found is not None
        return found


def with_sink(url_of: Callable[[str], str], folder: Path, **more: object) -> Callable[[list[Server]], None]:
    """Adds the sink to each node's configuration file; `url_of` goes from a node's id to the URL."""

    def add(servers: list[Server]) -> None:
        for server in servers:
            values = {"name": SINK, "url": url_of(server.node_id), **more}
            lines = ["[[backup.sinks]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
            with (server.folder / "node.toml").open("a") as file:
                file.write("\n".join(lines) + "\n")

    folder.mkdir(parents=True, exist_ok=True)
    return add


@contextlib.contextmanager
def postgres_stage(
    folder: Path, *, backup: Mapping[str, object] | None = None, nodes: tuple[str, ...] = ("n1", "n2", "n3")
) -> Iterator[Stage]:
    """A stage whose sink is a real PostgreSQL; `backup` are further settings of the section."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / PASSWORDS
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD)
    with running_server() as postgres, contextlib.ExitStack() as stack:
        asyncio.run(make_roles(postgres))
        way = Way(folder, list(nodes), postgres.port)
        way.open()
        stack.callback(way.close)

        def url_of(node: str) -> str:
            return postgres.tcp_url("scram", port=way.ports[node])

        sections = {"backup": {**BACKUP, **(backup or {})}}
        add = with_sink(url_of, folder, password_file=str(secret))
        far = stack.enter_context(far_cluster(folder / "far", delay_s=0.0, sections=sections, before=add))
        yield Stage(far, way, postgres)
