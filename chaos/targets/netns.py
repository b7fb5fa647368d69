"""A cluster of processes, each in a network namespace of its own, as production runs: TLS on the API, real addresses.

Needs root. Nothing but one link to each node stands in the runner's own namespace. Profile dev is for loopback alone,
so these nodes are production's: their clocks cannot be moved, and failpoints are refused. Between nodes lies the
kernel's bridge, where whole directions can be cut, or with `packets`, or where there is no nft, a switch of ours
(targets/fabrics.py).
"""

from __future__ import annotations

import atexit
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos import env
from cluster.links.certs import write_certificates

from .base import TargetError, TargetSettings
from .configuring import CLUSTER_NAME
from .fabrics import Bridge, Fabric, TapSwitch
from .namespaces import Host, planned
from .node import Node
from .processes import ProcessTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .base import Shape

API_PORT: Final = 8200
PEER_PORT: Final = 8201
DEV_ONLY: Final = "STRONGROOM_DEV_"
NOT_ON_A_BRIDGE: Final = "the scenario does not ask for `packets`: a bridge carries everything as it comes"


class NetnsTarget(ProcessTarget):
    """See Target."""

    name: ClassVar[str] = "netns"
    profile: ClassVar[str] = "production"
    cannot: ClassVar[Mapping[str, str]] = {
        "packets": NOT_ON_A_BRIDGE,
        "shape": NOT_ON_A_BRIDGE,
        "clock": "nodes are of profile production, whose clocks nobody moves; the local target can",
        "failpoints": "nodes are of profile production, which refuses them; the local target can",
        "sink": "the scenario has no backup",
    }

    def __init__(self, folder: Path, settings: TargetSettings) -> None:
        super().__init__(folder, settings)
        without_nft = bool(env.namespaces()) and not env.packets()
        self._packets = settings.packets or without_nft
        self._fabric: Fabric = TapSwitch(folder / "switch.log", settings.seed) if self._packets else Bridge()
        self._hosts: dict[str, Host] = {}

    def _unavailable(self) -> str:
        """Why there are no such hosts on this machine."""
        return env.packets() if self._packets else env.namespaces()

    @property
    def abilities(self) -> frozenset[str]:
        """See Target; none without root."""
        return frozenset() if self._unavailable() else super().abilities | self._fabric.abilities

    def why_not(self, ability: str) -> str:
        """See Target."""
        return self._unavailable() or super().why_not(ability)

    # ---- life
    def _network_up(self) -> None:
        why = self._unavailable()
        if why:
            raise TargetError(f"no network namespaces: {why}")
        self._hosts = {host.name: host for host in planned(self.nodes)}
        addresses = {name: [host.peer] for name, host in self._hosts.items()}
        write_certificates(self.folder / "certs", addresses, None, CLUSTER_NAME)
        clients = {name: [host.client] for name, host in self._hosts.items()}
        write_certificates(self.folder / "api-certs", clients, None, f"{CLUSTER_NAME} api")
        atexit.register(self._gone)
        self._fabric.up(list(self._hosts.values()), self.ledger)

    def _network_down(self) -> None:
        self._fabric.down()
        atexit.unregister(self._gone)

    def _gone(self) -> None:
        with contextlib.suppress(TargetError):
            self._fabric.down()

    def _node(self, node: str, folder: Path) -> Node:
        environ = {name: value for name, value in self.settings.environ.items() if not name.startswith(DEV_ONLY)}
        return Node(node, folder, API_PORT, PEER_PORT, environ, self._hosts[node].before, on_start=self._begun)

    def _sections(self, member: Node) -> dict[str, dict[str, Any]]:
        host = self._hosts[member.node_id]
        sections = self.common_sections(
            member, api=f"{host.client}:{API_PORT}", peer=self._peer_address(member, host.name)
        )
        certs = self.folder / "api-certs"
        sections["api"].update(
            tls="on", tls_cert_file=str(certs / f"{host.name}.pem"), tls_key_file=str(certs / f"{host.name}.key")
        )
        return sections

    def _peer_address(self, member: Node, other: str) -> str:  # noqa: ARG002 - all find it at the same address
        return f"{self._hosts[other].peer}:{PEER_PORT}"

    # ---- asking
    def url(self, node: str) -> str:
        """See Target."""
        return f"https://{self._hosts[node].client}:{API_PORT}"

    @property
    def ca_file(self) -> Path | None:
        """See Target."""
        return self.folder / "api-certs" / "ca.pem"

    # ---- network
    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """See Target."""
        self._fabric.grudge(grudge)

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """See Target."""
        self._fabric.shape(source, sink, shape)

    def counts(self) -> dict[str, int]:
        """See Target."""
        return self._fabric.counts()


