"""A target that is not there: remembers what was done to it. For nemeses, schedules and the runner's parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from chaos.targets.base import CLOCK, MOUNT, PARTITION, PROCESS, SEAL, SHAPE, Shape, TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FakeTarget:
    """See Target; every call is in `calls`."""

    name: ClassVar[str] = "fake"

    def __init__(self, nodes: int = 3, abilities: frozenset[str] | None = None) -> None:
        self.folder = Path()
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self.token = "root"
        self.shares = ["share"]
        self.mount = MOUNT
        self.made: list[str] = []
        self.paused: set[str] = set()
        self.calls: list[tuple[Any, ...]] = []
        self.down: set[str] = set()
        self.cut: dict[str, list[str]] = {}
        self.clocks: dict[str, float] = {}
        self.fails: set[str] = set()
        self._abilities = frozenset({PROCESS, PARTITION, SHAPE, CLOCK, SEAL}) if abilities is None else abilities

    @property
    def abilities(self) -> frozenset[str]:
        return self._abilities

    def why_not(self, ability: str) -> str:
        return f"no {ability} here"

    def _said(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if name in self.fails:
            raise TargetError(f"{name} failed")

    def start(self) -> None:
        self._said("start")

    def stop(self) -> dict[str, int | None]:
        self._said("stop")
        return dict.fromkeys(self.nodes, 0)

    def discard(self) -> None:
        self._said("discard")

    def url(self, node: str) -> str:
        return f"http://{node}.invalid"

    @property
    def ca_file(self) -> Path | None:
        return None

    def kill(self, node: str) -> None:
        self._said("kill", node)
        self.down.add(node)

    def terminate(self, node: str) -> int:
        self._said("terminate", node)
        self.down.add(node)
        return 0

    def revive(self, node: str) -> None:
        self._said("revive", node)
        self.down.discard(node)

    def pause(self, node: str) -> None:
        self._said("pause", node)
        self.paused.add(node)

    def resume(self, node: str) -> None:
        self._said("resume", node)
        self.paused.discard(node)

    def signal(self, node: str, number: int) -> None:
        self._said("signal", node, number)

    def pids(self, node: str) -> list[int]:
        return [] if node in self.down else [1]

    def stopped(self, node: str) -> int:
        return int(node in self.paused and node not in self.down)

    def grudge(self, grudge: Mapping[str, Sequence[str]]) -> None:
        self._said("grudge", {node: list(others) for node, others in grudge.items()})
        self.cut = {node: list(others) for node, others in grudge.items()}

    def shape(self, source: str, sink: str, shape: Shape) -> None:
        self._said("shape", source, sink, shape)

    def counts(self) -> dict[str, int]:
        return {"carried_bytes": len(self.calls)}

    def data_dir(self, node: str) -> Path:
        return self.folder / node

    def set_clock(self, node: str, offset_s: float) -> None:
        self._said("set_clock", node, offset_s)
        self.clocks[node] = offset_s
