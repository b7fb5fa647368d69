"""One node's process: started from a configuration file in a folder of its own, ended by its pid.

A node is a session of its own: its journal's writers stand in its process group, so that a pause stops all of them and
nothing else. Invariant: the runner is the parent and waits, so no zombie holds a lock (chaos runs are full of kills).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.ledger import started

from .base import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STRONGROOM: Final = Path(sys.executable).with_name("strongroom")
END_S: Final = 40.0
POLL_S: Final = 0.005
STOPPED: Final = "Tt"  # states in /proc/<pid>/stat


@dataclass(eq=False)
class Node:
    """`folder` holds node.toml, data/ and node.log; `before` is put before the command (a namespace, a wrapper)."""

    node_id: str
    folder: Path
    api_port: int
    peer_port: int
    environ: dict[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    command: Sequence[str] = (str(STRONGROOM),)
    process: subprocess.Popen[bytes] | None = None
    paused: bool = False
    on_start: Callable[[int], None] = lambda _pid: None  # told of each process
    codes: list[int] = field(default_factory=list)  # of every process it had, by their end

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def alive(self) -> bool:
        """Its main process has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def ended_by_itself(self) -> int | None:
        """The exit code of a process that nobody has ended; None if it runs, or somebody did, or there was none."""
        return None if self.process is None else self.process.poll()

    def start(self) -> None:
        """A process runs, unless one does."""
        if self.alive:
            return
        self._note_end()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "VAULT_"))}
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - the product
                [*self.before, *self.command, "server", "--config", str(self.folder / "node.toml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean | self.environ, start_new_session=True,
            )  # fmt: skip
        self.paused = False
        self.on_start(self.process.pid)

    def _note_end(self) -> None:
        if self.process is not None and self.process.returncode is not None:
            self.codes.append(self.process.returncode)
            self.process = None

    def end(self, number: int) -> int:
        """The signal is sent and the process has ended; its exit code, of an earlier end if it ran no more."""
        process = self.process
        if process is None:
            return self.codes[-1] if self.codes else 0
        if process.poll() is None:
            self.resume()
            process.send_signal(number)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise TargetError(f"{self.node_id} did not end within {END_S:g} s of signal {number}") from None
        code = process.returncode
        self._end_of_group(process.pid)
        self._note_end()
        return code

    def _end_of_group(self, group: int) -> None:
        """What the process has started, its journal's writer, writes to its end and then ends, too."""
        end_s = time.monotonic() + END_S
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)  # one that was paused would never end
        while any(started(pid) for pid in _of_group(group)):  # zombies may wait long for a parent that is not ours
            if time.monotonic() > end_s:
                raise TargetError(f"children of {self.node_id} did not end within {END_S:g} s")
            time.sleep(POLL_S)

    def signal(self, number: int) -> None:
        """The main process has been sent it, if it runs."""
        if self.process is not None and self.alive:
            self.process.send_signal(number)

    def pause(self) -> None:
        """No process of the node runs an instruction."""
        self._group(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """They go on."""
        if self.paused:
            self._group(signal.SIGCONT)
            self.paused = False

    def _group(self, number: int) -> None:
        if self.process is not None and self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def pids(self) -> list[int]:
        """Its processes, the main one first."""
        if self.process is None or not self.alive:
            return []
        own = self.process.pid
        return [own, *sorted(pid for pid in _of_group(own) if pid != own)]


def is_stopped(pid: int) -> bool:
    """A signal has stopped it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in STOPPED


def _of_group(group: int) -> list[int]:
    everybody = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in everybody if _group_of(pid) == group]


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
