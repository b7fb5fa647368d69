"""`python -m chaos.gate`: everything that CI runs of this package, in order, in about eight minutes of two cores.

First what judges is judged, then what is cheap and replayable, then real processes, then that faults of the product
would have been found. `--night` goes round and round for so many minutes and collects times (night.py).

Exit codes as everywhere: 0 all held, 1 a violation, 2 unknown, 3 a step failed. What this machine cannot do is skipped,
with its reason, and is no success: the table says so. What did not hold for its time alone, or could not be told, is
run once more, with other seeds. Invariant: a step that ended early is never counted as held.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import env, verdict
from .cli import _Parser
from .targets.base import PREFIX
from .targets.postgres import why_no_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FAILED: Final = 3
SIM_S: Final = 90.0
SIM_BATCH: Final = 40
END_S: Final = 90.0  # for a step that was asked to end to have cleaned up
MUTANTS: Final = "tests.chaos.product_mutants_table"
POWER: Final = "tests.power"
OF_TIME: Final = frozenset({"live", "recover", "rates"})  # what a machine that does other things, too, can spoil
WORDS: Final = {0: "held", 1: "VIOLATED", 2: "unknown", FAILED: "FAILED"}


@dataclass(frozen=True)
class Step:
    """One part of the gate: a command; of the simulator, again and again with the next seeds until `for_s` are over."""

    name: str
    words: tuple[str, ...]  # behind the interpreter
    limit_s: float
    why_not: str = ""
    for_s: float = 0.0


@dataclass
class Outcome:
    """What a step came to."""

    name: str
    code: int
    seconds: float
    told: str
    folders: list[Path] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # of the simulator
    is_skipped: bool = False

    @property
    def word(self) -> str:
        """For the table."""
        return "skipped" if self.is_skipped else WORDS[self.code]


def day(seed: int, folder: Path) -> list[Step]:
    """The order of the proof."""
    return [
        Step("checkers", ("-m", "chaos.check.selftest", "--histories", "10000", "--seed", str(seed)), 120),
        simulator(seed, SIM_S),
        power(seed, cycles=60, faults=120, turns=4, rounds=3),
        runs("local: faults of the leader", ["matrix"], "local", seed, folder),
        runs("netns: faults of the leader", ["matrix"], "netns", seed, folder, env.namespaces()),
        runs("netns: packets", ["packets"], "netns", seed, folder, env.packets()),
        runs("PostgreSQL", ["backups-postgres"], "local", seed, folder, why_no_postgres()),
        mutants(),
    ]


def simulator(seed: int, for_s: float) -> Step:
    """Fresh seeds, as many as the time allows."""
    words = ("-m", "chaos.sim", "--seeds", str(SIM_BATCH), "--first", str(seed))
    return Step("simulator, fresh seeds", words, for_s + 300, for_s=for_s)


def power(seed: int, **how_many: int) -> Step:
    """Power cuts, rot and kills of the journal and the files."""
    counts = [word for name, count in how_many.items() for word in (f"--{name}", str(count))]
    words = ("-m", POWER, "--seed", str(seed), *counts)
    return Step("power cuts", words, 600, "" if _is_there(POWER) else f"{POWER} is not here: no checkout")


def runs(name: str, scenarios: Sequence[str], target: str, seed: int, folder: Path, why_not: str = "") -> Step:
    """Scenarios on real processes."""
    words = ("-m", "chaos", "run", *scenarios, "--target", target, "--seed", str(seed), "--folder", str(folder))
    return Step(name, (*words, "--json"), 900, why_not)


def mutants() -> Step:
    """Three mutants of the product, others each day."""
    words = ("-m", MUTANTS, "--rotate", "3")
    return Step("mutants of the product", words, 600, "" if _is_there(MUTANTS) else f"{MUTANTS} is not here")


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def perform(step: Step, log: Path) -> Outcome:
    """The step has run, or is skipped; its output is in the log."""
    if step.why_not:
        return Outcome(step.name, 0, 0.0, step.why_not, is_skipped=True)
    began_s = time.monotonic()
    if step.for_s:
        outcome = _simulated(step, log)
    else:
        code, lines = _run(step.words, log, step.limit_s)
        ran = _ran(lines)
        if code and ran and all(map(_spoilt, ran)):  # once more, with other seeds: twice in a row is no accident
            words = [str(int(word) + 1) if before == "--seed" else word for before, word in pairwise(("", *step.words))]
            code, lines = _run(words, log, step.limit_s)
            ran += _ran(lines)  # what the first one said stays said
        told = "; ".join(map(_told, ran)) or (lines[-1] if lines else "it said nothing")
        code = code if lines or code else FAILED  # a program that says nothing has done nothing
        outcome = Outcome(step.name, code, 0.0, told, [Path(one["folder"]) for one in ran])
    outcome.seconds = time.monotonic() - began_s
    return outcome


def _ran(lines: Sequence[str]) -> list[dict[str, Any]]:
    """What `chaos run --json` said of each run."""
    return [json.loads(line) for line in lines if line.startswith('{"scenario"')]


def _spoilt(said: dict[str, Any]) -> bool:
    """The run held, but for what it measured in seconds, or for what could not be told: never for both at once, because
    what nobody can tell of a run that was also too late may be why it was.
    """
    if said["code"] == 0:
        return True
    if said["code"] == FAILED:  # a run that broke off says nothing of what it did not see
        return False
    with contextlib.suppress(OSError, ValueError, KeyError):
        results = json.loads((Path(said["folder"]) / "results.json").read_text(encoding="utf-8"))
        found = {(one["checker"], one["valid"]) for one in results["verdicts"]}
        untold = {checker for checker, valid in found if valid == "unknown"}
        wrong = {checker for checker, valid in found if valid == "violated"}
        return bool(untold | wrong) and wrong <= OF_TIME and (not wrong or untold <= OF_TIME)
    return False


def _simulated(step: Step, log: Path) -> Outcome:
    """Batches of seeds, each with its report, until the time is over or one does not hold."""
    end_s = time.monotonic() + step.for_s
    first = at = int(step.words[step.words.index("--first") + 1])
    counts: Counter[str] = Counter()
    report = log.with_suffix(".json")
    while True:
        words = [str(at) if before == "--first" else word for before, word in pairwise(("", *step.words))]
        code, lines = _run([*words, "--json", str(report)], log, step.limit_s)
        said = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        report.unlink(missing_ok=True)
        counts["seeds"] += said.get("seeds", 0)
        for config in said.get("configs", {}).values():
            counts.update(config["counts"])
        if code or time.monotonic() >= end_s:
            break
        at += SIM_BATCH
    faults = sum(count for name, count in counts.items() if name.startswith("fault: "))
    told = f"{counts['seeds']} seeds from {first} on, {faults} faults, {counts['acknowledged']} acknowledged writes"
    if code:
        told += "; " + " ".join(line.strip() for line in lines if line.startswith(("seed ", "  replay")))
    return Outcome(step.name, code, 0.0, told, counts=counts)


def _told(said: dict[str, Any]) -> str:
    """Of one run: what did not hold, by checker."""
    found: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        results = json.loads((Path(said["folder"]) / "results.json").read_text(encoding="utf-8"))
        found = [f"{one['checker']} {one['valid']}: {one['summary']}" for one in results["verdicts"]
                 if one["valid"] in {"violated", "unknown"}]  # fmt: skip
    what = "; ".join(found) or said["why"] or "held"
    return f"{said['scenario']}, seed {said['seed']}: {what}"


def _run(words: Sequence[str], log: Path, limit_s: float) -> tuple[int, list[str]]:
    """The exit code of one command, FAILED if it took too long or has another one, and its lines."""
    with log.open("ab") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=errors, text=True, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=limit_s)
            code = process.returncode
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as why:
            process.send_signal(signal.SIGTERM)  # it removes what it made
            try:
                said, _ = process.communicate(timeout=END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                said, _ = process.communicate()
            if isinstance(why, KeyboardInterrupt):
                raise
            said, code = said + f"it took longer than {limit_s:g} s\n", FAILED
        errors.write(said.encode())
    return (code if code in WORDS else FAILED), [line for line in said.splitlines() if line.strip()]


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """For people."""
    yield f"{'step':30} {'result':9} {'s':>5}  what"
    for one in outcomes:
        yield f"{one.name:30} {one.word:9} {one.seconds:5.0f}  {one.told}"
    yield f"{'in all':30} {'':9} {sum(one.seconds for one in outcomes):5.0f}"


def once(seed: int, work: Path, say: Callable[[str], None]) -> int:
    """Each step of the day; run folders that held are removed."""
    outcomes = []
    for number, step in enumerate(day(seed, work / "runs")):
        outcome = perform(step, work / f"{number}.log")
        outcomes.append(outcome)
        say(f"{outcome.name}: {outcome.word} ({outcome.seconds:.0f} s) {outcome.told}")
        if outcome.code == 0:
            for folder in outcome.folders:
                shutil.rmtree(folder, ignore_errors=True)
    say("\n" + "\n".join(table(outcomes)))
    code = verdict.worst_code([one.code for one in outcomes])
    if code:
        say(f"logs and runs: {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = _Parser(prog="python -m chaos.gate", description=__doc__)
    parser.add_argument("--seed", type=int, help="of everything (default: drawn and printed)")
    parser.add_argument("--night", action="store_true", help="scenarios on every target of processes, again and again")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the night")
    parser.add_argument("--out", type=Path, default=Path("chaos-night.json"), help="where the night's numbers go")
    said = parser.parse_args(arguments)
    seed = random.SystemRandom().getrandbits(30) if said.seed is None else said.seed
    work = Path(tempfile.mkdtemp(prefix=f"{PREFIX}gate-"))
    print(f"seed {seed}; {os.cpu_count()} cores; {work}", flush=True)
    try:
        if said.night:
            from .night import night

            code = night(seed, work, said.minutes * 60, said.out, lambda line: print(line, flush=True))
            if code:
                print(f"logs and runs: {work}")
            else:
                shutil.rmtree(work, ignore_errors=True)
            return code
        return once(seed, work, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print(f"interrupted; logs and runs: {work}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
