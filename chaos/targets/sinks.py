"""Where the cluster's backup goes: a file, a PostgreSQL or an S3 server of ours, and the way there from each node.

Each node has a proxy of its own before the server, so that one node alone can be cut off from it. The servers are
programs out of packages for developers; without them the ability is missing, with the reason. Their folders lie beside
the machine's temporary files, for PostgreSQL refuses root and `nobody` cannot enter a run's folder; the ledger knows.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from .base import PREFIX, TargetError
from .child import Child
from .ports import HOST, free_ports
from .postgres import Postgres, why_no_postgres
from .seaweed import Seaweed, why_no_seaweed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chaos.ledger import Ledger

    from .base import Shape

SINK_NAME: Final = "main"
SERVER: Final = "sink"  # its name among the hosts of the network
SECTION: Final[Mapping[str, Any]] = {"timeout_s": 2.0, "batch_interval_ms": 200}
KINDS: Final = ("sqlite", "postgres", "s3")


class Server(Protocol):
    """A server in a folder of its own."""

    port: int
    secret: str  # what the nodes' password file holds

    def start(self) -> None:
        """It answers. Raises TargetError."""
        ...

    def kill(self) -> None:
        """None of its processes runs; nothing if none did."""
        ...

    def pids(self) -> list[int]:
        """Its processes, the first of them first."""
        ...

    def url(self, port: int) -> str:
        """Of the sink, behind that port."""
        ...


def why_no_sink(kind: str) -> str:
    """Why a backup of that kind cannot be broken here; "" if it can."""
    if kind == "postgres":
        return why_no_postgres()
    if kind == "s3":
        return why_no_seaweed()
    return "a file has no server that could be broken" if kind == "sqlite" else "the scenario has no backup"


class SinkPlace:
    """The sink of one cluster. What breaks the way or the server may be called twice, and healed without it (T2)."""

    def __init__(self, kind: str, run_folder: Path, nodes: Sequence[str], ledger: Ledger) -> None:
        if kind not in KINDS:
            raise TargetError(f"a backup is one of {', '.join(KINDS)}, not {kind}")
        self.kind = kind
        self.nodes = list(nodes)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        ledger.note("folders", str(self.folder))
        self.password = secrets.token_hex(16)
        self.password_file = run_folder / "sink-password"
        self._ports: dict[str, int] = {}
        self._way = Child("chaos.net", run_folder / "sink-network.log")
        self._paused: list[int] = []
        self._begun = lambda pid: ledger.note("processes", pid)
        self._server: Server | None = None

    # ---- life
    def start(self) -> None:
        """It can be written to from every node."""
        if self.kind == "sqlite":
            return
        why = why_no_sink(self.kind)
        if why:
            raise TargetError(f"no backup of kind {self.kind}: {why}")
        made = Postgres if self.kind == "postgres" else Seaweed
        self._server = made(self.folder, self.password, self._begun)
        with os.fdopen(os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self._server.secret)
        self._server.start()
        self._ports = dict(zip(self.nodes, free_ports(len(self.nodes)), strict=True))
        self._way.start()
        self._way.ask("listen", links=[
            {"dialler": node, "target": SERVER, "port": port, "target_port": self._server.port, "address": HOST}
            for node, port in self._ports.items()
        ])  # fmt: skip

    def discard(self) -> None:
        """Nothing of it is left."""
        self._way.stop()
        if self._server is not None:
            self.resume()
            self._server.kill()
        self.password_file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- who goes there
    def url(self, node: str = "") -> str:
        """From that node; without one, straight to the server."""
        if self._server is None:
            return f"sqlite://{self.folder / 'sink.db'}"
        return self._server.url(self._ports[node] if node else self._server.port)

    def table(self, node: str) -> dict[str, Any]:
        """Its [[backup.sinks]] in the node's configuration."""
        more = {"password_file": str(self.password_file)} if self._server is not None else {}
        return {"name": SINK_NAME, "url": self.url(node), **more}

    # ---- the server (SINK)
    def kill(self) -> int:
        """SIGKILL to all of it; how many processes that were."""
        count = len(self.pids())
        if self._server is not None:
            self.resume()
            self._server.kill()
        return count

    def restart(self) -> None:
        """It answers, with what it had, unless it does already."""
        if self._server is not None and not self._server.pids():
            self._server.start()

    def pids(self) -> list[int]:
        """Its processes."""
        return self._server.pids() if self._server is not None else []

    def pause(self) -> list[int]:
        """SIGSTOP to all of it, the first process first, so that it starts no other; who was stopped."""
        first = self.pids()[:1]
        _signal(first, signal.SIGSTOP)
        self._paused = self.pids()
        _signal(self._paused[1:], signal.SIGSTOP)
        return list(self._paused)

    def resume(self) -> None:
        """SIGCONT."""
        paused, self._paused = self._paused, []
        _signal(reversed(paused), signal.SIGCONT)

    # ---- the way (SINK)
    def cut(self, node: str) -> None:
        """Nothing arrives between the two in either direction, and nothing is lost, until `heal`."""
        self._way.ask("cut", source=node, sink=SERVER)
        self._way.ask("cut", source=SERVER, sink=node)

    def heal(self) -> None:
        """Nobody is cut off."""
        self._way.ask("heal")

    def reset(self, node: str) -> int:
        """The node's connections are reset, with what was under way; how many."""
        return int(self._way.ask("reset", one=node, other=SERVER)["count"] or 0)

    def shape(self, shape: Shape) -> None:
        """Every way is so, in both directions."""
        for node in self.nodes:
            for source, sink in ((node, SERVER), (SERVER, node)):
                self._way.ask("shape", source=source, sink=sink, delay_s=shape.delay_s, bytes_per_s=shape.bytes_per_s)

    def counts(self) -> dict[str, int]:
        """What was done to the ways so far."""
        return {name: int(value) for name, value in self._way.ask("counts").items()}


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
