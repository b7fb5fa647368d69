"""What this machine can do for chaos runs, each ability with the reason where it is missing; and cleaning up."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import cgroups, ledger
from .targets.base import PREFIX
from .targets.postgres import why_no_postgres
from .targets.seaweed import why_no_seaweed

if TYPE_CHECKING:
    from collections.abc import Callable

TRY_S: Final = 10.0


def _succeeds(*words: str) -> bool:
    """The command ended well, and in time."""
    try:
        return subprocess.run(words, capture_output=True, check=False, timeout=TRY_S).returncode == 0  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired):
        return False


def root() -> str:
    """Why this process is not root; "" if it is."""
    return "" if os.geteuid() == 0 else "needs root"


def command(name: str) -> str:
    """Why that command cannot be had."""
    return "" if shutil.which(name) else f"needs the command {name}"


def namespaces() -> str:
    """Why there can be no network namespaces with partitions between them."""
    return _spaces() or command("nft")


def _spaces() -> str:
    """Why network namespaces cannot be made; tried."""
    why = root() or command("ip") or command("nsenter")
    if why:
        return why
    return "" if _succeeds("unshare", "-n", "true") else "the kernel allows no network namespace"


def packets() -> str:
    """Why single packets cannot be dropped or delayed."""
    return _spaces() or ("" if Path("/dev/net/tun").exists() else "needs /dev/net/tun")


def disks() -> str:
    """Why nodes cannot have disks of their own."""
    return root() or command("mkfs.ext4") or ("" if Path("/dev/loop-control").exists() else "needs loop devices")


def containers() -> str:
    """Why no docker daemon can be asked."""
    why = command("docker")
    if why:
        return why
    return "" if _succeeds("docker", "info") else "no docker daemon answers"


ABILITIES: Final[dict[str, Callable[[], str]]] = {
    "local: processes, TCP proxies, clocks, files": lambda: "",
    "netns: partitions by nft": namespaces,
    "netns: single packets (TAP switch)": packets,
    "disks of their own: full, slow, power loss": disks,
    "backups that can be broken: PostgreSQL": why_no_postgres,
    "backups that can be broken: S3": why_no_seaweed,
    "compose: containers": containers,
}


def check(say: Callable[[str], None]) -> int:
    """Said, ability by ability."""
    for name, why_not in ABILITIES.items():
        why = why_not()
        say(f"{'no ' if why else 'yes'}  {name}{f' ({why})' if why else ''}")
    left = sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*.json"))
    say(f"{len(left)} ledgers of runs in {tempfile.gettempdir()}")
    return 0


def clean(say: Callable[[str], None]) -> int:
    """0 if nothing is left of runs that have ended, else 3."""
    left = ledger.clean(say) + cgroups.clean(say)
    say("nothing is left" if not left else f"{left} things could not be removed")
    return 3 if left else 0
