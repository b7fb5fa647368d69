"""`make prove-power`: loss of power, rot and kills, many of each, with what was counted.

On ext4 that an ioctl shuts down where this process may mount one; over a disk that drops what was not synced elsewhere.
The first line says which.
"""

from __future__ import annotations

import argparse
import logging
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.disk.loop import PREFIX, unavailable

from . import blackouts, cycles, rot

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

SHARED = Path("/dev/shm")
WAYS = {True: "power: ext4 shutdown ioctl", False: "power: write-dropping disk"}


def way() -> str:
    """Which of the two ways this machine can go, and why."""
    why = unavailable()
    return WAYS[not why] + (f" ({why})" if why else "")


def measured(name: str, run: Callable[[], Counter[str]]) -> None:
    """Run, and print what was counted."""
    begun = time.perf_counter()
    counts = run()
    print(f"{name}: {', '.join(f'{key} {counts[key]}' for key in sorted(counts))}; {time.perf_counter() - begun:.0f} s")


def kill_everywhere(folder: Path, seed: int, turns: int) -> None:
    """In a process without threads, because it forks; in memory, because no machine ends."""
    command = [sys.executable, "-m", "tests.power.kills", "--folder", str(folder), "--turns", str(turns)]
    begun = time.perf_counter()
    done = subprocess.run([*command, "--seeds", str(seed)], check=True, capture_output=True, text=True)
    print(f"kill -9: {'; '.join(done.stdout.splitlines())}; {time.perf_counter() - begun:.0f} s")


def main() -> int:
    """Run everything; an AssertionError says what was broken, with the seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--turns", type=int, default=30, help="of each life that is killed at every change")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # mounts are removed on the way out
    logging.disable()
    seed, rooted = arguments.seed, not unavailable()
    print(way(), flush=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        if rooted:
            measured("cycles", lambda: cycles.run_ext4(arguments.cycles, seed, folder))
        else:
            measured("cycles", lambda: cycles.run_dropping(arguments.cycles, seed))
        measured("rot", lambda: rot.run(arguments.faults, seed, folder))
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=SHARED if SHARED.is_dir() else None) as shared:
            kill_everywhere(Path(shared), seed, arguments.turns)
        if rooted:
            rounds = arguments.rounds
            measured("blackouts", lambda: blackouts.run_ext4(rounds, seed, folder, more=rounds))
        else:
            measured("blackouts, simulated", lambda: blackouts.run_dropping(3 * arguments.rounds, seed))
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
