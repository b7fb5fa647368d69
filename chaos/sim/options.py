"""What one seed means: every option of a run is drawn from the seed and can be printed.

Pure. The same seed and the same code give the same run, byte for byte, whatever PYTHONHASHSEED is. A configuration is
a name for the options that it fixes; a campaign says what happened in each of them.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from cluster.journal.modes import BUFFERED, FSYNC, MEMORY

from .scripts import SCRIPTS


@dataclass(frozen=True, slots=True)
class Options:
    """Times in simulated seconds, rates per simulated second."""

    seed: int
    config: str
    script: str | None  # an attack that is played again and again
    script_share: float  # of faults are that attack
    nodes: int
    chaos_s: float
    heal_s: float
    journal_mode: str  # cluster/journal/modes.py; all but fsync lose what counted, so one node at a time
    core: str | None  # a majority alone is healed; the others, for ever: dead, cut off or flapping
    writes_per_s: float
    reads_per_s: float
    turn_s: float  # from waking a node to its turn
    delay_s: float  # typical one-way delay of a link
    spike_chance: float  # of a message to be late
    spike_s: float
    datagram: bool  # messages are lost, doubled and reordered, instead of links that break
    loss: float
    duplicates: float
    fault_s: float  # average time between faults
    faults: dict[str, float]  # name of a method of Faults → its weight
    sync_s: float  # typical time of a sync
    slow_sync_chance: float
    drift: float  # of a node's clock rate
    batch_entries_max: int
    window_bytes_max: int
    log_entries_max: int
    log_keep_entries: int
    snapshot_part_bytes: int
    pipe_bytes: int  # that a socket to the journal's child takes

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


FAULTS: Final = {
    "crash": 0.14,
    "stop": 0.03,
    "power": 0.14,
    "blackout": 0.05,
    "kill_inside": 0.05,
    "power_inside": 0.04,
    "pause": 0.12,
    "pause_inside": 0.05,
    "partition": 0.14,
    "one_way": 0.05,
    "swizzle": 0.02,
    "slow_link": 0.04,
    "reset": 0.08,
    "transfer": 0.07,
    "sync_failure": 0.03,
    "write_failure": 0.01,
    "slow_disk": 0.07,
    "full_disk": 0.03,
    "rot": 0.03,
    "lost_log": 0.04,
}
SMALL: Final[dict[str, Any]] = {"batch_entries_max": 2, "window_bytes_max": 2000, "pipe_bytes": 2000}
COMPACTING: Final[dict[str, Any]] = {"log_entries_max": 30, "log_keep_entries": 0}
LOSSY: Final[dict[str, Any]] = {"datagram": True, "loss": 0.05, "duplicates": 0.05}
LATE: Final[dict[str, Any]] = {"spike_chance": 0.05, "spike_s": 2.0}


NO_BLACKOUT: Final = {"blackout": 0.0, "power_inside": 0.0}  # nobody promises to survive it in these modes


def _often(**weights: float) -> dict[str, Any]:
    return {"faults": {**FAULTS, **weights}}


# Name → (share of the seeds, what it fixes). Everything else is drawn.
CONFIGS: Final[dict[str, tuple[float, dict[str, Any]]]] = {
    "tcp": (0.14, {}),
    "datagram": (0.11, LOSSY),
    "tinyflow": (0.10, {**SMALL, **COMPACTING}),
    "crashmid": (0.09, _often(kill_inside=0.35, power_inside=0.3)),
    "late": (0.06, {**LOSSY, **LATE}),
    "attack": (0.12, {"script_share": 0.7}),
    "blackout": (0.06, _often(blackout=0.3)),
    "spiky": (0.06, {"slow_sync_chance": 0.12, **_often(slow_disk=0.4)}),
    "damage": (0.06, {**COMPACTING, **_often(rot=0.25, lost_log=0.15, sync_failure=0.15, write_failure=0.05)}),
    "full": (0.03, {**COMPACTING, **_often(full_disk=0.3)}),
    "swizzle": (0.05, _often(swizzle=0.12, one_way=0.2, slow_link=0.2)),
    "buffered": (0.04, {"journal_mode": BUFFERED, "core": None, **_often(**NO_BLACKOUT)}),
    "memory": (0.03, {"journal_mode": MEMORY, "core": None, **_often(**NO_BLACKOUT, kill_inside=0.0, rot=0.0)}),
    "5n": (0.07, {"nodes": 5}),
    "5n-datagram": (0.05, {"nodes": 5, **LOSSY}),
}
HEAL_S = 5.2
CORES: Final = ("dead", "cut", "flapping")  # what becomes of a minority that is never healed
SCRIPT_SEEDS = 0.3  # of the seeds play a script among other faults
CORE_SEEDS = 0.4  # of the seeds heal a majority alone


@dataclass(frozen=True, slots=True)
class Forced:
    """What a scenario says of all its seeds (chaos/targets/simulated.py); each seed draws the rest."""

    faults: tuple[tuple[str, float], ...]  # name and weight; no other fault comes
    nodes: int = 3
    core: bool = False  # a majority alone is healed

    @classmethod
    def of(cls, text: str, nodes: int = 3, *, core: bool = False) -> Forced:
        """From "crash=2,pause=1". Raises ValueError."""
        pairs = [one.partition("=") for one in text.split(",")]
        wrong = [name for name, _, _ in pairs if name not in FAULTS]
        if wrong:
            raise ValueError(f"no fault is called {wrong[0]}; there are {', '.join(FAULTS)}")
        return cls(tuple((name, float(weight or 1)) for name, _, weight in pairs), nodes, core)

    def words(self) -> list[str]:
        """As `python -m chaos.sim` takes it."""
        faults = ",".join(f"{name}={weight:g}" for name, weight in self.faults)
        return ["--faults", faults, "--nodes", str(self.nodes), *(["--core"] if self.core else [])]


def expand(seed: int, config: str | None = None, script: str | None = None, forced: Forced | None = None) -> Options:
    """The options of a seed; a configuration, a script, or what a scenario says may be forced."""
    rng = random.Random(f"options {seed}")
    drawn = rng.choices(list(CONFIGS), [share for share, _ in CONFIGS.values()])[0]
    if forced is not None and config is None and "journal_mode" in CONFIGS[drawn][1]:
        drawn = "tcp"  # the other modes promise nothing after some faults, and the scenario may name those
    options = _draw(seed, rng, config or drawn)
    fixed = CONFIGS[options.config][1]
    options = replace(options, **fixed)
    if script is not None:
        options = replace(options, script=script, script_share=max(options.script_share, 0.5))
    late_s = options.spike_s if options.spike_chance else 0.0  # a message of before healing may still be under way
    options = replace(options, heal_s=HEAL_S + late_s)
    if forced is not None:
        options = _as_said(options, forced, script)
    if options.script is not None:
        needed = {name: value for name, value in SCRIPTS[options.script].fixes if name not in fixed}
        options = replace(options, **needed)
    return options


def _as_said(options: Options, forced: Forced, script: str | None) -> Options:
    core = options.core or random.Random(f"core {options.seed}").choice(CORES)
    share = options.script_share if script is not None else 0.0
    return replace(
        options, faults=dict(forced.faults), nodes=forced.nodes, core=core if forced.core else None, script=script,
        script_share=share,
    )  # fmt: skip


def _draw(seed: int, rng: random.Random, config: str) -> Options:
    small = rng.random() < 0.4
    compacting = rng.random() < 0.6
    with_script = rng.random() < SCRIPT_SEEDS or config == "attack"
    name = rng.choice(list(SCRIPTS))
    rest = rng.choice(CORES)
    return Options(
        seed=seed,
        config=config,
        script=name if with_script else None,
        script_share=0.25 if with_script else 0.0,
        nodes=3,
        chaos_s=7.0,
        heal_s=HEAL_S,
        journal_mode=FSYNC,
        core=rest if rng.random() < CORE_SEEDS else None,
        writes_per_s=rng.choice((20.0, 40.0, 80.0)),
        reads_per_s=20.0,
        turn_s=rng.choice((0.0002, 0.001, 0.004)),
        delay_s=rng.choice((0.0005, 0.002, 0.008)),
        spike_chance=rng.choice((0.0, 0.01, 0.03)),
        spike_s=rng.choice((0.05, 0.5, 2.0)),
        datagram=False,
        loss=0.0,
        duplicates=0.0,
        fault_s=rng.choice((0.3, 0.6, 1.2)),
        faults=FAULTS,
        sync_s=rng.choice((0.0003, 0.002, 0.01)),
        slow_sync_chance=rng.choice((0.0, 0.01, 0.05)),
        drift=rng.choice((0.0, 0.005, 0.02)),
        batch_entries_max=rng.choice((2, 8)) if small else 4096,
        window_bytes_max=2000 if small else 4 * 1024 * 1024,
        log_entries_max=rng.choice((30, 120)) if compacting else 50_000,
        log_keep_entries=rng.choice((0, 5, 20)) if compacting else 4096,
        snapshot_part_bytes=rng.choice((300, 2000)),
        pipe_bytes=2000 if small else 1 << 20,
    )
