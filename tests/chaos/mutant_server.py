"""`strongroom` with one thing wrong in it: `python -m tests.chaos.mutant_server MUTANT server --config FILE`."""

from __future__ import annotations

import sys


def main() -> None:
    """The named mutant's patch is on, and the command line runs."""
    from tests.chaos.product_mutants import MUTANTS

    name = sys.argv.pop(1)
    MUTANTS[name].patch()
    from node.__main__ import main as strongroom

    strongroom()


if __name__ == "__main__":
    main()
