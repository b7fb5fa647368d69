"""What lies between hosts that are namespaces: the kernel's bridge with nft, or a switch of ours.

Invariants
  W1  on the bridge a grudge is atomic for each host: one nft transaction replaces all that it does not hear; on the
      switch it is atomic for all of them
  W2  what is dropped is counted, by whoever drops it
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Final, Protocol

from chaos.net.tap import hardware_address

from .base import PACKETS, PARTITION, PREFIX, SHAPE, TargetError
from .child import Child
from .namespaces import COMMAND_S, Hosts, new_number, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from chaos.ledger import Ledger

    from .base import Shape
    from .namespaces import Host

_RULES: Final = """table inet chaos {
  set unheard { type ipv4_addr; }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "peer0" ip saddr @unheard counter drop
  }
}
"""


class Fabric(Protocol):
    """What lies between hosts."""

    abilities: frozenset[str]

    def up(self, hosts: Sequence[Host], ledger: Ledger) -> None:
        """Hosts exist and reach each other at `peer`; the runner reaches them at `client`."""
        ...

    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """See Target."""
        ...

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """See Target."""
        ...

    def counts(self) -> dict[str, int]:
        """See Target."""
        ...

    def down(self) -> None:
        """No namespace or link of it is left; nothing if there was none."""
        ...


class Bridge(Hosts):
    """The kernel's bridge in a namespace of its own; what a host does not hear its own nft drops, and counts."""

    abilities = frozenset({PARTITION})

    def up(self, hosts: Sequence[Host], ledger: Ledger) -> None:
        """See Fabric."""
        self._hosts_up(hosts, ledger)
        middle = f"{PREFIX}{os.getpid()}-{new_number()}-bridge"
        self._add(middle, ledger)
        ports = "".join(f"link set p{host.number} master br0\nlink set p{host.number} up\n" for host in hosts)
        for host in hosts:
            run("ip", "link", "add", "name", "peer0", "netns", host.namespace, "type", "veth",
                "peer", "name", f"p{host.number}", "netns", middle)  # fmt: skip
        run("ip", "-n", middle, "-batch", "-", text=f"link add br0 type bridge\nlink set br0 up\n{ports}")
        for host in hosts:
            run("ip", "-n", host.namespace, "-batch", "-", text=f"addr add {host.peer}/24 dev peer0\nlink set peer0 up")
            run(*host.before, "nft", "-f", "-", text=_RULES)

    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """See Target (W1). All hosts are told side by side, so that little lies between the first and the last."""
        told = []
        for host in self._hosts.values():
            text = unheard_rules([self._hosts[source].peer for source in grudge.get(host.name, ())])
            command = [*host.before, "nft", text]
            told.append((host, subprocess.Popen(command, stderr=subprocess.PIPE, text=True)))  # noqa: S603 - nft
        failed = []
        for host, process in told:
            _, said = process.communicate(timeout=COMMAND_S)
            if process.returncode:
                failed.append(f"{host.name}: {said.strip()[:200]}")
        if failed:
            raise TargetError(f"nft: {'; '.join(failed)}")

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """Not here."""
        raise TargetError(f"no {shape} from {source} to {sink}: ask for `packets`")

    def counts(self) -> dict[str, int]:
        """Packets that were dropped because their sender is not to be heard."""
        listed = [run(*host.before, "nft", "-j", "list", "table", "inet", "chaos") for host in self._hosts.values()]
        return {"dropped": sum(map(dropped, listed))}

    def down(self) -> None:
        """See Fabric."""
        self._hosts_down()


def unheard_rules(addresses: Sequence[str]) -> str:
    """One transaction: these and no others are not heard."""
    added = f"; add element inet chaos unheard {{ {', '.join(addresses)} }}" if addresses else ""
    return f"flush set inet chaos unheard{added}"


def dropped(listed: str) -> int:
    """Packets that the counters of `nft -j list table` name."""
    rules = [one["rule"] for one in json.loads(listed)["nftables"] if "rule" in one]
    return sum(part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part)


class TapSwitch(Hosts):
    """A process of ours carries every frame (chaos/net/tap.py): what happens to single packets is its to say."""

    abilities = frozenset({PARTITION, SHAPE, PACKETS})

    def __init__(self, log: Path, seed: int) -> None:
        super().__init__()
        self._switch = Child("chaos.net.tap", log)
        self._seed = seed

    def up(self, hosts: Sequence[Host], ledger: Ledger) -> None:
        """See Fabric."""
        self._hosts_up(hosts, ledger)
        self._switch.start()
        self._switch.ask("open", hosts=[host.path for host in hosts], device="peer0", seed=self._seed)
        for host in hosts:
            neighbours = "".join(
                f"neigh add {other.peer} lladdr {hardware_address(other.number)} dev peer0 nud permanent\n"
                for other in hosts
                if other is not host
            )
            run("ip", "-n", host.namespace, "-batch", "-", text=(
                f"link set peer0 address {hardware_address(host.number)}\naddr add {host.peer}/24 dev peer0\n"
                f"link set peer0 up\n{neighbours}"
            ))  # fmt: skip

    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """See Target (W1)."""
        number = {host.name: host.number for host in self._hosts.values()}
        pairs = [[number[source], number[sink]] for sink, sources in grudge.items() for source in sources]
        self._switch.ask("cut", pairs=pairs)

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """See Target."""
        how = {name: getattr(shape, name) for name in shape.__dataclass_fields__}
        self._switch.ask("shape", source=self._hosts[source].number, sink=self._hosts[sink].number, **how)

    def counts(self) -> dict[str, int]:
        """Frames, and what was done to them."""
        return {name: int(count) for name, count in self._switch.ask("counts").items()}

    def down(self) -> None:
        """See Fabric."""
        self._switch.stop()
        self._hosts_down()
