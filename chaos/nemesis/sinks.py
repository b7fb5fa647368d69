"""A backup that breaks: its server ends, hangs, resets connections, or cannot be reached, by the leader or by anybody.

Clients must notice none of it: a sink that is behind holds nothing up. What may break: a batch that is stored twice or
not at all, an old leader that writes over a new one's batches, a store whose outcome nobody knows.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.targets.base import PROCESS, SINK, Shape, TargetError
from chaos.targets.keys import wait_until
from chaos.targets.node import is_stopped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.targets.sinks import SinkPlace

    from .base import Scene

STOP_S: Final = 2.0
USED_S: Final = 12.0
RESET_S: Final = (0.02, 0.3)  # between two resets
LONG_S: Final = 0.01  # of the way while it is reset, so that there is something under way
SLOW_S: Final = (0.1, 0.5)
SLOW_BYTES_PER_S: Final = (20_000.0, 100_000.0)
NARROW: Final = Shape(bytes_per_s=30_000.0)  # a batch is under way for longer than it takes to cut the way


def place(scene: Scene) -> SinkPlace:
    """Where the backup goes. Raises TargetError."""
    if scene.target.sink is None:
        raise TargetError("the cluster has no backup")
    return scene.target.sink


def used(sink: SinkPlace, count: str, before: Mapping[str, int]) -> bool:
    """Whether that count has grown; waited for: whoever found the sink broken before leaves it alone for a while."""
    with contextlib.suppress(TargetError):
        wait_until(lambda: sink.counts()[count] > before[count], "somebody goes to the sink", USED_S)
    return sink.counts()[count] > before[count]


class SinkKill:
    """SIGKILL to every process of the server; it is started again on what its disk holds."""

    name: ClassVar[str] = "sink-kill"
    about: ClassVar[str] = "kills the backup's server, and starts it again"
    needs: ClassVar[frozenset[str]] = frozenset({SINK})
    write_gap_s: ClassVar[float] = 1.0
    colour: ClassVar[str] = "#17becf"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002 - nobody is a victim
        """See Nemesis."""
        killed = place(scene).kill()
        return {"took_effect": killed > 0 and not place(scene).pids(), "killed": killed}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        place(scene).restart()
        return {}


class SinkPause:
    """The server answers nothing, keeps every connection, and goes on where it stood."""

    name: ClassVar[str] = "sink-pause"
    about: ClassVar[str] = "stops the backup's server with SIGSTOP, and lets it go on"
    needs: ClassVar[frozenset[str]] = frozenset({SINK})
    write_gap_s: ClassVar[float] = 1.0
    colour: ClassVar[str] = "#9edae5"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002 - nobody is a victim
        """See Nemesis."""
        paused = place(scene).pause()
        with contextlib.suppress(TargetError):  # the kernel stops each thread of it in its own time
            wait_until(lambda: all(map(is_stopped, paused)), "the server stands still", STOP_S)
        stopped = sum(map(is_stopped, paused))
        return {"took_effect": stopped > 0, "stopped": stopped}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        place(scene).resume()
        return {}


class SinkReset:
    """Every node's connections to the server are reset again and again, with bytes under way."""

    name: ClassVar[str] = "sink-reset"
    about: ClassVar[str] = "resets connections to the backup's server in the middle of batches"
    needs: ClassVar[frozenset[str]] = frozenset({SINK})
    write_gap_s: ClassVar[float] = 1.0
    colour: ClassVar[str] = "#7fdbda"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002 - nobody is a victim
        """See Nemesis."""
        sink = place(scene)
        scene.notes.update(before=sink.counts(), stop=threading.Event())
        sink.shape(Shape(delay_s=LONG_S))
        thread = threading.Thread(target=self._turns, args=(scene, sink), name=self.name, daemon=True)
        scene.notes["thread"] = thread
        thread.start()
        return {"took_effect": used(sink, "resets", scene.notes["before"])}

    @staticmethod
    def _turns(scene: Scene, sink: SinkPlace) -> None:
        stop: threading.Event = scene.notes["stop"]
        while not stop.wait(scene.rng.uniform(*RESET_S)):
            for node in sink.nodes:
                sink.reset(node)

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis: it took effect if anything was lost on its way."""
        sink = place(scene)
        if "thread" in scene.notes:
            scene.notes["stop"].set()
            scene.notes["thread"].join()
        sink.shape(Shape())
        before, after = scene.notes.get("before"), sink.counts()
        if before is None:
            return {}
        resets, lost = (after[name] - before[name] for name in ("resets", "lost_bytes"))
        return {"took_effect": resets > 0, "resets": resets, "lost_bytes": lost}


class SinkCut:
    """The victims, usually the leader, are cut off from the server with half a batch under way, and stopped if the
    options say `stop`: another node leads, claims and stores; what the old leader had sent arrives after that.
    """

    name: ClassVar[str] = "sink-cut"
    about: ClassVar[str] = "cuts nodes off from the backup's server alone; with `stop` another node leads meanwhile"
    needs: ClassVar[frozenset[str]] = frozenset({SINK, PROCESS})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#1f9e9e"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        sink = place(scene)
        stops = bool(scene.notes.get("stop", scene.rng.random() < 0.5))
        scene.notes.update(nodes=list(nodes), stops=stops, before=sink.counts())
        sink.shape(NARROW)
        threading.Event().wait(scene.rng.uniform(*RESET_S))
        for node in nodes:
            sink.cut(node)
            if stops:
                scene.target.pause(node)
        sink.shape(Shape())
        cuts = sink.counts()["cuts"] - scene.notes["before"]["cuts"]
        return {"took_effect": cuts > 0, "cuts": cuts, "stopped": len(nodes) if stops else 0}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis: what was sent arrives first, then its sender goes on."""
        sink = place(scene)
        sink.shape(Shape())
        sink.heal()
        if scene.notes.get("stops"):
            for node in scene.notes.get("nodes", ()):
                scene.target.resume(node)
        return {}


class SinkSlow:
    """Each answer takes long, and few bytes pass."""

    name: ClassVar[str] = "sink-slow"
    about: ClassVar[str] = "makes the way to the backup's server long and narrow"
    needs: ClassVar[frozenset[str]] = frozenset({SINK})
    write_gap_s: ClassVar[float] = 1.0
    colour: ClassVar[str] = "#aec7e8"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG002 - nobody is a victim
        """See Nemesis."""
        made = Shape(delay_s=scene.rng.uniform(*SLOW_S), bytes_per_s=scene.rng.uniform(*SLOW_BYTES_PER_S))
        scene.notes["before"] = place(scene).counts()
        place(scene).shape(made)
        took = used(place(scene), "carried_bytes", scene.notes["before"])
        return {"took_effect": took, "delay_s": round(made.delay_s, 3), "bytes_per_s": round(made.bytes_per_s)}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis: it took effect if anything was carried so slowly."""
        place(scene).shape(Shape())
        before = scene.notes.get("before")
        if before is None:
            return {}
        carried = place(scene).counts()["carried_bytes"] - before["carried_bytes"]
        return {"took_effect": carried > 0, "carried_bytes": carried}
