"""A cluster of real processes whose members reach each other through proxies only; clients reach them directly.

Each node has its own configuration, in which the others' addresses are proxies of that pair. The member with the
higher id dials (cluster/links/transport.py), so there is one listener a pair. TLS is end to end: a proxy sees
ciphertext.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.network.child import Child
from tests.process.harness import Cluster, Server, configuration, make_cluster, running
from tests.process.machine import HOST, free_port_base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

DELAY_S = 0.02
PROXY_PORT = 2  # above a node's first port: its API and its peers have 0 and 1
API_CERTS = "api-certs"
Sections = dict[str, dict[str, Any]]


@dataclass
class Far:
    """The cluster, and the network between its members."""

    cluster: Cluster
    folder: Path
    _network: Child

    @property
    def ca_file(self) -> Path | None:
        """Who signs the API's certificates; None if it speaks plain HTTP."""
        file = self.folder / API_CERTS / "ca.pem"
        return file if file.exists() else None

    def pairs(self) -> list[tuple[str, str]]:
        """(dialler, target) of every two members."""
        return dialled(self.cluster.servers)

    # ---- what the network does
    def shape(self, delay_s: float, bytes_per_s: float = 0.0, only: Server | None = None) -> None:
        """Every link, or every one of that node, is so long and so narrow, both ways."""
        for dialler, target in self.pairs():
            if only is None or only.node_id in {dialler, target}:
                for source, sink in ((dialler, target), (target, dialler)):
                    self._network.ask("shape", source=source, sink=sink, delay_s=delay_s, bytes_per_s=bytes_per_s)

    def cut(self, source: Server, sink: Server) -> None:
        """Nothing arrives in that direction until `heal`."""
        self._network.ask("cut", source=source.node_id, sink=sink.node_id)

    def cut_off(self, server: Server) -> None:
        """The node neither hears nor is heard, until `heal`."""
        for other in self.cluster.servers:
            if other is not server:
                self.cut(server, other)
                self.cut(other, server)

    def heal(self) -> None:
        """No direction is cut."""
        self._network.ask("heal")

    def mend(self, source: Server, sink: Server) -> None:
        """That direction is not cut."""
        self._network.ask("heal", source=source.node_id, sink=sink.node_id)

    def reset(self, one: Server, other: Server) -> None:
        """Their connections are reset; both dial anew."""
        self._network.ask("reset", one=one.node_id, other=other.node_id)

    def host_dies(self, server: Server) -> int:
        """Its links lose what is in flight, then its process is killed; bytes lost."""
        lost_bytes: int = self._network.ask("die", host=server.node_id)["count"]
        server.kill()
        return lost_bytes

    def host_returns(self, server: Server) -> None:
        """It can be reached; nothing runs on it yet."""
        self._network.ask("revive", host=server.node_id)

    def counts(self) -> dict[str, int]:
        """What the network has done so far."""
        return self._network.ask("counts")


def dialled(servers: list[Server]) -> list[tuple[str, str]]:
    return [(two.node_id, one.node_id) for one, two in itertools.combinations(servers, 2)]


@contextlib.contextmanager
def far_cluster(
    folder: Path,
    *,
    delay_s: float = DELAY_S,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    change: Callable[[Server, Sections], None] = lambda _server, _sections: None,
    before: Callable[[list[Server]], None] = lambda _servers: None,
    server_type: type[Server] = Server,
) -> Iterator[Far]:
    """Three nodes serve inside, KV v2 at secret/; outside nothing runs.

    `change` may add to one node's sections; `before` is called when all folders stand and nothing runs yet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base = free_port_base(3)
    made = make_cluster(folder, port_base=base)
    made.servers = [
        server_type(old.node_id, old.api_port, old.peer_port, old.folder) for old in made.servers
    ]
    ports = {
        (dialler, target): made[dialler].api_port + PROXY_PORT + number
        for number, (dialler, target) in enumerate(dialled(made.servers))
    }
    for server in made.servers:
        own: Sections = {name: dict(values) for name, values in (sections or {}).items()}
        change(server, own)
        members = [(other.node_id, peer_address(server, other, ports), other.api) for other in made.servers]
        text = configuration(server, members, folder / "certs", sections=own)
        (server.folder / "node.toml").write_text(text)
    links = [
        {"dialler": dialler, "target": target, "port": port, "target_port": made[target].peer_port, "address": HOST}
        for (dialler, target), port in ports.items()
    ]
    with Child("chaos.net", [], folder / "network.log") as network:
        network.ask("listen", links=links)
        far = Far(made, folder, network)
        far.shape(delay_s)
        before(made.servers)
        with running(made):
            yield far


def peer_address(server: Server, other: Server, ports: Mapping[tuple[str, str], int]) -> str:
    """Where `server` believes that `other` is: its own address for itself, a proxy for the others."""
    port = ports.get((server.node_id, other.node_id)) or ports.get((other.node_id, server.node_id)) or other.peer_port
    return f"{HOST}:{port if other is not server else server.peer_port}"
