"""A control group that gives its processes a share of one processor, as a container's limit does: v1 or v2, as root.

The group lies below this process's own and carries PREFIX and the id of this process, so that `chaos env clean` finds
one whose run was killed. A group without processes can be removed; processes that are moved go to the one above.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .targets.base import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 100_000


def own(text: str) -> Path | None:
    """The folder of the group that such a /proc/<pid>/cgroup names for the processor's share; None if it names none."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return ROOT / "cpu" / path.lstrip("/")
    for line in text.splitlines():
        if line.startswith("0::"):
            return ROOT / line[3:].lstrip("/")
    return None


class Quota:
    """See the module's paragraph. Raises OSError where the kernel or our rights do not allow it."""

    def __init__(self, name: str, share: float) -> None:
        above = own(Path("/proc/self/cgroup").read_text(encoding="ascii"))
        if above is None:
            raise OSError("no control group of this kernel limits processors")
        self._above = above
        self.folder = above / f"{PREFIX}{os.getpid()}-{name}"
        self.folder.mkdir()
        quota_us = max(1000, int(PERIOD_US * share))
        try:
            if (self.folder / "cpu.cfs_quota_us").exists():
                (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (self.folder / "cpu.cfs_quota_us").write_text(str(quota_us))
            else:
                (self.folder / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        except OSError:
            self.folder.rmdir()
            raise

    def take(self, pids: Iterable[int]) -> int:
        """These are in the group, and what they start; how many could be moved."""
        return sum(_moved(pid, self.folder) for pid in pids)

    @property
    def throttled(self) -> int:
        """How often the group had used up its share."""
        lines = (self.folder / "cpu.stat").read_text(encoding="ascii").splitlines()
        found = dict(line.split() for line in lines)
        return int(found.get("nr_throttled", 0))

    def remove(self) -> None:
        """Its processes go on without a limit; twice is once."""
        _remove(self.folder, self._above)


def _moved(pid: int, folder: Path) -> bool:
    try:
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError:
        return False  # it has ended
    return True


def _remove(folder: Path, above: Path) -> None:
    if not folder.is_dir():
        return
    for pid in (folder / "cgroup.procs").read_text(encoding="ascii").split():
        _moved(int(pid), above)
    folder.rmdir()


def clean(say: Callable[[str], None]) -> int:
    """Groups of runs that have ended are gone; how many could not be removed."""
    failed = 0
    for group in [*ROOT.glob(f"**/{PREFIX}*-*")]:
        pid = group.name.removeprefix(PREFIX).split("-")[0]
        if not pid.isdigit() or Path(f"/proc/{pid}").exists():
            continue
        try:
            with contextlib.suppress(FileNotFoundError):
                _remove(group, group.parent)
                say(f"removed the control group {group.name}")
        except OSError:
            failed += 1
    return failed
