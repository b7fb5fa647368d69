"""A cluster of processes on this machine: no privilege needed. Members reach each other through TCP proxies.

Each node has its own configuration in which the others' addresses are proxies of that pair (chaos/net); the member with
the higher id dials, so there is one listener a pair. A cut direction keeps what comes and delivers it late, as TCP
would; clients reach the nodes directly.
"""

from __future__ import annotations

import itertools
import shutil
import signal
from typing import TYPE_CHECKING, ClassVar

from chaos.api import Admin
from chaos.ledger import Ledger
from cluster.links.certs import write_certificates

from . import keys
from .base import (
    AUDIT,
    CLOCK,
    CONFIG,
    FILES,
    PARTITION,
    PROCESS,
    SEAL,
    SHAPE,
    Shape,
    TargetSettings,
)
from .child import Child
from .configuring import CLUSTER_NAME, sections_of, text_of
from .node import Node
from .ports import HOST, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLOCK_VARIABLE = "STRONGROOM_DEV_CLOCK_FILE"
WHY_NOT = {
    "packets": "a TCP proxy carries streams, not packets; the netns target can",
    "power": "needs a disk of its own for each node; the netns target makes them",
    "disk": "needs a disk of its own for each node; ask for `disks` as root",
    "sink": "the scenario has no backup",
    "failpoints": "the product was started without them",
}


class LocalTarget:
    """See Target."""

    name: ClassVar[str] = "local"

    def __init__(self, folder: Path, settings: TargetSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.nodes = [f"n{number + 1}" for number in range(settings.nodes)]
        self.token = ""
        self.shares: list[str] = []
        self.members: dict[str, Node] = {}
        self.ledger = Ledger()
        self._network = Child("chaos.net", folder / "network.log")
        self._cut: set[tuple[str, str]] = set()

    @property
    def abilities(self) -> frozenset[str]:
        """See Target."""
        return frozenset({PROCESS, PARTITION, SHAPE, CLOCK, FILES, CONFIG, SEAL, AUDIT})

    def why_not(self, ability: str) -> str:
        """See Target."""
        return WHY_NOT.get(ability, "this target cannot")

    # ---- life
    def start(self) -> None:
        """See Target."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pairs = [(two, one) for one, two in itertools.combinations(self.nodes, 2)]
        ports = free_ports(2 * len(self.nodes) + len(pairs))
        proxies = dict(zip(pairs, ports[2 * len(self.nodes) :], strict=True))
        write_certificates(self.folder / "certs", {node: [HOST] for node in self.nodes}, None, CLUSTER_NAME)
        for number, node in enumerate(self.nodes):
            self.members[node] = self._make(node, ports[2 * number], ports[2 * number + 1])
        for member in self.members.values():
            self.configure(member, proxies)
        self._network.start()
        self._network.ask("listen", links=[
            {"dialler": dialler, "target": target, "port": port, "target_port": self.members[target].peer_port,
             "address": HOST}
            for (dialler, target), port in proxies.items()
        ])  # fmt: skip
        for member in self.members.values():
            member.start()
        urls = {node: self.url(node) for node in self.nodes}
        self.shares, self.token = keys.initialise(urls, self.ca_file)
        for node in self.nodes:
            keys.unseal(self.url(node), node, self.shares, self.ca_file)
        keys.furnish(Admin(urls, self.token, self.ca_file), self.nodes, self.settings.audit_devices)

    def _make(self, node: str, api_port: int, peer_port: int) -> Node:
        folder = self.folder / "nodes" / node
        folder.mkdir(mode=0o700, parents=True)
        clock = folder / "clock"
        clock.write_text("0")
        environ = {CLOCK_VARIABLE: str(clock), **self.settings.environ}

        def begun(pid: int) -> None:
            self.ledger.note("processes", pid)

        return Node(node, folder, api_port, peer_port, environ, on_start=begun)

    def configure(self, member: Node, proxies: Mapping[tuple[str, str], int]) -> None:
        """The node's file stands."""
        address = f"{HOST}:{member.api_port}"
        sections = sections_of(
            node_id=member.node_id, data=member.data, api=address, advertise=f"http://{address}",
            peer=f"{HOST}:{member.peer_port}", certs=self.folder / "certs", audit=member.folder / "audit",
        )  # fmt: skip
        (member.folder / "audit").mkdir(mode=0o700, exist_ok=True)

        def peer(other: str) -> str:
            pair = (max(member.node_id, other), min(member.node_id, other))
            return f"{HOST}:{self.members[other].peer_port if other == member.node_id else proxies[pair]}"

        members = [{"id": other, "peer": peer(other), "api": self.url(other)} for other in self.nodes]
        (member.folder / "node.toml").write_text(text_of(sections, self.settings.sections, members))

    def stop(self) -> dict[str, int | None]:
        """See Target."""
        codes: dict[str, int | None] = {}
        for node, member in self.members.items():
            codes[node] = member.end(signal.SIGTERM) if member.alive else None
        self._network.stop()
        return codes

    def discard(self) -> None:
        """See Target."""
        for member in self.members.values():
            shutil.rmtree(member.data, ignore_errors=True)
        shutil.rmtree(self.folder / "certs", ignore_errors=True)
        self.ledger.close()

    # ---- asking
    def url(self, node: str) -> str:
        """See Target."""
        return f"http://{HOST}:{self.members[node].api_port}"

    @property
    def ca_file(self) -> Path | None:
        """See Target."""
        return None

    # ---- processes
    def kill(self, node: str) -> None:
        """See Target."""
        self.members[node].end(signal.SIGKILL)

    def terminate(self, node: str) -> int:
        """See Target."""
        return self.members[node].end(signal.SIGTERM)

    def revive(self, node: str) -> None:
        """See Target."""
        self.members[node].resume()
        self.members[node].start()
        keys.unseal(self.url(node), node, self.shares, self.ca_file)

    def pause(self, node: str) -> None:
        """See Target."""
        self.members[node].pause()

    def resume(self, node: str) -> None:
        """See Target."""
        self.members[node].resume()

    def signal(self, node: str, number: int) -> None:
        """See Target."""
        self.members[node].signal(number)

    def pids(self, node: str) -> list[int]:
        """See Target."""
        return self.members[node].pids()

    # ---- network
    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """See Target."""
        wanted = {(source, sink) for sink, sources in grudge.items() for source in sources}
        for source, sink in sorted(self._cut - wanted):
            self._network.ask("heal", source=source, sink=sink)
        for source, sink in sorted(wanted - self._cut):
            self._network.ask("cut", source=source, sink=sink)
        self._cut = wanted

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """See Target; packets cannot be had here."""
        self._network.ask("shape", source=source, sink=sink, delay_s=shape.delay_s, bytes_per_s=shape.bytes_per_s)

    def counts(self) -> dict[str, int]:
        """See Target."""
        return {name: int(value) for name, value in self._network.ask("counts").items()}

    # ---- files and clock
    def data_dir(self, node: str) -> Path:
        """See Target."""
        return self.members[node].data

    def set_clock(self, node: str, offset_s: float) -> None:
        """See Target."""
        (self.members[node].folder / "clock").write_text(f"{offset_s:.6f}")
