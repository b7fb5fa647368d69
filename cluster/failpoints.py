"""Places in the code with a name, where a process of profile dev is told to die or to wait: crashes at exact moments.

STRONGROOM_DEV_FAILPOINTS holds pairs with commas between them: `journal.after-sync=kill:0.01` ends the process there,
by SIGKILL, each hundredth time; `snapshot.before-rename=sleep:50` waits 50 ms each time, `sleep:50:once` the first
time, `sleep:50:0.1` each tenth. A production node refuses to start while the variable is set. What happens is said on
standard error. The journal's child process is told by its parent, and dies alone: its node ends because of that.

Invariants
  P1  without the variable a place costs one look at an empty dict, and nothing else happens there
  P2  a place changes no value, skips no step and hides no error: it ends the process, or holds it up
  P3  no pure room has one: apply has nothing to hit
Source: etcd's gofail; docs/threat-model.md, "What production refuses".
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import seams
from .errors import StrongroomError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "STRONGROOM_DEV_FAILPOINTS"
NAMES: Final = frozenset({
    "journal.before-write", "journal.after-write", "journal.before-sync", "journal.after-sync",
    "ballot.before-sync", "ballot.after-sync",
    "snapshot.before-rename", "snapshot.after-rename",
    "compaction.before-trim", "compaction.before-remove", "compaction.after-remove",
    "backup.before-store", "backup.before-commit", "backup.after-store",
    "audit.before-write", "audit.after-write",
    "write.after-apply", "answer.before-send", "answer.after-send",
})  # fmt: skip
ONCE: Final = "once"
_SLEEP_MS_MAX: Final = 60_000.0
_STDERR_FD: Final = 2


class FailpointError(StrongroomError):
    """The variable says nothing that can be, or production was asked to start with it."""


@dataclass(slots=True)
class Point:
    """What happens at one place. `share` of the times it is reached; None: the next time, and never again."""

    kills: bool
    sleep_s: float
    share: float | None
    is_spent: bool = False


_armed: Final[dict[str, Point]] = {}
_random: Final = seams.SystemRandom()


def failpoint(name: str) -> None:
    """Nothing, unless that place was armed (P1)."""
    if _armed:
        _reached(name)


def _reached(name: str) -> None:
    point = _armed.get(name)
    if point is None or point.is_spent:
        return
    if point.share is None:
        point.is_spent = True
    elif _random.uniform() >= point.share:
        return
    os.write(_STDERR_FD, f"failpoint {name}: {'killed' if point.kills else 'waits'}\n".encode())
    if point.kills:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(point.sleep_s)


def is_failpoint(name: str) -> bool:
    """Whether that place was armed: where reaching it takes more than a call."""
    return name in _armed


def arm_failpoints(profile: str, environ: Mapping[str, str] = os.environ) -> None:
    """What the variable says holds from now on, and nothing else. Raises FailpointError."""
    text = environ.get(VARIABLE)
    if text is not None and profile != "dev":
        raise FailpointError(f"{VARIABLE} is set: places to die at are for profile dev alone")
    points = parse(text or "")
    _armed.clear()
    _armed.update(points)


def told(environ: Mapping[str, str] = os.environ) -> str:
    """What a child process of this one is to arm."""
    return environ.get(VARIABLE, "") if _armed else ""


def parse(text: str) -> dict[str, Point]:
    """What is to happen where. Raises FailpointError."""
    points = {}
    for pair in filter(None, text.split(",")):
        name, _, said = pair.partition("=")
        if name not in NAMES:
            raise FailpointError(f"{VARIABLE} names no place of this program: there are {', '.join(sorted(NAMES))}")
        try:
            points[name] = _point(said.split(":"))
        except (ValueError, IndexError):
            how = f"{name}=kill:SHARE or {name}=sleep:MS[:SHARE], SHARE up to 1 or once"
            raise FailpointError(f"{VARIABLE} must be {how}") from None
    return points


def _point(words: list[str]) -> Point:
    kind, *rest = words
    if kind not in {"kill", "sleep"}:
        raise ValueError(kind)
    sleep_ms = float(rest.pop(0)) if kind == "sleep" else 0.0
    word = rest.pop(0) if rest else "1"
    share = None if word == ONCE else float(word)
    if rest or not 0 <= sleep_ms <= _SLEEP_MS_MAX or (share is not None and not 0 < share <= 1):
        raise ValueError(words)
    return Point(kind == "kill", sleep_ms / 1000, share)
