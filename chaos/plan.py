"""A scenario and a seed make a plan: every fault with its time, its victims and its own seed, printed and saved.

Pure: reads the scenario's text, no clock, no cluster. The phase of each fault is drawn, so that it meets elections,
leases and snapshots at every moment. A plan says what is meant to happen; the history says what did.

A scenario is TOML; every key but `name` has a default:

    name = "leader-faults"
    about = "one sentence"
    targets = ["local", "netns"]        # where it can run, the usual one first
    rate_per_s = 150                    # operations in all, open loop
    warm_up_s = 3
    workloads = { register = 4, set = 1 }   # with their shares
    order = "random"                    # or "given"
    at_once = 1                         # faults of different kinds that hold at the same time
    end = "heal"                        # or "core": a majority heals, the others stay broken for ever
    checks = []                         # more checkers than the workloads name; [] adds the usual ones
    [cluster]                           # TargetSettings
    nodes = 3
    [[faults]]
    nemesis = "kill"
    select = "leader"                   # leader follower minority majority all one none, or a node's id
    hold_s = [1.0, 3.0]
    quiet_s = [1.5, 3.0]
    times = 3
    write_gap_s = 2.0                   # else the nemesis's own
"""

from __future__ import annotations

import random
import re
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from .targets.base import TargetSettings

SCENARIOS: Final = Path(__file__).with_name("scenarios")
REGRESSIONS: Final = Path(__file__).with_name("regressions")
SELECTORS: Final = ("leader", "follower", "minority", "majority", "all", "one", "none")
ENDS: Final = ("heal", "core")
ORDERS: Final = ("random", "given")
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
T = TypeVar("T")


class PlanError(Exception):
    """The scenario says something that cannot be; the sentence says what."""


@dataclass(frozen=True)
class FaultSpec:
    """One line of [[faults]]."""

    nemesis: str
    select: str = "leader"
    hold_s: tuple[float, float] = (1.0, 3.0)
    quiet_s: tuple[float, float] = (1.5, 3.0)
    times: int = 1
    write_gap_s: float | None = None
    options: dict[str, Any] = field(default_factory=dict)  # the nemesis's own


@dataclass(frozen=True)
class Scenario:
    """As a file says it."""

    name: str
    about: str = ""
    targets: tuple[str, ...] = ("local",)
    rate_per_s: float = 150.0
    warm_up_s: float = 3.0
    cool_down_s: float = 3.0  # after everything healed, load goes on for so long
    workloads: dict[str, float] = field(default_factory=lambda: {"register": 1.0})
    order: str = "random"
    at_once: int = 1
    end: str = "heal"
    checks: tuple[str, ...] = ()
    min_rate_per_s: float = 10.0  # acknowledged operations before the first fault, or the run is no run
    cluster: TargetSettings = field(default_factory=TargetSettings)
    faults: tuple[FaultSpec, ...] = ()


@dataclass(frozen=True)
class Step:
    """One fault of a plan: begins `quiet_s` after the one before it ended, holds for `hold_s`."""

    number: int
    nemesis: str
    select: str
    quiet_s: float
    hold_s: float
    seed: int
    write_gap_s: float | None
    options: dict[str, Any]
    lane: int = 0  # steps of one lane follow each other; lanes run side by side


@dataclass(frozen=True)
class Plan:
    """A scenario with a seed, expanded."""

    scenario: Scenario
    seed: int
    target: str
    steps: tuple[Step, ...]
    seeds: int = 0  # of the simulator; 0: as many as the scenario is long

    def as_json(self) -> dict[str, Any]:
        """For plan.json."""
        return asdict(self)

    @property
    def length_s(self) -> float:
        """How long it takes if nothing waits."""
        lanes: dict[int, float] = {}
        for step in self.steps:
            lanes[step.lane] = lanes.get(step.lane, 0.0) + step.quiet_s + step.hold_s
        return self.scenario.warm_up_s + max(lanes.values(), default=0.0) + self.scenario.cool_down_s


def expand(
    scenario: Scenario, seed: int, target: str | None = None, times: int | None = None, seeds: int = 0
) -> Plan:
    """The plan of that seed; `times` replaces how often each fault comes. Raises PlanError."""
    if times is not None and times < 1:
        raise PlanError(f"each fault comes at least once, not {times} times")
    chosen = target or scenario.targets[0]
    rng = random.Random(f"{scenario.name}/{seed}")
    specs = [spec for spec in scenario.faults for _ in range(spec.times if times is None else times)]
    if scenario.order == "random":
        rng.shuffle(specs)
    steps = tuple(
        Step(
            number, spec.nemesis, spec.select, round(rng.uniform(*spec.quiet_s), 3),
            round(rng.uniform(*spec.hold_s), 3), rng.getrandbits(32), spec.write_gap_s, dict(spec.options),
            number % scenario.at_once,
        )
        for number, spec in enumerate(specs)
    )  # fmt: skip
    return Plan(scenario, seed, chosen, steps, seeds)


def load(path: Path) -> Scenario:
    """The scenario of a file. Raises PlanError."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path.name}: {error.strerror}") from error


def named(name: str) -> Scenario:
    """One of the scenarios that come along, by its name, or a file's. Raises PlanError."""
    for folder in (SCENARIOS, REGRESSIONS):
        file = folder / f"{name}.toml"
        if file.is_file():
            return load(file)
    if name.endswith(".toml"):
        return load(Path(name))
    raise PlanError(f"no scenario is called {name}")


def all_named() -> list[Scenario]:
    """Those that come along, by name."""
    return [load(file) for folder in (SCENARIOS, REGRESSIONS) for file in sorted(folder.glob("*.toml"))]


def parse(text: str) -> Scenario:
    """A scenario from its text. Raises PlanError with the key that is wrong."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"not TOML: {error}") from error
    if not isinstance(said.get("name"), str) or not said["name"]:
        raise PlanError("a scenario needs a name")
    if not NAME.fullmatch(said["name"]):
        raise PlanError("a scenario's name is made of letters, digits, dots and dashes: folders and mounts carry it")
    faults = tuple(_fault(one) for one in said.pop("faults", ()))
    cluster = _made(TargetSettings, said.pop("cluster", {}), "cluster")
    for key in ("targets", "checks"):
        if key in said:
            said[key] = tuple(said[key])
    scenario = _made(Scenario, {**said, "faults": faults, "cluster": cluster}, "scenario")
    _one_of("order", scenario.order, ORDERS)
    _one_of("end", scenario.end, ENDS)
    if not scenario.targets or not scenario.workloads or scenario.at_once < 1 or scenario.rate_per_s <= 0:
        raise PlanError("targets and workloads are not empty, at_once is at least 1, rate_per_s more than 0")
    if any(not share > 0 for share in scenario.workloads.values()):
        raise PlanError("the share of each workload is more than 0")
    if scenario.end == "core" and scenario.at_once > 1:
        raise PlanError("a run that ends with a core has one fault at a time: what stays broken is the last one")
    return scenario


def _fault(said: dict[str, Any]) -> FaultSpec:
    for key in ("hold_s", "quiet_s"):
        if key in said:
            value = said[key]
            pair = value if isinstance(value, list) else [value, value]
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
                raise PlanError(f"{key} is one number of seconds, or [least, most]")
            said[key] = (float(pair[0]), float(pair[1]))
    spec = _made(FaultSpec, said, "faults")
    if spec.times < 1:
        raise PlanError(f"{spec.nemesis} comes at least once: times is {spec.times}")
    if spec.select not in SELECTORS and not spec.select.startswith("n"):
        raise PlanError(f"select is one of {', '.join(SELECTORS)}, or a node's id, not {spec.select}")
    return spec


def _made(kind: type[T], said: dict[str, Any], where: str) -> T:
    try:
        return kind(**said)
    except TypeError as error:
        raise PlanError(f"{where}: {str(error).replace('__init__() ', '')}") from error


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise PlanError(f"{key} is one of {', '.join(allowed)}, not {value}")
