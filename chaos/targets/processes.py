"""What clusters of processes on this machine have in common; where they listen and what lies between them is theirs.

Each node has a folder nodes/<id> with its configuration, log, audit files and data; with `disks` the data lies on an
ext4 of its own that can lose power, fill up and stand still (targets/disks.py). Invariant: what is made outside the
folder stands in the ledger before it is made, so that `chaos env clean` finds it whatever happens.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import Admin
from chaos.env import disks as why_no_disks
from chaos.ledger import Ledger

from . import keys
from .base import AUDIT, CONFIG, DISK, FAILPOINTS, FILES, MOUNT, POWER, PROCESS, SEAL, SINK, TargetError, TargetSettings
from .configuring import sections_of, text_of
from .disks import NodeDisk
from .node import Node, is_stopped
from .sinks import SECTION, SinkPlace, why_no_sink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .base import Shape

DISK_SEGMENT_BYTES: Final = 128 * 1024  # two stand ready: some dozens of writes
WHY_NO_DISKS: Final = "the scenario does not ask for `disks`: each node's data on a disk of its own, as root"


class ProcessTarget(ABC):
    """See Target. A kind says where nodes listen, how each is started, and what the network is."""

    name: ClassVar[str] = ""
    profile: ClassVar[str] = "dev"
    can: ClassVar[frozenset[str]] = frozenset({PROCESS, FILES, CONFIG, SEAL, AUDIT})
    cannot: ClassVar[Mapping[str, str]] = {}  # ability: why
    sinks: ClassVar[Sequence[str]] = ("sqlite",)  # kinds of backup that the nodes can reach

    def __init__(self, folder: Path, settings: TargetSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.nodes = [f"n{number + 1}" for number in range(settings.nodes)]
        self.token = ""
        self.shares: list[str] = []
        self.mount = MOUNT
        self.made: list[str] = []  # they go with the cluster
        self.members: dict[str, Node] = {}
        self.ledger = Ledger()
        self.sink: SinkPlace | None = None
        self._disks: dict[str, NodeDisk] = {}

    # ---- of each kind
    @abstractmethod
    def _network_up(self) -> None:
        """Addresses are known and can be listened on; nothing is cut. Before any node is made."""

    @abstractmethod
    def _network_down(self) -> None:
        """Nothing of it is left; may be called twice, and without `_network_up`."""

    @abstractmethod
    def _node(self, node: str, folder: Path) -> Node:
        """The node, not started."""

    @abstractmethod
    def _sections(self, member: Node) -> dict[str, dict[str, Any]]:
        """Its configuration but for the scenario's part and the members."""

    @abstractmethod
    def _peer_address(self, member: Node, other: str) -> str:
        """Where that member finds the other one, or itself."""

    @abstractmethod
    def url(self, node: str) -> str:
        """See Target."""

    @abstractmethod
    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """See Target."""

    @abstractmethod
    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """See Target."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """See Target."""

    def set_clock(self, node: str, offset_s: float) -> None:
        """See Target."""
        raise TargetError(f"the clock of {node} cannot be set to {offset_s:g} s: {self.why_not('clock')}")

    # ---- abilities
    @property
    def abilities(self) -> frozenset[str]:
        """See Target."""
        more = {POWER, DISK} if self.settings.disks and not why_no_disks() else set()
        return self.can | more | {one for one in (SINK, FAILPOINTS) if not self.why_not(one)}

    def why_not(self, ability: str) -> str:
        """See Target."""
        if ability in {POWER, DISK}:
            return why_no_disks() or WHY_NO_DISKS
        if ability == FAILPOINTS:
            return "" if self.profile == "dev" else "nodes of profile production refuse to have them"
        if ability == SINK:
            kind = self.settings.backup
            return why_no_sink(kind) or ("" if kind in self.sinks else f"nodes of this target reach no {kind}")
        return self.cannot.get(ability, "this target cannot")

    # ---- life
    def start(self) -> None:
        """See Target."""
        if self.settings.disks and why_no_disks():
            raise TargetError(f"nodes cannot have disks of their own: {why_no_disks()}")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._network_up()
        self._sink_up()
        for node in self.nodes:
            self.members[node] = self._member(node)
        for member in self.members.values():
            self.configure(member)
        for member in self.members.values():
            member.start()
        urls = {node: self.url(node) for node in self.nodes}
        secret = self.data_dir(self.nodes[0]) / keys.INIT_SECRET
        self.shares, self.token = keys.initialise(urls, self.ca_file, secret=secret)
        for node in self.nodes:
            keys.unseal(self.url(node), node, self.shares, self.ca_file)
        keys.furnish(Admin(urls, self.token, self.ca_file), self.nodes, self.settings.audit_devices)

    def _sink_up(self) -> None:
        kind = self.settings.backup
        if kind and kind not in self.sinks:
            raise TargetError(f"a backup of kind {kind} is not possible here: {self.why_not(SINK)}")
        if kind:
            self.sink = SinkPlace(kind, self.folder, self.nodes, self.ledger)
            self.sink.start()

    def _member(self, node: str) -> Node:
        folder = self.folder / "nodes" / node
        folder.mkdir(mode=0o700, parents=True)
        (folder / "audit").mkdir(mode=0o700)
        if self.settings.disks:
            self._disks[node] = NodeDisk.made(self.folder / "disks", node, self.ledger)
            (folder / "data").symlink_to(self._disks[node].data)
        return self._node(node, folder)

    def _begun(self, pid: int) -> None:
        self.ledger.note("processes", pid)

    def configure(self, member: Node) -> None:
        """The node's file stands."""
        members = [
            {"id": other, "peer": self._peer_address(member, other), "api": self.url(other)} for other in self.nodes
        ]
        sections, sinks = self._sections(member), []
        if self.sink is not None:
            sections["backup"], sinks = dict(SECTION), [self.sink.table(member.node_id)]
        text = text_of(sections, self.settings.sections, members, sinks, profile=self.profile)
        (member.folder / "node.toml").write_text(text)

    def common_sections(self, member: Node, *, api: str, peer: str) -> dict[str, dict[str, Any]]:
        """See sections_of. On a disk of its own a node's segments are so small that it soon asks for space."""
        sections = sections_of(
            node_id=member.node_id, data=member.data, api=api, advertise=self.url(member.node_id), peer=peer,
            certs=self.folder / "certs", audit=member.folder / "audit",
        )  # fmt: skip
        if self.settings.disks:
            sections["journal"]["segment_bytes"] = DISK_SEGMENT_BYTES
        return sections

    def stop(self) -> dict[str, int | None]:
        """See Target."""
        for disk in self._disks.values():
            disk.thaw()  # or nothing of the node could end
        codes: dict[str, int | None] = {}
        for node, member in self.members.items():
            codes[node] = member.end(signal.SIGTERM) if member.alive else member.ended_by_itself
        return codes

    def discard(self) -> None:
        """See Target. Also what a `stop` that failed has left running; the ledger stays unless everything is gone."""
        for member in self.members.values():
            with contextlib.suppress(TargetError):
                member.end(signal.SIGKILL)
        if self.sink is not None:
            self.sink.discard()
        for disk in self._disks.values():
            disk.remove()
        for data in map(self.data_dir, self.nodes):
            if data.is_symlink():
                data.unlink()
            shutil.rmtree(data, ignore_errors=True)
        for name in ("certs", "api-certs", "disks"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._network_down()
        self.ledger.close()

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
        keys.unseal(self.url(node), node, self.shares, self.ca_file, alive=lambda: self.members[node].alive)

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
        return self.members[node].pids() if node in self.members else []

    def stopped(self, node: str) -> int:
        """See Target."""
        return sum(map(is_stopped, self.pids(node)))

    def environ(self, node: str) -> dict[str, str]:
        """See Target."""
        return self.members[node].environ

    # ---- files and disks
    def data_dir(self, node: str) -> Path:
        """See Target."""
        return self.folder / "nodes" / node / "data"

    def disk(self, node: str) -> NodeDisk:
        """See Target."""
        if node not in self._disks:
            raise TargetError(f"{node} has no disk of its own: {self.why_not(DISK)}")
        return self._disks[node]
