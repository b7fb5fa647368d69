"""`python -m bench`: measure, print each figure as it comes, store JSON and a picture in bench/out/.

A shell. Exit code 0 if every group that was asked for could be measured; a missed target is printed, not an exit code,
because figures depend on the machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from node.dev import DevError

from . import backups, commits, failover, gets, large, logins, machine, options, policies, puts, report, transit
from .figures import Results
from .processes import BenchError
from .targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .figures import Figure
    from .options import Options

SIMPLE = {
    "commits": commits.measure,
    "puts": puts.measure,
    "gets": gets.measure,
    "logins": logins.measure,
    "transit": transit.measure,
    "policies": policies.measure,
    "failover": failover.measure,
    "backup": backups.measure,
}


def figures_of(given: Options, results: Results, folder: Path) -> Iterator[Figure]:
    """All figures; a group that fails is noted and the next one begins."""
    groups: list[tuple[str, Iterator[Figure]]] = [
        (name, measure(given.sizes, folder / name)) for name, measure in SIMPLE.items() if name in given.groups
    ]
    wanted = [name for name in large.GROUPS if name in given.groups]
    if wanted:
        groups.append((" ".join(wanted), large.measure(given.sizes, folder / "large", wanted)))
    for name, figures in groups:
        (folder / ("large" if name.split()[0] in large.GROUPS else name)).mkdir()
        try:
            for figure in figures:
                figure.load_average = machine.load_average()
                yield figure
        except (BenchError, DevError, OSError, subprocess.SubprocessError) as error:
            results.failures[name] = f"{type(error).__name__}: {error}"


def main(arguments: list[str]) -> int:
    """The exit code."""
    given = options.parse(arguments)
    folder = Path(tempfile.mkdtemp(prefix="strongroom-bench-"))
    try:
        results = Results(machine.describe(folder))
        print(report.machine_line(results.machine), flush=True)
        for figure in figures_of(given, results, folder):
            results.figures.append(figure)
            print("\n".join(report.figure_lines(figure, TARGETS)), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _store(given, results)
    lines = report.missed(results, TARGETS)
    print("\nmissed:" if lines else "\nno must was missed")
    for line in lines:
        print(f"  {line}")
    return 1 if results.failures else 0


def _store(given: Options, results: Results) -> None:
    from . import plot

    given.out.mkdir(parents=True, exist_ok=True)
    text = report.as_json(results, TARGETS)
    for path in (given.out / "figures.json", given.json):
        if path is not None:
            path.write_text(text, encoding="utf-8")
    for ending in ("png", "svg"):
        plot.draw(results, TARGETS, given.out / f"figures.{ending}")
    print(f"\nstored in {given.out}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
