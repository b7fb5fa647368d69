"""`python -m chaos.sim --seed N` replays one seed; `--seeds N` runs a campaign. Exit 0 if everything held, else 1."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from .campaign import Job, campaign, work
from .options import CONFIGS, Forced, expand
from .run import run
from .scripts import SCRIPTS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos.sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--trace", action="store_true", help="and print what happened")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--config", choices=sorted(CONFIGS), help="this configuration for every seed")
    parser.add_argument("--script", choices=sorted(SCRIPTS), help="this attack in every seed")
    parser.add_argument("--faults", help="only these, with their weights: crash=2,pause=1")
    parser.add_argument("--nodes", type=int, default=3, help="with --faults")
    parser.add_argument("--core", action="store_true", help="with --faults: a majority alone is healed")
    parser.add_argument("--json", type=Path, help="write all counts to this file")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run and print."""
    arguments = _arguments()
    if arguments.seed is not None:
        return _replay(arguments)
    jobs = max(1, arguments.jobs)
    job = Job(arguments.first, arguments.seeds, jobs, arguments.config, arguments.script, _forced(arguments))
    if arguments.worker:
        work(job)
        return 0
    report = campaign(job)
    print("\n".join(report.table()))
    rates = ", ".join(f"{rate:.1f} with {nodes} nodes" for nodes, rate in report.rates().items())
    done = sum(report.seeds.values())
    print(f"{done} of {job.count} seeds, {len(report.failures)} with a violation; seeds/s per core: {rates}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(), indent=1), encoding="utf-8")
    return 1 if report.failures or done != job.count else 0  # a worker that died early has not held


def _forced(arguments: argparse.Namespace) -> Forced | None:
    if arguments.faults is None:
        return None
    return Forced.of(arguments.faults, arguments.nodes, core=arguments.core)


def _replay(arguments: argparse.Namespace) -> int:
    options = expand(arguments.seed, arguments.config, arguments.script, _forced(arguments))
    world = run(arguments.seed, options=options, trace=arguments.trace)
    if world.trace_lines is not None:
        print("\n".join(world.trace_lines))
    print(f"seed {arguments.seed}: {'; '.join(world.violations) or 'everything held'}\n  {options}")
    print(", ".join(f"{name} {count}" for name, count in sorted(world.stats.items())))
    return 1 if world.violations else 0


if __name__ == "__main__":
    sys.exit(main())
