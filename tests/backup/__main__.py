"""All proofs of the backup with real processes and real servers, and their table: `python -m tests.backup`.

A scenario that breaks off is a line of the table, too, and its files stay. Ends with 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.backup import large, losses
from tests.backup.claims import cut_off_leader, stopped_leader
from tests.backup.faults import Full, Hung, Killed, Moved, ReadOnly, Reset, Slow, small_disk
from tests.backup.places import FILE, FullDisk, Ignoring, SlowFront, Unavailable, s3_stage, sqlite_stage
from tests.backup.pushed import Rate
from tests.backup.sink_faults import faults_under_load
from tests.backup.stage import postgres_stage
from tests.cluster.backup.postgres_server import make_roles, running_server
from tests.cluster.backup.s3_server import KEYS
from tests.network.__main__ import line, play
from tests.network.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES = ("postgres", "s3", "sqlite", "claims", "lost", "write-through", "points", "tokens", "twice", "large")
DEFAULTS = {"timeout_s": 5.0, "batch_interval_ms": 500}
"""Of the configuration: the RPO is that of the defaults."""


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.backup", description=__doc__)
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--per-s", type=float, default=2000.0, help="writes a second that are offered")
    parser.add_argument("--writers", type=int, default=128, help="who offer them")
    parser.add_argument("--fault-s", type=float, default=8.0, help="how long each fault of a sink lasts")
    parser.add_argument("--rounds", type=int, default=5, help="of claims, and of losses in each mode")
    parser.add_argument("--points", type=int, default=50, help="indexes of a recorded history")
    parser.add_argument("--secrets", type=int, default=300_000, help="that come back in `large`")
    parser.add_argument("--seed", type=int, default=1, help="when everybody dies, and which points are restored")
    parser.add_argument("--folder", type=Path, help="where files are kept; a temporary folder else")
    wanted = parser.parse_args(words)
    unknown = set(wanted.only.split(",")) - set(NAMES)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    return wanted


def scenarios(wanted: argparse.Namespace) -> dict[str, Callable[[Path], Result]]:
    """What was asked for, in the order of NAMES."""
    every: dict[str, Callable[[argparse.Namespace, Path], Result]] = {
        "postgres": postgres, "s3": s3, "sqlite": sqlite, "claims": claims, "lost": lost,
        "write-through": write_through, "points": points, "tokens": tokens, "twice": twice, "large": many,
    }  # fmt: skip
    return {name: partial(_timed, every[name], wanted) for name in NAMES if name in wanted.only.split(",")}


def _timed(scenario: Callable[[argparse.Namespace, Path], Result], wanted: argparse.Namespace, folder: Path) -> Result:
    result = scenario(wanted, folder)
    result.seconds = time.monotonic() - result.began_s
    return result


def rate_of(wanted: argparse.Namespace) -> Rate:
    return Rate(wanted.per_s, wanted.writers, seed=wanted.seed)


def postgres(wanted: argparse.Namespace, folder: Path) -> Result:
    """Killed, hung, reset, read-only, slow, moved; full where a disk of its own can be made."""
    result = Result("postgres")
    with small_disk(folder / "disk") as may, postgres_stage(folder) as stage:
        faults = [Killed(), Hung(), Reset(), ReadOnly(), Slow(), Moved(), *([Full()] if may else [])]
        if not may:
            result.notes["full"] = "not played: no file system may be mounted here"
        faults_under_load(stage, faults, rate_of(wanted), result, fault_s=wanted.fault_s, tag="faults")
    return result


def s3(wanted: argparse.Namespace, folder: Path) -> Result:
    """503, slow, conditions ignored."""
    result = Result("s3")
    with s3_stage(folder) as (stage, front, url):
        faults = [Unavailable(front), SlowFront(front), Ignoring(front)]
        faults_under_load(
            stage, faults, rate_of(wanted), result, fault_s=wanted.fault_s, tag="faults", url=url, password=KEYS
        )
    return result


def sqlite(wanted: argparse.Namespace, folder: Path) -> Result:
    """The disk is full."""
    result = Result("sqlite")
    with sqlite_stage(folder) as (stage, disk):
        faults_under_load(
            stage, [FullDisk(disk)], rate_of(wanted), result, fault_s=wanted.fault_s, tag="faults",
            url=f"sqlite://{disk / FILE}", password=None,
        )  # fmt: skip
    return result


def claims(wanted: argparse.Namespace, folder: Path) -> Result:
    """Leaders that are stopped during a batch, or cut off from the members and not from the sink."""
    result = Result("claims")
    with postgres_stage(folder) as stage:
        for number in range(wanted.rounds):
            stopped_leader(stage, rate_of(wanted), result, tag=f"stopped-{number}")
            cut_off_leader(stage, rate_of(wanted), result, tag=f"cut-off-{number}")
    return result


def _lost(wanted: argparse.Namespace, folder: Path, mode: str, allowed_s: float) -> Result:
    result = Result(mode)
    with postgres_stage(folder, backup={"mode": mode, **DEFAULTS}) as stage:
        for number in range(wanted.rounds):
            losses.everything_lost(
                stage, folder, rate_of(wanted), result, seed=wanted.seed * 100 + number, allowed_s=allowed_s
            )
    return result


def lost(wanted: argparse.Namespace, folder: Path) -> Result:
    """Mode async: everything is lost again and again."""
    return _lost(wanted, folder, "async", losses.RPO_S)


def write_through(wanted: argparse.Namespace, folder: Path) -> Result:
    """Mode write_through: the same, and no acknowledged write may be gone."""
    return _lost(wanted, folder, "write_through", 0.0)


def points(wanted: argparse.Namespace, folder: Path) -> Result:
    """Restores to random points."""
    result = Result("points")
    with postgres_stage(folder) as stage:
        losses.points(stage, rate_of(wanted), result, count=wanted.points, load_s=20.0, seed=wanted.seed)
    return result


def tokens(_wanted: argparse.Namespace, folder: Path) -> Result:
    """What was revoked stays so."""
    result = Result("tokens")
    with postgres_stage(folder) as stage:
        losses.tokens_after(stage, folder, result)
    return result


def twice(_wanted: argparse.Namespace, folder: Path) -> Result:
    """Two restores of one backup."""
    result = Result("twice")
    with postgres_stage(folder) as stage:
        losses.restored_twice(stage, folder, result)
    return result


def many(wanted: argparse.Namespace, folder: Path) -> Result:
    """Many secrets, from SQLite and from PostgreSQL."""
    result = Result("large")
    folder.mkdir(parents=True)
    large.comes_back(folder / "sqlite", wanted.secrets, result, name="SQLite")
    with running_server() as server:
        asyncio.run(make_roles(server))
        url = server.tcp_url("trusting")
        large.comes_back(folder / "postgres", wanted.secrets, result, name="PostgreSQL", url=url)
    return result


def main(words: Sequence[str]) -> int:
    """Plays everything that was asked for; the exit code."""
    wanted = parse(words)
    folder = wanted.folder or Path(tempfile.mkdtemp(prefix="backup-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as somebody else, below it
    folder.mkdir(parents=True, exist_ok=True)
    results = [play(name, scenario, folder) for name, scenario in scenarios(wanted).items()]
    print(f"\n{'scenario':12} {'':6} {'answered':>9} {'lost, each':>10} {'unknown':>8} {'seconds':>9}")
    print("\n".join(map(line, results)))
    held = all(result.holds for result in results)
    if wanted.folder is None and held:
        shutil.rmtree(folder)
    else:
        print(f"files: {folder}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
