"""What there is, by name: targets, nemeses, workloads. Plug-ins add nemeses by the entry point group chaos.nemesis."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .nemesis.base import Nemesis
    from .targets.base import Target, TargetSettings
    from .workload.base import Workload

TARGETS: Final = {
    "compose": ("chaos.targets.compose", "ComposeTarget"),
    "local": ("chaos.targets.local", "LocalTarget"),
    "netns": ("chaos.targets.netns", "NetnsTarget"),
}
NEMESES: Final = {
    "hook": ("chaos.nemesis.hook", "Hook"),
    "audit-blocked": ("chaos.nemesis.audit", "AuditBlocked"),
    "audit-full": ("chaos.nemesis.audit", "AuditFull"),
    "audit-rotate": ("chaos.nemesis.audit", "AuditRotate"),
    "cert-expire": ("chaos.nemesis.certificates", "CertExpire"),
    "cert-rotate": ("chaos.nemesis.certificates", "CertRotate"),
    "failpoints": ("chaos.nemesis.failpoints", "Failpoints"),
    "few-files": ("chaos.nemesis.resources", "FewFiles"),
    "little-cpu": ("chaos.nemesis.resources", "LittleCpu"),
    "many-clients": ("chaos.nemesis.resources", "ManyClients"),
    "sink-cut": ("chaos.nemesis.sinks", "SinkCut"),
    "sink-kill": ("chaos.nemesis.sinks", "SinkKill"),
    "sink-pause": ("chaos.nemesis.sinks", "SinkPause"),
    "sink-reset": ("chaos.nemesis.sinks", "SinkReset"),
    "sink-slow": ("chaos.nemesis.sinks", "SinkSlow"),
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
    "disk-error": ("chaos.nemesis.disk", "Error"),
    "disk-full": ("chaos.nemesis.disk", "Full"),
    "disk-slow": ("chaos.nemesis.disk", "Slow"),
    "power": ("chaos.nemesis.power", "Power"),
    "rollback": ("chaos.nemesis.files", "Rollback"),
    "rot": ("chaos.nemesis.files", "Rot"),
    "wipe": ("chaos.nemesis.files", "Wipe"),
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
    "leases": ("chaos.workload.leases", "Leases"),
    "mixed": ("chaos.workload.mixed", "Mixed"),
    "once": ("chaos.workload.once", "Once"),
    "policies": ("chaos.workload.policies", "Policies"),
    "register": ("chaos.workload.register", "Register"),
    "set": ("chaos.workload.sets", "Sets"),
    "spoof": ("chaos.workload.spoof", "Spoof"),
    "tokens": ("chaos.workload.tokens", "Tokens"),
}


class UnknownNameError(Exception):
    """Nothing is called so; the sentence lists what is."""


def known(kind: str, table: Mapping[str, Any], name: str) -> None:
    """Raises UnknownNameError, with what there is, unless the table has that name."""
    if name not in table:
        raise UnknownNameError(f"no {kind} is called {name}; there are {', '.join(sorted(table))}")


def _found(kind: str, table: dict[str, tuple[str, str]], name: str) -> Any:
    known(kind, table, name)
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
