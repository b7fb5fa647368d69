"""A cluster of processes on this machine: no privilege needed. Members reach each other through TCP proxies.

Each node has its own configuration in which the others' addresses are proxies of that pair (chaos/net); the member with
the higher id dials, so there is one listener a pair. A cut direction keeps what comes and delivers it late, as TCP
would; clients reach the nodes directly.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar, Final

from cluster.links.certs import write_certificates

from .base import CLOCK, PARTITION, SHAPE, Shape, TargetError, TargetSettings
from .child import Child
from .configuring import CLUSTER_NAME
from .node import Node
from .ports import HOST, free_ports
from .processes import ProcessTarget
from .sinks import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLOCK_VARIABLE: Final = "STRONGROOM_DEV_CLOCK_FILE"
OF_PACKETS: Final = ("loss", "duplicates", "reordered", "corrupted")  # parts of a Shape


class LocalTarget(ProcessTarget):
    """See Target."""

    name: ClassVar[str] = "local"
    can: ClassVar[frozenset[str]] = ProcessTarget.can | {PARTITION, SHAPE, CLOCK}
    cannot: ClassVar[Mapping[str, str]] = {
        "packets": "a TCP proxy carries streams, not packets; the netns target can",
    }
    sinks: ClassVar[Sequence[str]] = KINDS

    def __init__(self, folder: Path, settings: TargetSettings) -> None:
        super().__init__(folder, settings)
        self._network = Child("chaos.net", folder / "network.log")
        self._ports: dict[str, tuple[int, int]] = {}  # of the API, of the peers
        self._proxies: dict[tuple[str, str], int] = {}  # (dialler, target)
        self._cut: set[tuple[str, str]] = set()

    def _network_up(self) -> None:
        pairs = [(two, one) for one, two in itertools.combinations(self.nodes, 2)]
        ports = free_ports(2 * len(self.nodes) + len(pairs))
        self._ports = {node: (ports[2 * at], ports[2 * at + 1]) for at, node in enumerate(self.nodes)}
        self._proxies = dict(zip(pairs, ports[2 * len(self.nodes) :], strict=True))
        write_certificates(self.folder / "certs", {node: [HOST] for node in self.nodes}, None, CLUSTER_NAME)
        self._network.start()
        self._network.ask("listen", seed=self.settings.seed, links=[
            {"dialler": dialler, "target": target, "port": port, "target_port": self._ports[target][1],
             "address": HOST}
            for (dialler, target), port in self._proxies.items()
        ])  # fmt: skip

    def _network_down(self) -> None:
        self._network.stop()

    def _node(self, node: str, folder: Path) -> Node:
        clock = folder / "clock"
        clock.write_text("0")
        environ = {CLOCK_VARIABLE: str(clock), **self.settings.environ}
        return Node(node, folder, *self._ports[node], environ, on_start=self._begun)

    def _sections(self, member: Node) -> dict[str, dict[str, Any]]:
        api, peer = f"{HOST}:{member.api_port}", f"{HOST}:{member.peer_port}"
        return self.common_sections(member, api=api, peer=peer)

    def _peer_address(self, member: Node, other: str) -> str:
        pair = (max(member.node_id, other), min(member.node_id, other))
        return f"{HOST}:{self._ports[other][1] if other == member.node_id else self._proxies[pair]}"

    def stop(self) -> dict[str, int | None]:
        """See Target."""
        codes = super().stop()
        self._network.stop()
        return codes

    def url(self, node: str) -> str:
        """See Target."""
        return f"http://{HOST}:{self._ports[node][0]}"

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
        """See Target; of packets nothing can be had."""
        lacking = [name for name in OF_PACKETS if getattr(shape, name)]
        if lacking:
            raise TargetError(f"no {', '.join(lacking)} from {source} to {sink}: {self.why_not('packets')}")
        how = {"delay_s": shape.delay_s, "jitter_s": shape.jitter_s, "bytes_per_s": shape.bytes_per_s}
        self._network.ask("shape", source=source, sink=sink, **how)

    def counts(self) -> dict[str, int]:
        """See Target."""
        return {name: int(value) for name, value in self._network.ask("counts").items()}

    # ---- clock
    def set_clock(self, node: str, offset_s: float) -> None:
        """See Target."""
        (self.members[node].folder / "clock").write_text(f"{offset_s:.6f}")
