"""The command line: list, run, check, report, sim, replay, shrink, env.

Exit codes: 0 everything held, 1 a violation, 2 unknown (nothing could be said, or not of everything), 3 the harness or
the target failed, or the command line is wrong. What is printed on stdout is for people; `--json` prints one line for
programs.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import registry, verdict
from .plan import PlanError, all_named, named
from .registry import UnknownNameError
from .runner import RUNS
from .targets.base import TargetError
from .targets.given import Access

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED = 3


class _Parser(argparse.ArgumentParser):
    """What is wrong with a command line is no verdict: argparse's own code for it means "unknown" here."""

    def error(self, message: str) -> NoReturn:
        """See ArgumentParser."""
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"{self.prog}: error: {message}\n")


def _count(text: str) -> int:
    """A number of runs, faults or tries. Raises ValueError: with none of them everything would seem to hold."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="scenarios, targets, faults, workloads and checkers")
    run = commands.add_parser("run", help="run scenarios, check them, write their reports", allow_abbrev=False)
    run.add_argument("scenario", nargs="+", help="names from `list`, or TOML files")
    run.add_argument("--target", help="local, netns, compose or sim; or URL,URL,URL of a cluster of your own")
    _take_access(run)
    run.add_argument("--seed", type=int, help="of the first run (default: drawn and printed)")
    run.add_argument("--runs", type=_count, help="so many, each with the next seed; of sim, so many seeds")
    run.add_argument("--times", type=_count, help="how often each fault comes, instead of what the scenario says")
    run.add_argument("--folder", type=Path, default=Path(RUNS), help=f"where run folders are made (default {RUNS})")
    run.add_argument("--keep", choices=("all", "failed"), default="all", help="which run folders stay")
    run.add_argument("--json", action="store_true", help="a line of JSON for each run")
    check = commands.add_parser("check", help="judge stored runs again")
    check.add_argument("run", nargs="+", type=Path)
    report = commands.add_parser("report", help="write report.html and junit.xml of stored runs again")
    report.add_argument("run", nargs="+", type=Path)
    report.add_argument("--edn", type=Path, help="and the history in Jepsen's form to this file")
    replay = commands.add_parser("replay", help="run the plan of a stored run again", allow_abbrev=False)
    _take_access(replay)
    replay.add_argument("run", type=Path)
    replay.add_argument("--folder", type=Path, default=Path(RUNS))
    shrink = commands.add_parser(
        "shrink", help="find fewer faults with which a stored run still fails", allow_abbrev=False
    )
    _take_access(shrink)
    shrink.add_argument("run", type=Path)
    shrink.add_argument("--tries", type=_count, default=3, help="runs of a smaller plan before it counts as held")
    shrink.add_argument("--folder", type=Path, default=Path(RUNS))
    commands.add_parser("sim", help="the deterministic simulator; its own options follow", add_help=False)
    env = commands.add_parser("env", help="what this machine can do; remove what runs left behind")
    env.add_argument("action", choices=("check", "clean"), nargs="?", default="check")
    return parser


class _Refuse(argparse.Action):
    """A token on a command line is seen by everybody on the machine; what was given is not repeated."""

    def __call__(
        self, parser: argparse.ArgumentParser, _namespace: argparse.Namespace, _values: object,
        _option: str | None = None,
    ) -> None:  # fmt: skip
        parser.error("a token is not given on the command line: --token-file FILE, or STRONGROOM_TOKEN")


def _take_access(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--token-file", type=Path, help="of an administrator of your cluster (or STRONGROOM_TOKEN)")
    parser.add_argument("--token", action=_Refuse, help=argparse.SUPPRESS)
    parser.add_argument("--ca-file", type=Path, help="PEM authorities of your cluster's certificates")
    parser.add_argument("--hook", help="command that breaks and heals your cluster: HOOK inject|heal FAULT NODE…")


def _access(said: argparse.Namespace) -> Access:
    return Access(said.token_file, said.ca_file, said.hook)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["sim"]:
        from .sim.__main__ import main as sim

        sys.argv = ["python -m chaos sim", *given[1:]]
        return sim()
    said = _parser().parse_args(given)
    actions = {
        "list": _list, "run": _run, "check": _check, "report": _report, "replay": _replay, "shrink": _shrink,
        "env": _env,
    }  # fmt: skip
    try:
        return actions[said.command](said)
    except (PlanError, UnknownNameError, TargetError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("chaos: interrupted", file=sys.stderr)
        return FAILED
    except Exception:  # noqa: BLE001 - Python's own code for it would be that of a violation
        traceback.print_exc()
        return FAILED


def _list(_said: argparse.Namespace) -> int:
    print("scenarios")
    for scenario in all_named():
        print(f"  {scenario.name:24} {scenario.about} [{', '.join(scenario.targets)}]")
    for title, table, make in (
        ("faults", registry.NEMESES, registry.nemesis),
        ("workloads", registry.WORKLOADS, registry.workload),
    ):
        print(title)
        for name in sorted(table):
            print(f"  {name:24} {make(name).about}")
    print("checkers")
    for name, verified, not_verified in verdict.described():
        print(f"  {name:24} {verified} Not: {not_verified}")
    print("targets\n  " + ", ".join([*sorted(registry.TARGETS), "sim", "URL,URL,URL"]))
    return 0


def _run(said: argparse.Namespace) -> int:
    from .campaign import Request, run_all

    return run_all(Request(
        [named(name) for name in said.scenario], said.target, said.seed, said.runs, said.times, said.folder, said.keep,
        said.json, _access(said),
    ))  # fmt: skip


def _check(said: argparse.Namespace) -> int:
    codes = []
    for path in said.run:
        try:
            codes.append(verdict.judge_folder(path, say=print))
        except (PlanError, UnknownNameError, OSError, ValueError) as error:  # what the others say is not lost
            print(f"chaos: {path}: {error}", file=sys.stderr)
            codes.append(FAILED)
    return verdict.worst_code(codes)


def _report(said: argparse.Namespace) -> int:
    from .report import write

    for path in said.run:
        write.all_files(path)
        print(path / "report.html")
    if said.edn is not None:
        write.edn_file(said.run, said.edn)
    return 0


def _replay(said: argparse.Namespace) -> int:
    from .campaign import repeat

    return repeat(verdict.stored_plan(said.run), said.folder, _access(said))


def _shrink(said: argparse.Namespace) -> int:
    from .shrink import shrink

    return shrink(said.run, said.folder, said.tries, _access(said), print)


def _env(said: argparse.Namespace) -> int:
    from . import env

    return env.clean(print) if said.action == "clean" else env.check(print)

