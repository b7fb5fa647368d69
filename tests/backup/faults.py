"""What a PostgreSQL can do to its clients: each fault begins, and later ends; nothing of it is left.

Its data folder can be full only where a file system may be mounted for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

from tests.cluster.backup.postgres_server import _children, _free_port
from tests.network.room import may_mount
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.backup.stage import Stage

RESET_PERIOD_S = 0.15
NOTICED_S = 60.0
SLOW_S = 0.3
SLOW_BYTES_PER_S = 20_000.0
SMALL_DISK = "size=400m,mode=755"
FILLER = "filler"


class Fault:
    """One of them; `name` is its line in the table, `said` a piece of what the node says of the sink meanwhile."""

    name = ""
    said = ""

    def begin(self, stage: Stage) -> None:
        """It is so from now on."""

    def go_on(self, stage: Stage) -> None:
        """Called again and again while it lasts."""

    def end(self, stage: Stage) -> None:
        """It is not so any more."""


class Killed(Fault):
    """All of its processes die at once; later it starts again and recovers from its own log."""

    name = "killed"

    def begin(self, stage: Stage) -> None:
        assert stage.postgres is not None
        stage.postgres.kill()

    def end(self, stage: Stage) -> None:
        assert stage.postgres is not None
        stage.postgres.start()


class Hung(Fault):
    """It answers nothing, keeps every connection, and goes on later where it stood."""

    name = "hung"

    def __init__(self) -> None:
        self._stopped: list[int] = []

    def begin(self, stage: Stage) -> None:
        assert stage.postgres is not None
        process = stage.postgres._process
        assert process is not None
        self._stopped = [process.pid]
        os.kill(process.pid, signal.SIGSTOP)
        for pid in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._stopped.append(pid)

    def end(self, stage: Stage) -> None:
        for pid in reversed(self._stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped = []


class Reset(Fault):
    """Connections are reset again and again, with bytes of a batch or of its answer under way."""

    name = "reset"

    def begin(self, stage: Stage) -> None:
        assert stage.way is not None
        self._before = stage.way.counts
        self._next_s = 0.0
        stage.way.shape(0.01)

    def go_on(self, stage: Stage) -> None:
        assert stage.way is not None
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + RESET_PERIOD_S
            for name in stage.way.ports:
                stage.way.reset(name)

    def end(self, stage: Stage) -> None:
        assert stage.way is not None
        stage.way.shape(0.0)
        counts = stage.way.counts
        stage.notes["resets"] = counts["resets"] - self._before["resets"]
        stage.notes["bytes lost"] = counts["lost_bytes"] - self._before["lost_bytes"]


class ReadOnly(Fault):
    """Its transactions may not write: what an operator does, or a standby is."""

    name = "read-only"
    said = "read-only"

    def begin(self, stage: Stage) -> None:
        self._say(stage, "ALTER SYSTEM SET default_transaction_read_only = on")

    def end(self, stage: Stage) -> None:
        self._say(stage, "ALTER SYSTEM RESET default_transaction_read_only")

    @staticmethod
    def _say(stage: Stage, statement: str) -> None:
        assert stage.postgres is not None
        asyncio.run(stage.postgres.sql(statement))
        asyncio.run(stage.postgres.sql("SELECT pg_reload_conf()"))


class Full(Fault):
    """Its disk has no room. The stage must have been made in `small_disk`."""

    name = "full"
    said = "no space is left"

    def begin(self, stage: Stage) -> None:
        assert stage.postgres is not None
        self._filler = stage.postgres.folder / FILLER
        self.go_on(stage)

    def go_on(self, stage: Stage) -> None:
        """What the server gives free is taken, too."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))

    def end(self, stage: Stage) -> None:
        assert stage.postgres is not None
        self._filler.unlink()
        if not stage.postgres.is_running():  # PostgreSQL ends by itself if its log has no room
            stage.notes["ended by itself"] = True
            stage.postgres.start()


class Slow(Fault):
    """Each answer takes long, and few bytes pass."""

    name = "slow"

    def begin(self, stage: Stage) -> None:
        assert stage.way is not None
        stage.way.shape(SLOW_S, SLOW_BYTES_PER_S)

    def end(self, stage: Stage) -> None:
        assert stage.way is not None
        stage.way.shape(0.0)


class Moved(Fault):
    """It ends here, and the same name leads to where it is started again."""

    name = "moved"

    def begin(self, stage: Stage) -> None:
        assert stage.postgres is not None
        assert stage.way is not None
        stage.postgres.kill()
        stage.way.close()

    def end(self, stage: Stage) -> None:
        server = stage.postgres
        assert server is not None
        assert stage.way is not None
        server.port = _free_port()
        file = server.data / "postgresql.conf"
        file.write_text(re.sub(r"(?m)^port = \d+$", f"port = {server.port}", file.read_text()))
        server.start()
        stage.way.leads_to(server.port)


FAULTS: tuple[Callable[[], Fault], ...] = (Killed, Hung, Reset, ReadOnly, Full, Slow, Moved)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Whether a server that is started inside stands on a small disk of its own; it is gone outside."""
    if not may_mount():
        yield False
        return
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "none", folder], check=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield True
    finally:
        tempfile.tempdir = before
        subprocess.run(["umount", "-l", folder], check=True)


def play(fault: Fault, stage: Stage, seconds: float, seen: Callable[[], bool] = lambda: True) -> None:
    """The fault lasted so long, and until it was `seen`, and has ended."""
    fault.begin(stage)
    try:
        end_s = time.monotonic() + seconds

        def over() -> bool:
            fault.go_on(stage)
            return time.monotonic() >= end_s and seen()

        wait_until(over, "a fault lasts and is noticed", seconds + NOTICED_S)
    finally:
        fault.end(stage)
