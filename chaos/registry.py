"""What there is, by name: targets, nemeses, workloads. Plug-ins add nemeses by the entry point group chaos.nemesis."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from .nemesis.base import Nemesis
    from .targets.base import Target, TargetSettings
    from .workload.base import Workload

TARGETS: Final = {
    "local": ("chaos.targets.local", "LocalTarget"),
}
NEMESES: Final = {
    "clock-jump": ("chaos.nemesis.clock", "Jump"),
    "clock-skew": ("chaos.nemesis.clock", "Skew"),
    "clock-strobe": ("chaos.nemesis.clock", "ClockStrobe"),
    "loss": ("chaos.nemesis.links", "Loss"),
    "narrow-links": ("chaos.nemesis.links", "Narrow"),
    "rolling": ("chaos.nemesis.process", "Rolling"),
    "seal": ("chaos.nemesis.sealing", "Seal"),
    "slow-links": ("chaos.nemesis.links", "Slow"),
    "strobe": ("chaos.nemesis.process", "Strobe"),
    "kill": ("chaos.nemesis.process", "Kill"),
    "pause": ("chaos.nemesis.process", "Pause"),
    "isolate": ("chaos.nemesis.partition", "Partition"),
    "mute": ("chaos.nemesis.partition", "Mute"),
    "deaf": ("chaos.nemesis.partition", "Deaf"),
    "halves": ("chaos.nemesis.partition", "Halves"),
    "bridge": ("chaos.nemesis.partition", "Bridge"),
    "ring": ("chaos.nemesis.partition", "Ring"),
    "swizzle": ("chaos.nemesis.partition", "Swizzle"),
}
WORKLOADS: Final = {
    "append": ("chaos.workload.appends", "Appends"),
    "mixed": ("chaos.workload.mixed", "Mixed"),
    "once": ("chaos.workload.once", "Once"),
    "policies": ("chaos.workload.policies", "Policies"),
    "register": ("chaos.workload.register", "Register"),
    "set": ("chaos.workload.sets", "Sets"),
    "tokens": ("chaos.workload.tokens", "Tokens"),
}


class UnknownNameError(Exception):
    """Nothing is called so; the sentence lists what is."""


def _found(kind: str, table: dict[str, tuple[str, str]], name: str) -> Any:
    if name not in table:
        raise UnknownNameError(f"no {kind} is called {name}; there are {', '.join(sorted(table))}")
    module, attribute = table[name]
    return getattr(import_module(module), attribute)


def target(name: str, folder: Path, settings: TargetSettings) -> Target:
    """A cluster of that kind, not started. Raises UnknownNameError."""
    made: Target = _found("target", TARGETS, name)(folder, settings)
    return made


def nemesis(name: str) -> Nemesis:
    """Raises UnknownNameError."""
    for point in entry_points(group="chaos.nemesis"):
        if point.name == name:
            added: Nemesis = point.load()()
            return added
    made: Nemesis = _found("nemesis", NEMESES, name)()
    return made


def workload(name: str) -> Workload:
    """Raises UnknownNameError."""
    made: Workload = _found("workload", WORKLOADS, name)()
    return made
