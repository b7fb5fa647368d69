"""All scenarios of a bad network with real processes, and their table: `python -m tests.network`.

A scenario that breaks off is a line of the table, too, and its files stay. Ends with 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.network.bad_links import Rounds, bad_links
from tests.network.certificate import certificate
from tests.network.disk_full import disk_full
from tests.network.down import down
from tests.network.result import Result
from tests.network.snapshot import Large, snapshot
from tests.network.wiped import wiped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES = ("bad-links", "snapshot", "wiped", "down", "disk-full", "certificate")


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.network", description=__doc__)
    parser.add_argument("--only", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=9, help="deaths of a leader's host")
    parser.add_argument("--writers", type=int, default=256, help="writers of bad-links")
    parser.add_argument("--acks", type=int, default=60_000, help="acknowledged writes of bad-links, at least")
    parser.add_argument("--seed", type=int, default=1, help="which follower is away, which connections are reset")
    parser.add_argument("--secrets", type=int, default=300_000, help="what a snapshot holds")
    parser.add_argument("--down-s", type=float, default=600.0, help="how long a node is down")
    parser.add_argument("--folder", type=Path, help="where files are kept; a temporary folder else")
    wanted = parser.parse_args(words)
    unknown = set(wanted.only.split(",")) - set(NAMES)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    return wanted


def scenarios(wanted: argparse.Namespace) -> dict[str, Callable[[Path], Result]]:
    """What was asked for, in the order of NAMES."""
    acks = -(-wanted.acks // wanted.rounds)
    all_of_them: dict[str, Callable[[Path], Result]] = {
        "bad-links": partial(bad_links, wanted=Rounds(wanted.rounds, wanted.writers, acks, seed=wanted.seed)),
        "snapshot": partial(snapshot, wanted=Large(wanted.secrets)),
        "wiped": wiped,
        "down": partial(down, down_s=wanted.down_s),
        "disk-full": disk_full,
        "certificate": certificate,
    }
    return {name: all_of_them[name] for name in NAMES if name in wanted.only.split(",")}


def play(name: str, scenario: Callable[[Path], Result], folder: Path) -> Result:
    """The scenario's result, also if it breaks off."""
    print(f"{name} …", flush=True)
    began_s = time.monotonic()
    try:
        result = scenario(folder / name)
    except Exception as error:  # noqa: BLE001 - the other scenarios have their turn
        traceback.print_exc()
        return Result(name, began_s, time.monotonic() - began_s, problems=[f"{type(error).__name__}: {error}"[:500]])
    result.name = name
    print(line(result), flush=True)
    return result


def line(result: Result) -> str:
    """One line of the table, and below it what did not hold, and the figures of the scenario."""
    lost = " ".join(str(result.lost[name]) for name in sorted(result.lost)) or "-"
    head = (
        f"{result.name:12} {'holds' if result.holds else 'FAILS':6} {result.acknowledged:>9,} {lost:>10} "
        f"{result.unresolved:>8} {result.seconds:>9.1f}"
    )
    figures = "; ".join(f"{name}: {value}" for name, value in result.notes.items())
    return "\n".join([head, *(f"    ! {problem}" for problem in result.problems), f"    {figures}"])


def main(words: Sequence[str]) -> int:
    """Plays everything that was asked for; the exit code."""
    wanted = parse(words)
    folder = wanted.folder or Path(tempfile.mkdtemp(prefix="network-"))
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
