"""What a target is: a cluster that is started, asked and broken. The runner and nemeses know nothing else of it.

All methods block; the runner calls them in a thread. A target says what it can do (`abilities`); a nemesis that needs
more is reported as skipped, with the reason. Everything a target makes carries PREFIX and the id of its process in its
name, and is gone after `stop`, at the exit of the process, and by `chaos env clean`.

Invariants
  T1  processes are ended by their pid alone; nothing outside the target's own folder and names is touched
  T2  every fault has its opposite, and the opposite may be called twice, or without the fault
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .disks import NodeDisk
    from .sinks import SinkPlace

PREFIX: Final = "strongroom-chaos-"

# Abilities: what `Target.abilities` may hold and `Nemesis.needs` may ask for.
PROCESS: Final = "process"  # kill, pause, resume, start, signal
PARTITION: Final = "partition"  # grudge: who does not hear whom
SHAPE: Final = "shape"  # delay and bandwidth of a direction
PACKETS: Final = "packets"  # loss, duplication, reordering, corruption of single packets
CLOCK: Final = "clock"  # the wall clock of a node is moved
POWER: Final = "power"  # what was not synced is lost
DISK: Final = "disk"  # a disk that is full, slow, or fails
FILES: Final = "files"  # the data folder of a stopped node can be changed
CONFIG: Final = "config"  # files of the configuration and certificates can be changed, SIGHUP
SEAL: Final = "seal"  # the shares are known
SINK: Final = "sink"  # a backup server that can be broken
AUDIT: Final = "audit"  # audit devices whose files or readers are ours
FAILPOINTS: Final = "failpoints"  # STRONGROOM_DEV_FAILPOINTS reaches the processes
HOOK: Final = "hook"  # a command of the cluster's owner breaks and heals it; hook:<fault> for each that it can

MOUNT: Final = "secret"  # where workloads find KV v2, unless a target says otherwise


class TargetError(Exception):
    """The target could not be brought to where a run needs it: not a violation, exit code 3."""


@dataclass(frozen=True)
class TargetSettings:
    """What a scenario may say of the cluster."""

    nodes: int = 3
    seed: int = 1
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of every node's configuration
    environ: Mapping[str, str] = field(default_factory=dict)
    audit_devices: int = 1
    backup: str = ""  # "", "sqlite", "postgres", "s3"
    disks: bool = False  # each node's data on a disk of its own that can be full or lose power
    packets: bool = False  # netns: a switch that loses, doubles and delays packets, instead of a bridge and nft
    certificate_ttl_s: float = 0.0  # of node certificates; 0: they last


@dataclass(frozen=True)
class Shape:
    """Of one direction between two nodes."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0  # 0: no limit
    loss: float = 0.0  # shares of packets, 0 to 1; need PACKETS
    duplicates: float = 0.0
    reordered: float = 0.0
    corrupted: float = 0.0


class Target(Protocol):
    """One cluster. Raises TargetError where it cannot do what its abilities promise."""

    name: ClassVar[str]
    folder: Path
    nodes: list[str]
    token: str  # of an administrator
    shares: list[str]  # "" if nobody knows them
    sink: SinkPlace | None  # where the backup goes, once it is started
    mount: str  # where KV v2 is
    made: list[str]  # paths that workloads made; a cluster that lives on is rid of them in `discard`

    @property
    def abilities(self) -> frozenset[str]:
        """What can be done to it, here and now."""
        ...

    def why_not(self, ability: str) -> str:
        """The reason why an ability is missing, for reports."""
        ...

    # ---- life
    def start(self) -> None:
        """All nodes serve; KV v2 is at `mount`, audit devices are on."""
        ...

    def stop(self) -> dict[str, int | None]:
        """No process of it runs; its files are there. Each node's exit code after a SIGTERM, or of a process that had
        ended by itself; None if somebody had ended it.
        """
        ...

    def discard(self) -> None:
        """Data folders, disks and namespaces are gone; logs and audit files stay in nodes/<id>/ of the folder."""
        ...

    # ---- asking
    def url(self, node: str) -> str:
        """Where clients of that node go."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """Who signs what clients see; None for plain HTTP."""
        ...

    # ---- processes (PROCESS)
    def kill(self, node: str) -> None:
        """SIGKILL, and it has ended; nothing if it had."""
        ...

    def terminate(self, node: str) -> int:
        """SIGTERM, and it has ended; its exit code."""
        ...

    def revive(self, node: str) -> None:
        """It runs and has its keys, unless it does already; it may not serve yet. A paused one goes on."""
        ...

    def pause(self, node: str) -> None:
        """SIGSTOP to every process of the node."""
        ...

    def resume(self, node: str) -> None:
        """SIGCONT."""
        ...

    def signal(self, node: str, number: int) -> None:
        """That signal to the node's main process."""
        ...

    def pids(self, node: str) -> list[int]:
        """The node's processes, the main one first; [] if it does not run."""
        ...

    def environ(self, node: str) -> dict[str, str]:
        """What its processes are given; a change holds from the next start on (FAILPOINTS)."""
        ...

    def stopped(self, node: str) -> int:
        """How many of the node's processes stand still, as the system says."""
        ...

    # ---- network (PARTITION, SHAPE, PACKETS)
    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        """{node: those it does not hear}: replaces the one before; {} is healed. Atomic for each node."""
        ...

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        """That direction is so; Shape() is as it was."""
        ...

    def counts(self) -> dict[str, int]:
        """What the network did: dropped or held back, for the rule that a fault must have an effect."""
        ...

    # ---- files, disks and clock (FILES, POWER, DISK, CLOCK)
    def data_dir(self, node: str) -> Path:
        """The node's data folder."""
        ...

    def disk(self, node: str) -> NodeDisk:
        """The disk that holds the node's data and nothing else (POWER, DISK)."""
        ...

    def set_clock(self, node: str, offset_s: float) -> None:
        """The wall clock of that node is so far from the machine's."""
        ...
