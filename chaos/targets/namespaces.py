"""Hosts as network namespaces; what lies between them is fabrics.py's.

Each host has `peer0` towards the others, and `client0` towards whoever runs this; only the far ends of the latter stand
in the runner's own namespace, one veth a host with a link-local address pair of its own. Partitions are made between
the hosts, so clients reach every host all the time. Invariants
  E1  namespaces and the links into them stand in the ledger before they are made, and are removed one by one: closing
      connections that nobody answers keep a namespace, and what is in it, for minutes
  E2  no process of a node has mounts of its own (`nsenter`, not `ip netns exec`, which makes a mount namespace): else a
      disk that is mounted afresh would live on in somebody's copy
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.ledger import link_prefix

from .base import PREFIX, TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.ledger import Ledger

PEER_NETWORK: Final = "10.231.0"
COMMAND_S: Final = 30.0
TRIES: Final = 50
HOSTS_MAX: Final = 60  # /30 networks in one /24
_serial = itertools.count(1)


def new_number() -> int:
    """No link or namespace of this process has it."""
    return next(_serial)


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace; `number` from 1 on."""

    name: str
    number: int
    namespace: str
    link: str  # of the runner's end of client0
    runner: str  # the address at that end
    client: str  # where clients reach the host

    @property
    def peer(self) -> str:
        """Where the other hosts reach it."""
        return f"{PEER_NETWORK}.{self.number}"

    @property
    def path(self) -> str:
        """The namespace as a file."""
        return f"/run/netns/{self.namespace}"

    @property
    def before(self) -> list[str]:
        """Put before a command, it runs there (E2)."""
        return ["nsenter", f"--net={self.path}"]


def planned(names: Sequence[str]) -> list[Host]:
    """Names and addresses that nobody uses here. Raises TargetError."""
    if len(names) > HOSTS_MAX:
        raise TargetError(f"at most {HOSTS_MAX} nodes")
    block = free_block(run("ip", "-4", "route", "show", "table", "all"))
    hosts = []
    for number, name in enumerate(names, 1):
        serial = new_number()
        hosts.append(Host(
            name, number, f"{PREFIX}{os.getpid()}-{serial}-{name}", f"{link_prefix(os.getpid())}{serial}",
            f"{block}.{4 * number + 1}", f"{block}.{4 * number + 2}",
        ))  # fmt: skip
    return hosts


def free_block(routes: str) -> str:
    """The first three numbers of a link-local network that no route names. Raises TargetError."""
    for _ in range(TRIES):
        block = f"169.254.{random.randrange(1, 169)}"
        if f"{block}." not in routes:
            return block
    raise TargetError("no link-local addresses are free on this machine")


def run(*command: str, text: str = "") -> str:
    """Its output. Raises TargetError."""
    try:
        done = subprocess.run(  # noqa: S603 - ip, nft and nsenter
            command, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetError(f"{command[0]}: {type(error).__name__}") from error
    if done.returncode:
        raise TargetError(f"{' '.join(command[:4])}: {done.stderr.strip()[:300]}")
    return done.stdout


class Hosts:
    """Namespaces with what both fabrics need."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}
        self._made: list[str] = []

    def _add(self, namespace: str, ledger: Ledger) -> None:
        ledger.note("namespaces", namespace)
        self._made.append(namespace)
        run("ip", "netns", "add", namespace)

    def _hosts_up(self, hosts: Sequence[Host], ledger: Ledger) -> None:
        self._hosts = {host.name: host for host in hosts}
        for host in hosts:
            self._add(host.namespace, ledger)
            ledger.note("links", host.link)
            run("ip", "link", "add", "name", host.link, "type", "veth", "peer", "name", "client0", "netns",
                host.namespace)  # fmt: skip
            run("ip", "-batch", "-", text=(
                f"link set {host.link} addrgenmode none\naddr add {host.runner}/30 dev {host.link}\n"
                f"link set {host.link} up\n"
            ))  # fmt: skip
            run("ip", "-n", host.namespace, "-batch", "-", text=(
                f"link set lo up\naddr add {host.client}/30 dev client0\nlink set client0 up\n"
            ))  # fmt: skip

    def _hosts_down(self) -> None:
        links = [host.link for host in self._hosts.values() if Path("/sys/class/net", host.link).exists()]
        spaces = [namespace for namespace in self._made if Path("/run/netns", namespace).exists()]
        failed: list[str] = []
        for command in [*(["link", "del", link] for link in links), *(["netns", "del", one] for one in spaces)]:
            try:
                run("ip", *command)
            except TargetError as error:
                failed.append(str(error))
        self._made.clear()
        if failed:
            raise TargetError("; ".join(failed))
