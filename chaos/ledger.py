"""What a run has made outside its folder, written down as it is made: so that it can be removed if the run was killed.

A file strongroom-chaos-<pid>.json in the machine's folder for temporary files names processes (with the time of their
start, for pids are used again), namespaces, links, mounts, images, folders, projects. `clean` removes what a ledger
names whose owner has ended, and nothing else: never by the name of a program, never what does not carry a prefix of
ours. A mount takes its loop device along; a namespace may live on for minutes in connections that nobody answers any
more, so links into it are named, too. The folder is everybody's: a ledger is believed only if this user alone wrote it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .disk.loop import PREFIX as DISK_PREFIX
from .targets.base import PREFIX, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: Final = ("processes", "links", "namespaces", "mounts", "files", "folders", "projects")
PREFIXES: Final = (PREFIX, DISK_PREFIX)
COMMAND_S: Final = 20.0
THAW: Final = 0xC0045878  # _IOWR('X', 120, int)


def started(pid: int) -> int:
    """Clock ticks after boot at which that process began, 0 if there is none; zombies are none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def thaw(root: str) -> None:
    """The file system that is mounted there goes on if it stood still: what hangs in one cannot even be killed."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, THAW, 0)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EIO}:  # it goes on; it has no power
            raise
    finally:
        os.close(fd)


def link_prefix(pid: int) -> str:
    """How the names of that process's links begin; a link's name has 15 characters at most."""
    return f"sc{pid}-"


class Ledger:
    """Of one target."""

    def __init__(self, place: Path | None = None) -> None:
        own = os.getpid()
        self._file = (place or Path(tempfile.gettempdir())) / f"{PREFIX}{own}-{id(self):x}.json"
        self._said: dict[str, Any] = {"owner": [own, started(own)], **{kind: [] for kind in KINDS}}

    def note(self, kind: str, what: str | int) -> None:
        """It is in the file before it is made, or, a process, at once after it was."""
        self._said[kind].append([what, started(what)] if isinstance(what, int) else what)
        if kind == "processes":
            self._said[kind] = [one for one in self._said[kind] if started(one[0]) == one[1]]
        fresh = self._file.with_suffix(".new")
        fresh.unlink(missing_ok=True)  # whoever else made it: what is opened is new, and nobody's link is followed
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(json.dumps(self._said))
        fresh.replace(self._file)

    def close(self) -> None:
        """Everything named was removed by who made it."""
        self._file.unlink(missing_ok=True)


def is_own(file: Path) -> bool:
    """This user made it, and nobody else can have written into it. Raises OSError."""
    status = file.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def clean(say: Callable[[str], None], place: Path | None = None) -> int:
    """What ended runs left behind is gone; how many things could not be removed."""
    left = 0
    for file in sorted((place or Path(tempfile.gettempdir())).glob(f"{PREFIX}*.json")):
        try:
            if not is_own(file):
                say(f"{file.name} is somebody else's; it is left alone")
                continue
            said = json.loads(file.read_text(encoding="utf-8"))
            owner, since = said["owner"]
        except (OSError, ValueError, KeyError, TypeError):
            say(f"{file.name} cannot be read; it is left alone")
            continue
        if started(owner) == since:
            say(f"{file.name}: its run goes on; left alone")
            continue
        failed = _removed(said, say)
        left += failed
        if not failed:
            file.unlink(missing_ok=True)
    return left


def _removed(said: dict[str, Any], say: Callable[[str], None]) -> int:
    failed = 0
    mounts = [one for one in said.get("mounts", ()) if Path(one).name.startswith(PREFIXES) and os.path.ismount(one)]
    for mount in mounts:
        with contextlib.suppress(OSError):
            thaw(mount)
    for pid, since in said.get("processes", ()):
        if since and started(pid) == since:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            say(f"ended process {pid}")
    for mount in mounts:
        failed += _command(["umount", "-l", mount], say)
    for mount in said.get("mounts", ()):
        if Path(mount).name.startswith(PREFIXES) and not os.path.ismount(mount):
            with contextlib.suppress(OSError):
                Path(mount).rmdir()
    for file in said.get("files", ()):
        if Path(file).name.startswith(PREFIXES) and Path(file).is_file():
            Path(file).unlink(missing_ok=True)
            say(f"removed {file}")
    for link in said.get("links", ()):
        if str(link).startswith(link_prefix(said["owner"][0])) and Path("/sys/class/net", link).exists():
            failed += _command(["ip", "link", "del", link], say)
    for name in said.get("namespaces", ()):
        if str(name).startswith(PREFIX) and Path(f"/run/netns/{name}").exists():
            failed += _command(["ip", "netns", "del", name], say)
    for name in said.get("projects", ()):
        if str(name).startswith(PREFIX):
            failed += _project(name, say)
    for folder in said.get("folders", ()):
        if Path(folder).name.startswith(PREFIX) and Path(folder).is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            say(f"removed {folder}")
    return failed


def _project(name: str, say: Callable[[str], None]) -> int:
    from .targets.docker import remove_project

    try:
        remove_project(name)
    except TargetError as error:
        say(f"project {name}: {error}")
        return 1
    say(f"removed project {name}")
    return 0


def _command(command: list[str], say: Callable[[str], None]) -> int:
    try:
        code = subprocess.run(command, capture_output=True, check=False, timeout=COMMAND_S).returncode  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired):
        code = -1  # the others are removed all the same
    say(f"{' '.join(command)}: {'done' if code == 0 else 'failed'}")
    return int(code != 0)
