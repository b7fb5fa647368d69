"""`python -m chaos.sim --seed N` replays one seed; `--seeds N` runs a campaign. Exit 0 if everything held, else 1."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from .run import run


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m chaos.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--trace", action="store_true", help="print what happened")
    arguments = parser.parse_args()
    first, count = (arguments.first, arguments.seeds) if arguments.seed is None else (arguments.seed, 1)
    seeds = range(first, first + count)
    begun = time.perf_counter()
    stats: Counter[str] = Counter()
    bad = 0
    for seed in seeds:
        world = run(seed, trace=arguments.trace)
        stats.update(world.stats)
        if world.trace_lines is not None:
            print("\n".join(world.trace_lines))
        if world.violations or arguments.seed is not None:
            print(f"seed {seed}: {'; '.join(world.violations) or 'everything held'}\n  {world.options}")
        bad += bool(world.violations)
    seconds = time.perf_counter() - begun
    print(f"{len(seeds)} seeds, {bad} with a violation, {len(seeds) / seconds:.1f} seeds/s")
    print(", ".join(f"{name} {count}" for name, count in sorted(stats.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
