"""Many seeds: runs them in as many processes as are wanted, counts, and says what happened in each configuration.

A worker is this program again (`--worker`), which prints one JSON line a seed: nothing is shared, and an exception in
one seed is that seed's failure; so is the end of a worker, and another one goes on behind it. The rate is seeds per
second of processor time, by the number of nodes.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from .options import CONFIGS, Forced, expand
from .run import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PROGRAM = (sys.executable, "-m", "chaos.sim")
SHOWN_EVERY = 200
OPERATIONS = ("acknowledged", "unknown", "reads", "elections", "installs", "starts", "starts that recover", "messages")


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run; `config` and `script` are forced if given."""

    first: int
    count: int
    jobs: int = 1
    config: str | None = None
    script: str | None = None
    forced: Forced | None = None

    def words(self) -> list[str]:
        """What is forced, as `python -m chaos.sim` takes it."""
        words = ["--config", self.config] if self.config else []
        words += ["--script", self.script] if self.script else []
        return words + (self.forced.words() if self.forced is not None else [])


@dataclass(slots=True)
class Tally:
    """What has been counted of one configuration."""

    seeds: int = 0
    failed: int = 0
    stats: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Report:
    """What has been counted of all."""

    configs: dict[str, Tally] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)  # of processor time, by nodes
    seeds: dict[int, int] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, line: dict[str, Any]) -> None:
        """One seed is over."""
        tally = self.configs.setdefault(line["config"], Tally())
        tally.seeds += 1
        tally.stats.update(line["stats"])
        nodes = line["nodes"]
        self.seeds[nodes] = self.seeds.get(nodes, 0) + 1
        self.seconds[nodes] = self.seconds.get(nodes, 0.0) + line["seconds"]
        if line["violations"]:
            tally.failed += 1
            self.failures.append(line)

    def rates(self) -> dict[int, float]:
        """Seeds a second of one core, by nodes."""
        return {nodes: self.seeds[nodes] / seconds for nodes, seconds in sorted(self.seconds.items()) if seconds}

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {
            "seeds": sum(self.seeds.values()),
            "seeds_per_second_per_core": {str(nodes): round(rate, 2) for nodes, rate in self.rates().items()},
            "configs": {
                name: {"seeds": tally.seeds, "failed": tally.failed, "counts": dict(sorted(tally.stats.items()))}
                for name, tally in sorted(self.configs.items())
            },
            "failures": sorted(self.failures, key=lambda line: line["seed"]),
        }

    def table(self) -> Iterator[str]:
        """A row a configuration, and what broke in it."""
        yield f"{'configuration':14}{'seeds':>7}{'failed':>7}" + "".join(f"{name:>20}" for name in OPERATIONS)
        for name in (name for name in CONFIGS if name in self.configs):
            tally = self.configs[name]
            counts = "".join(f"{tally.stats[kind]:>20}" for kind in OPERATIONS)
            yield f"{name:14}{tally.seeds:>7}{tally.failed:>7}{counts}"
            yield "    " + _kinds(tally.stats, "fault: ") or "-"
            yield "    " + _kinds(tally.stats, "crashes (")
            if scripts := _kinds(tally.stats, "script: "):
                yield "    " + scripts


def _kinds(stats: Counter[str], prefix: str) -> str:
    return ", ".join(
        f"{name.removeprefix(prefix).removesuffix(')')} {count}"
        for name, count in sorted(stats.items())
        if name.startswith(prefix)
    )


def one(seed: int, config: str | None, script: str | None, forced: Forced | None = None) -> dict[str, Any]:
    """A seed, as a line of a report. An exception is a violation."""
    options = expand(seed, config, script, forced)
    begun_s = time.process_time()
    line: dict[str, Any] = {"seed": seed, "config": options.config, "script": options.script, "nodes": options.nodes}
    try:
        world = run(seed, options=options)
        line |= {"violations": world.violations, "stats": dict(world.stats)}
    except Exception:  # noqa: BLE001 - the others go on, this one is shown
        line |= {"violations": [f"exception: {traceback.format_exc(limit=-3)}"], "stats": {}}
    return line | {"seconds": time.process_time() - begun_s}


def work(job: Job) -> None:
    """A worker: every `jobs`-th seed, a line each."""
    for seed in range(job.first, job.first + job.count, job.jobs):
        print(json.dumps(one(seed, job.config, job.script, job.forced)), flush=True)


def campaign(job: Job, say: Callable[[str], None] = print) -> Report:
    """All seeds are run; failures and progress are said as they come."""
    report = Report()
    begun_s = time.perf_counter()
    for number, line in enumerate(_lines(job), 1):
        report.add(line)
        if line["violations"]:
            say(f"seed {line['seed']}: {'; '.join(line['violations'])}\n  replay: {replay(line['seed'], job)}")
        if number % SHOWN_EVERY == 0:
            rate = number / (time.perf_counter() - begun_s)
            print(f"{number} of {job.count}, {len(report.failures)} failed, {rate:.1f}/s", file=sys.stderr, flush=True)
    return report


def replay(seed: int, job: Job) -> str:
    """The command that runs this seed again."""
    return " ".join(["python -m chaos.sim --seed", str(seed), *job.words(), "--trace"])


def _lines(job: Job) -> Iterable[dict[str, Any]]:
    if job.jobs == 1:
        for seed in range(job.first, job.first + job.count):
            yield one(seed, job.config, job.script, job.forced)
        return
    workers = [Worker(job, job.first + share) for share in range(min(job.jobs, job.count))]
    try:
        with selectors.DefaultSelector() as selector:
            for worker in workers:
                selector.register(worker.lines, selectors.EVENT_READ, worker)
            while selector.get_map():
                for key, _ in selector.select():
                    worker = key.data
                    line = worker.next()
                    if line is not None:
                        yield line
                        continue
                    selector.unregister(worker.lines)
                    failure = worker.failure()
                    if failure is None:
                        continue
                    yield failure
                    if worker.seed + job.jobs < job.first + job.count:
                        workers.append(Worker(job, worker.seed + job.jobs))
                        selector.register(workers[-1].lines, selectors.EVENT_READ, workers[-1])
    finally:
        for worker in workers:
            worker.end()


class Worker:
    """A process that runs every `jobs`-th seed from `first` on."""

    def __init__(self, job: Job, first: int) -> None:
        self.seed = first  # that it is at
        self._job = job
        words = ["--worker", "--first", str(first), "--jobs", str(job.jobs)]
        words += ["--seeds", str(job.first + job.count - first)]
        words += job.words()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [*PROGRAM, *words], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdout is not None
        self.lines: IO[str] = self._process.stdout

    def next(self) -> dict[str, Any] | None:
        """What it says of its seed; None: it has ended."""
        text = self.lines.readline()
        if not text.endswith("\n"):
            return None
        self.seed += self._job.jobs
        found: dict[str, Any] = json.loads(text)
        return found

    def failure(self) -> dict[str, Any] | None:
        """A line for the seed that it ended at, if it ended before its work did."""
        code = self._process.wait()
        if code == 0 and self.seed >= self._job.first + self._job.count:
            return None
        options = expand(self.seed, self._job.config, self._job.script, self._job.forced)
        return {
            "seed": self.seed, "config": options.config, "script": options.script, "nodes": options.nodes,
            "violations": [f"the process that ran it ended with {code}"], "stats": {}, "seconds": 0.0,
        }  # fmt: skip

    def end(self) -> None:
        """It runs no more."""
        self._process.kill()
        self._process.wait()
        self.lines.close()
