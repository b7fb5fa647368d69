"""The repository's docker-compose.yml as a cluster: three nodes and a PostgreSQL, as a project of the run's own.

The ports of the compose file, 8200, 8210 and 8220 on loopback, must be free. Nodes open themselves (a static seal); the
recovery keys open one that was sealed. Partitions are nft rules inside the containers' network namespaces, and need
root on the daemon's machine. Data lies in volumes, which only root there could read: files are out of reach.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from chaos import env
from chaos.api import Admin
from chaos.ledger import Ledger

from . import docker, keys
from .base import MOUNT, PARTITION, PREFIX, PROCESS, SEAL, Shape, TargetError, TargetSettings
from .docker import END_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .disks import NodeDisk
    from .sinks import SinkPlace

ROOT: Final = Path(__file__).parents[2]
FILE: Final = "docker-compose.yml"
PORTS: Final = {"n1": 8200, "n2": 8210, "n3": 8220}  # as the compose file publishes them
TABLE: Final = "inet strongroom_chaos"
UP_S: Final = 900.0  # the first time, the image is built
INIT_S: Final = 120.0
SIGNALLED: Final = 128  # exit codes above it are signals
WHY_NOT: Final = {
    "shape": "containers have no links that could be long or narrow; the netns target can",
    "packets": "containers have no links that could lose packets; the netns target can",
    "clock": "nodes are of profile production, whose clocks nobody moves; the local target can",
    "failpoints": "nodes are of profile production, which refuses them; the local target can",
    "files": "data lies in volumes of the docker daemon",
    "config": "certificates lie in volumes of the docker daemon",
    "audit": "the compose file has no audit device",
    "sink": "nobody may break the compose file's database yet",
}


class ComposeTarget:
    """See Target."""

    name: ClassVar[str] = "compose"

    def __init__(self, folder: Path, settings: TargetSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.nodes = list(PORTS)
        self.token = ""
        self.shares: list[str] = []
        self.mount = MOUNT
        self.made: list[str] = []  # they go with the cluster
        self.sink: SinkPlace | None = None
        self.ledger = Ledger()
        self.project = f"{PREFIX}{os.getpid()}"
        self._containers: dict[str, str] = {}
        self._ended: set[str] = set()  # by the run, and not started again
        self._grudge: dict[str, list[str]] = {}

    # ---- abilities
    @property
    def abilities(self) -> frozenset[str]:
        """See Target; none without a daemon."""
        if env.containers():
            return frozenset()
        return frozenset({PROCESS, SEAL}) | (frozenset() if self._why_no_partition() else {PARTITION})

    def why_not(self, ability: str) -> str:
        """See Target."""
        why = env.containers()
        if not why and ability == PARTITION:
            why = self._why_no_partition()
        return why or WHY_NOT.get(ability, "this target cannot")

    @staticmethod
    def _why_no_partition() -> str:
        return env.root() or env.command("nsenter") or env.command("nft")

    # ---- life
    def start(self) -> None:
        """See Target."""
        why = env.containers()
        if why:
            raise TargetError(f"no containers: {why}")
        if not (ROOT / FILE).is_file():
            raise TargetError(f"{FILE} is not here: this target needs a checkout of the repository")
        if self.settings.nodes != len(PORTS):
            raise TargetError(f"{FILE} has {len(PORTS)} nodes, and the scenario wants {self.settings.nodes}")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ledger.note("projects", self.project)
        self._compose("up", "-d", timeout_s=UP_S)
        self._containers = {node: docker.container(self.project, node) for node in self.nodes}
        init = docker.container(self.project, "init")
        what = "the cluster is initialised"
        keys.wait_until(lambda: docker.state(init)["Status"] == "exited", what, INIT_S, docker.LOOK_S)
        said = json.loads(self._operators("init.json"))
        self.token = said["root_token"]
        self.shares = list(said.get("recovery_keys_base64") or said.get("keys_base64") or ())
        (self.folder / "api-ca.pem").write_text(self._operators("api-ca.pem"))
        urls = {node: self.url(node) for node in self.nodes}
        keys.furnish(Admin(urls, self.token, self.ca_file), self.nodes, 0)

    def _compose(self, *words: str, timeout_s: float = docker.COMMAND_S) -> str:
        said = [*docker.compose_words(), "-p", self.project, "-f", str(ROOT / FILE), *words]
        return docker.command(said, timeout_s=timeout_s)

    def _operators(self, name: str) -> str:
        """A file of the operator's volume, through a pipe: what is in it may be a key."""
        return self._compose("run", "--rm", "--no-deps", "-T", "--entrypoint", "cat", "init", f"/operator/{name}")

    def stop(self) -> dict[str, int | None]:
        """See Target; logs of the containers are kept as node.log."""
        codes: dict[str, int | None] = {}
        for node, one in self._containers.items():
            self.resume(node)
            said = docker.state(one)
            codes[node] = self.terminate(node) if said["Running"] else self._code_of_its_own(node, said)
            own = self.folder / "nodes" / node
            own.mkdir(parents=True, exist_ok=True)
            (own / "node.log").write_text(docker.docker("logs", one) or "\n")
        return codes

    def discard(self) -> None:
        """See Target."""
        if not env.containers():
            docker.remove_project(self.project)
        self.ledger.close()

    # ---- asking
    def url(self, node: str) -> str:
        """See Target."""
        return f"https://127.0.0.1:{PORTS[node]}"

    @property
    def ca_file(self) -> Path | None:
        """See Target."""
        return self.folder / "api-ca.pem"

    # ---- processes
    def kill(self, node: str) -> None:
        """See Target."""
        if docker.state(self._containers[node])["Running"]:
            docker.docker("kill", self._containers[node])
            self._ended.add(node)

    def terminate(self, node: str) -> int:
        """See Target."""
        self.resume(node)
        if docker.state(self._containers[node])["Running"]:
            docker.docker("stop", "-t", str(END_S), self._containers[node])
            self._ended.add(node)
        return exit_code(docker.state(self._containers[node]))

    def _code_of_its_own(self, node: str, said: dict[str, Any]) -> int | None:
        """Of a container that does not run; None if the run has ended it, or it never ran."""
        return None if node in self._ended or said["Status"] == "created" else exit_code(said)

    def revive(self, node: str) -> None:
        """See Target; what it does not hear it goes on not to hear, and so do those that do not hear it."""
        self.resume(node)
        if not docker.state(self._containers[node])["Running"]:
            docker.docker("start", self._containers[node])
            self._ended.discard(node)
            if self._grudge:
                self._cut(self.nodes)  # all: its address may be a new one
        self._opened(node)

    def _opened(self, node: str) -> None:
        """It has its keys. That the daemon started it says little: it may have ended since, and again and again."""

        def alive() -> bool:
            said = docker.state(self._containers[node])
            return bool(said["Running"]) and not said.get("Restarting")

        keys.unseal(self.url(node), node, self.shares, self.ca_file, alive=alive)

    def pause(self, node: str) -> None:
        """See Target, by the freezer."""
        if not docker.state(self._containers[node])["Paused"]:
            docker.docker("pause", self._containers[node])

    def resume(self, node: str) -> None:
        """See Target."""
        if docker.state(self._containers[node])["Paused"]:
            docker.docker("unpause", self._containers[node])

    def signal(self, node: str, number: int) -> None:
        """See Target."""
        docker.docker("kill", "-s", str(number), self._containers[node])

    def pids(self, node: str) -> list[int]:
        """See Target; numbers of the daemon's machine. One that waits to be started again has none."""
        state = docker.state(self._containers[node])
        return [int(state["Pid"])] if state["Running"] and state["Pid"] and not state.get("Restarting") else []

    def environ(self, node: str) -> dict[str, str]:
        """See Target."""
        self._cannot(f"change what {node} is given", "failpoints")

    def stopped(self, node: str) -> int:
        """See Target."""
        return int(docker.state(self._containers[node])["Paused"])

    # ---- network
    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """See Target."""
        self._grudge = {node: list(others) for node, others in grudge.items()}
        self._cut(self.nodes)

    def _cut(self, nodes: Sequence[str]) -> None:
        """The daemon is asked once, for it is slow; the rules follow within milliseconds of each other."""
        said = dict(zip(self.nodes, docker.inspected(*map(self._containers.__getitem__, self.nodes)), strict=True))
        for node in nodes:
            if said[node]["State"]["Running"] and said[node]["State"]["Pid"]:
                heard = [docker.networks_of(said[other]).values() for other in self._grudge.get(node, ())]
                text = rules([address for addresses in heard for address in addresses if address])
                docker.command([*_inside(said[node]["State"]["Pid"]), "nft", "-f", "-"], stdin=text)

    def counts(self) -> dict[str, int]:
        """See Target: packets that were not heard."""
        dropped = 0
        for node in self.nodes:
            pids = self.pids(node) if self._grudge.get(node) else []
            if pids:
                with contextlib.suppress(TargetError):
                    words = [*_inside(pids[0]), "nft", "-j", "list", "table", *TABLE.split()]
                    dropped += dropped_packets(json.loads(docker.command(words)))
        return {"dropped_packets": dropped}

    # ---- what cannot be had
    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """See Target."""
        self._cannot(f"shape {source} to {sink} as {shape}", "shape")

    def data_dir(self, node: str) -> Path:
        """See Target."""
        self._cannot(f"see the data of {node}", "files")

    def disk(self, node: str) -> NodeDisk:
        """See Target."""
        self._cannot(f"break the disk of {node}", "disk")

    def set_clock(self, node: str, offset_s: float) -> None:
        """See Target."""
        self._cannot(f"set the clock of {node} by {offset_s:g} s", "clock")

    def _cannot(self, what: str, ability: str) -> NoReturn:
        raise TargetError(f"cannot {what}: {self.why_not(ability)}")


def exit_code(said: dict[str, Any]) -> int:
    """As processes have it: a signal's number below zero. Pure."""
    code = int(said["ExitCode"])
    return SIGNALLED - code if code > SIGNALLED else code


def _inside(pid: int) -> list[str]:
    return ["nsenter", "-t", str(pid), "-n"]


def rules(addresses: Sequence[str]) -> str:
    """For nft: what comes from these addresses is dropped; none is all that was there before. Pure."""
    text = f"table {TABLE} {{}}\ndelete table {TABLE}\n"  # the first line, so that there is one to delete
    if addresses:
        chain = "type filter hook input priority 0; policy accept;"
        drop = f"ip saddr {{ {', '.join(sorted(addresses))} }} counter drop"
        text += f"table {TABLE} {{\n chain input {{\n  {chain}\n  {drop}\n }}\n}}\n"
    return text


def dropped_packets(said: dict[str, Any]) -> int:
    """Of all counters in an answer of `nft -j`. Pure."""
    parts = [part for one in said.get("nftables", ()) for part in one.get("rule", {}).get("expr", ())]
    return sum(int(part["counter"]["packets"]) for part in parts if "counter" in part)
