"""`python -m chaos.check.selftest --histories N --seed S`: the two checkers of linearizability against each other.

On random histories, right and wrong: what the search (wgl.py) accepts the witness (witness.py) must accept; what the
witness misses is counted. Exit code 1 on a disagreement, and the seed of the history that shows it is printed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass, field

from .models import Register
from .random_histories import history, shape_of
from .wgl import search
from .witness import impossible

STEPS = 200_000


@dataclass
class Tally:
    """What was found in so many histories."""

    histories: int = 0
    legal: int = 0
    rejected: int = 0  # by both
    missed: int = 0  # by the witness
    undecided: int = 0  # the search used up its budget
    undecided_rejected: int = 0
    wrong: list[str] = field(default_factory=list)  # seeds of histories that the witness alone rejects

    def told(self) -> str:
        """In one line."""
        illegal = self.rejected + self.missed
        return (
            f"{self.histories} histories: {self.legal} legal, {illegal} illegal; the witness rejected {self.rejected}, "
            f"missed {self.missed}, and wrongly rejected {len(self.wrong)}; the search gave up on {self.undecided}, of "
            f"which the witness rejected {self.undecided_rejected}"
        )


def tallied(histories: int, seed: int) -> Tally:
    """So many histories, of seeds that begin with this one."""
    tally = Tally()
    for number in range(histories):
        name = f"{seed}/{number}"
        rng = random.Random(name)
        operations = history(shape_of(rng), rng)
        rejected = impossible(operations) is not None
        legal = search(Register(operations), STEPS).legal
        tally.histories += 1
        if legal is None:
            tally.undecided += 1
            tally.undecided_rejected += rejected
        elif legal:
            tally.legal += 1
            if rejected:
                tally.wrong.append(name)
        elif rejected:
            tally.rejected += 1
        else:
            tally.missed += 1
    return tally


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m chaos.check.selftest", description="checkers against each other")
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    began_s = time.monotonic()
    tally = tallied(chosen.histories, chosen.seed)
    print(f"{tally.told()}; {time.monotonic() - began_s:.1f} s")
    for name in tally.wrong[:5]:
        print(f"the witness rejected a history that has an order: seed {name}")
    return 1 if tally.wrong or not tally.legal or not tally.rejected else 0


if __name__ == "__main__":
    sys.exit(main())
