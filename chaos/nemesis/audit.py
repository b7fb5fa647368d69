"""Audit devices that block, are full, or are rotated under load.

Nothing is answered without its record: with one device out of two a node goes on, with its only device it answers
nothing but health. Records are never taken back, so the checker `audit` has to find all of what was answered.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from chaos.api import Admin
from chaos.targets.base import AUDIT, CONFIG, PROCESS
from chaos.targets.keys import wait_until

from .collecting import Collector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from chaos.targets.base import Target

    from .base import Scene

ASK_S: Final = 4.0
LOOK_EVERY: Final = 10  # of these: a device that was blocked is opened anew, and blocks again
FEED_S: Final = 3.0  # each new connection of a device takes as much as one before
FEED_BYTES: Final = 1500  # of a path, and so of a line: a kernel keeps some 200 kB for a reader that does not read
ROTATE_S: Final = (0.05, 0.4)
OK: Final = 200


def admin_of(target: Target, *nodes: str) -> Admin:
    """Who asks these nodes, or any."""
    return Admin({node: target.url(node) for node in nodes or target.nodes}, target.token, target.ca_file)


def answers(target: Target, node: str) -> dict[str, Any]:
    """What the node says to a read that must be audited, and to a question for its health; 0: nothing."""
    said = {}
    for name, path in (("read", "sys/mounts"), ("health", "sys/health?standbyok=true&perfstandbyok=true")):
        try:
            said[name] = admin_of(target, node).ask("GET", path, timeout_s=ASK_S).status
        except OSError:
            said[name] = 0
    return said


def audit_files(target: Target, node: str) -> list[Path]:
    """What file devices of the node write to now."""
    return sorted((target.folder / "nodes" / node / "audit").glob("audit*.log"))


class AuditBlocked:
    """A second device, a socket whose reader stops reading the victims. `only` in the options: it is the only one, the
    file devices are off until the fault ends, and come back as new ones.
    """

    name: ClassVar[str] = "audit-blocked"
    about: ClassVar[str] = "blocks one audit device of nodes, with `only` their only one"
    needs: ClassVar[frozenset[str]] = frozenset({AUDIT, PROCESS})
    write_gap_s: ClassVar[float] = 3.0
    colour: ClassVar[str] = "#bcbd22"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        target, tag = scene.target, f"{scene.rng.getrandbits(32):08x}"

        def owner(pid: int) -> str:
            return next((node for node in target.nodes if pid in target.pids(node)), "unknown")

        collector = Collector(target.folder, f"audit-socket-{tag}.log", owner)
        scene.notes.update(collector=collector, tag=tag, nodes=list(nodes), off=[], seen=set())
        admin = admin_of(target)
        options = {"address": str(collector.path), "socket_type": "unix", "write_timeout": "1s"}
        admin.must("PUT", f"sys/audit/socket-{tag}", {"type": "socket", "options": options})
        wait_until(lambda: set(target.nodes) <= set(collector.lines), "every node sends its lines to the socket")
        if scene.notes.get("only"):
            for path in self._files(admin):
                scene.notes["off"].append(path)
                admin.must("DELETE", f"sys/audit/{path}")
        collector.deafen(nodes)
        fed = sum(self._feed(scene, node) for node in nodes)
        blocked = [node for node in nodes if node in scene.notes["seen"]]
        said = {node: answers(target, node) for node in nodes}
        silent = [node for node, one in said.items() if one["read"] != OK]
        took = bool(silent if scene.notes.get("only") else blocked)
        return {"took_effect": took, "blocked": len(blocked), "fed": fed, "answers": said}

    @staticmethod
    def _files(admin: Admin) -> list[str]:
        listed = admin.must("GET", "sys/audit").data
        return sorted(path.strip("/") for path, device in listed.items() if device["type"] == "file")

    def _feed(self, scene: Scene, node: str) -> int:
        """Lines are made until the device is blocked; how many requests it took."""
        admin, end_s = admin_of(scene.target, node), time.monotonic() + FEED_S
        count = 0
        while time.monotonic() < end_s:
            count += 1
            path = "secret/metadata/" + "x" * FEED_BYTES
            try:
                status = admin.ask("GET", path, timeout_s=ASK_S).status
            except OSError:
                return count
            if status >= 500 or (count % LOOK_EVERY == 0 and self._is_blocked(scene, node)):
                return count
        return count

    @staticmethod
    def _is_blocked(scene: Scene, node: str) -> bool:
        """Whether the node says so; with its only device blocked it says nothing any more."""
        try:
            reply = admin_of(scene.target, node).ask("GET", "strongroom/status", timeout_s=ASK_S)
        except OSError:
            return False
        path = f"socket-{scene.notes['tag']}/"
        found = any(one["path"] == path and (not one["ok"] or one["problem"]) for one in reply.data.get("audit", ()))
        scene.notes["seen"] |= {node} if found else set()
        return found

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        collector: Collector | None = scene.notes.get("collector")
        if collector is None:
            return {}
        collector.deafen(())
        admin, tag = admin_of(scene.target), scene.notes["tag"]
        off = scene.notes["off"]
        while off:
            name = f"file-{tag}-{len(off)}"
            options = {"file_path": f"audit-{tag}-{len(off)}.log"}
            wait_until(partial(self._is_on, admin, name, options), "a file device is on again")
            off.pop()
        wait_until(lambda: admin.ask("DELETE", f"sys/audit/socket-{tag}").status == 204, "the socket device is off")
        collector.close()
        return {"lines": sum(collector.lines.values())}

    @staticmethod
    def _is_on(admin: Admin, name: str, options: dict[str, str]) -> bool:
        reply = admin.ask("PUT", f"sys/audit/{name}", {"type": "file", "options": options})
        return reply.status == 204 or "already in use" in str(reply.body)


class AuditFull:
    """No audit file of the victims may grow: RLIMIT_FSIZE, which the kernel answers like a full disk. Its journal is
    another process and goes on. All devices in files are hit, so the node answers nothing but health; the leader's
    being hit means that nothing is written meanwhile.
    """

    name: ClassVar[str] = "audit-full"
    about: ClassVar[str] = "lets no file of nodes grow, so that no audit record can be written"
    needs: ClassVar[frozenset[str]] = frozenset({AUDIT, PROCESS})
    write_gap_s: ClassVar[float] = 30.0
    colour: ClassVar[str] = "#dbdb8d"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes["pids"] = []
        for node in nodes:
            size = min((path.stat().st_size for path in audit_files(scene.target, node)), default=0)
            for pid in scene.target.pids(node)[:1]:
                scene.notes["pids"].append(pid)
                _limit(pid, size)
        said = {node: answers(scene.target, node) for node in nodes}
        return {"took_effect": any(one["read"] != OK for one in said.values()), "answers": said}

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        for pid in scene.notes.get("pids", ()):
            with contextlib.suppress(ProcessLookupError):
                _limit(pid, resource.RLIM_INFINITY)
        return {}


def _limit(pid: int, size: int) -> None:
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


class AuditRotate:
    """Files are renamed and the node is sent SIGHUP, again and again, as a log rotation in a hurry."""

    name: ClassVar[str] = "audit-rotate"
    about: ClassVar[str] = "rotates audit files of nodes under load, several times a second"
    needs: ClassVar[frozenset[str]] = frozenset({AUDIT, CONFIG, PROCESS})
    write_gap_s: ClassVar[float] = 2.0
    colour: ClassVar[str] = "#8c8c2e"

    def inject(self, scene: Scene, nodes: Sequence[str]) -> dict[str, Any]:
        """See Nemesis."""
        scene.notes.update(stop=threading.Event(), turns=0)
        thread = threading.Thread(target=self._turns, args=(scene, list(nodes)), name=self.name, daemon=True)
        scene.notes["thread"] = thread
        thread.start()
        return {"took_effect": True}

    @staticmethod
    def _turns(scene: Scene, nodes: list[str]) -> None:
        stop: threading.Event = scene.notes["stop"]
        while not stop.wait(scene.rng.uniform(*ROTATE_S)):
            scene.notes["turns"] += 1
            for node in nodes:
                for path in audit_files(scene.target, node):
                    path.rename(path.with_name(f"{path.name}.{scene.rng.getrandbits(64):016x}"))
                scene.target.signal(node, signal.SIGHUP)

    def heal(self, scene: Scene) -> dict[str, Any]:
        """See Nemesis."""
        if "stop" in scene.notes:
            scene.notes["stop"].set()
            scene.notes["thread"].join()
        turns = scene.notes.get("turns", 0)
        return {"turns": turns, "took_effect": turns > 0}
