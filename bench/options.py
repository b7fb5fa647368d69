"""How large the measurements are: the whole ones, and small ones that only show that the programs work.

Pure data and the command line.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

GROUPS = (
    "commits",
    "puts",
    "gets",
    "logins",
    "transit",
    "policies",
    "failover",
    "backup",
    "memory",
    "snapshot",
    "catchup",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Times in seconds; counts of writers, connections, secrets and rounds."""

    point_s: float = 4.0  # one measurement
    yardstick_s: float = 2.0
    writers: tuple[int, ...] = (1, 32, 256)
    connections: tuple[int, ...] = (1, 64)
    get_rounds: int = 3  # of yardstick and reads, logins or encryptions in turn; the table has the medians
    paths: int = 100_000  # secrets that puts and gets choose among
    rules: tuple[int, ...] = (10, 100, 1_000)  # of policies
    rounds: int = 20  # of failover
    yardstick_rounds: int = 5
    secrets: int = 300_000  # for memory, snapshot, catch-up
    snapshot_puts_per_s: int = 2_000
    catchup_puts_per_s: int = 500
    backup_rounds: int = 9  # of puts with and without a sink, in turn
    backup_puts_per_s: int = 500
    backup_secrets: int = 100_000


WHOLE = Sizes()
QUICK = Sizes(
    point_s=0.7,
    yardstick_s=1.0,
    writers=(1, 32),
    connections=(1, 16),
    get_rounds=1,
    paths=1_000,
    rounds=1,
    yardstick_rounds=1,
    secrets=3_000,
    snapshot_puts_per_s=300,
    catchup_puts_per_s=100,
    backup_rounds=1,
    backup_puts_per_s=100,
    backup_secrets=2_000,
)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    sizes: Sizes
    groups: tuple[str, ...]
    json: Path | None
    out: Path


def parse(arguments: list[str]) -> Options:
    """Options of a command line; exits with 2 and a sentence for what it does not know."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="everything small: shows that the programs work")
    parser.add_argument("--only", action="append", choices=GROUPS, help="one group of figures; may be repeated")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="folder of JSON and plot")
    given = parser.parse_args(arguments)
    groups = tuple(name for name in GROUPS if given.only is None or name in given.only)
    return Options(QUICK if given.quick else WHOLE, groups, given.json, given.out)
