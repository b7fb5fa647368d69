"""The fuzzer: every decoder that reads what another machine, a disk, or the author of a policy gives.

    python -m tests.hostile.fuzz --seconds 600              all targets share the time
    python -m tests.hostile.fuzz --target envelope --seed 7 --seconds 60
    python -m tests.hostile.fuzz --target envelope --input 5352…     one input, with its traceback

Ends with 1 if anything was found. What is found is written, with `--keep`, beside the inputs of earlier findings in
tests/hostile/corpus, which every run begins with.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile import (
    targets_archive,
    targets_files,
    targets_keys,
    targets_links,
    targets_node,
    targets_policy,
    targets_state,
)
from tests.hostile.running import Finding, Run, Target, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).with_name("corpus")
SLICE_S = 0.25
SEED = 1
ADDRESS_SPACE_BYTES = 4 << 30
TARGETS = {
    target.name: target
    for room in (
        targets_links, targets_state, targets_files, targets_keys, targets_policy, targets_node, targets_archive,
    )
    for target in room.ALL
}


def known(target: Target) -> tuple[bytes, ...]:
    """Inputs that were once too much for the target."""
    file = CORPUS / f"{target.name}.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return tuple(bytes.fromhex(line) for line in lines if line and not line.startswith("#"))


def fuzz(targets: list[Target], seconds: float, seed: int) -> list[tuple[Run, float]]:
    """Each target's run, and the seconds it got, by turns so that all of them get the same."""
    runs = [(Run(target, seed, known(target)), [0.0]) for target in targets]
    stepping = [(run.steps(), run, spent) for run, spent in runs]
    rounds = max(1, round(seconds / len(stepping) / SLICE_S))
    share = seconds / len(stepping) / rounds
    for _ in range(rounds):
        for steps, _run, spent in stepping:
            began = now = time.monotonic()
            while now - began < share:
                next(steps)
                now = time.monotonic()
            spent[0] += now - began
    return [(run, spent[0]) for run, spent in runs]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What decoders log of bad input is not wanted here."""
    logger = logging.getLogger("strongroom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def keep(finding: Finding) -> None:
    """The input is tried by every run from now on."""
    CORPUS.mkdir(exist_ok=True)
    with (CORPUS / f"{finding.target}.txt").open("a") as file:
        file.write(f"# {finding.what}\n{finding.data.hex()}\n")


def replay(targets: list[Target], data: bytes) -> int:
    """What is wrong with how each target bears the input, memory and time among it; then its traceback, if any."""
    wrong = {target.name: judge(target, data, measured=True) for target in targets}
    for name, what in wrong.items():
        print(f"{name}: {what or 'nothing'}")
    for target in targets:
        with contextlib.suppress(*target.raises):
            target.run(data)
    return 1 if any(wrong.values()) else 0


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(description="Fuzz decoders: links, disks, keys, policies, tokens, audit, archives")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--input", help="hexadecimal; run it once")
    parser.add_argument("--keep", action="store_true", help="write findings to the corpus")
    options = parser.parse_args()
    chosen = [TARGETS[name] for name in options.target or TARGETS]
    if options.input is not None:
        return replay(chosen, bytes.fromhex(options.input))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    found = []
    with quiet():
        runs = fuzz(chosen, options.seconds, options.seed)
    for run, spent_s in runs:
        rate = run.inputs / max(spent_s, 0.001)
        print(f"{run.target.name:20} {run.inputs:9} inputs {rate:8.0f}/s {len(run.corpus):5} kept {run.lines:4} lines")
        found += run.findings
    for finding in found:
        print(finding)
        if options.keep:
            keep(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
