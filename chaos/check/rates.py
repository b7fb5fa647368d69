"""Was it a run at all? Every kind of operation succeeded sometimes, there was load before the faults, which had effect.

A run without effect proves nothing, so what is missing here makes the whole verdict unknown; nothing here is a
violation of the product.
Source: etcd, tests/robustness (minimal rate before a failpoint); Jepsen, checker.clj (stats).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final

from .bands import effects
from .base import Verdict, held, unknown
from .words import is_final

if TYPE_CHECKING:
    from chaos.folder import RunFolder
    from chaos.history import Operation

DEFAULT_MIN_RATE_PER_S: Final = 10.0


class Rates:
    """See the module's paragraph."""

    name: ClassVar[str] = "rates"
    verified: ClassVar[str] = (
        "every kind of operation was acknowledged sometimes, at the least rate before the first fault, and some at "
        "every node; every fault that was planned and possible took effect and was healed; the run came to its end"
    )
    not_verified: ClassVar[str] = "that the faults met the moments at which they hurt most"

    def check(self, run: RunFolder) -> Verdict:
        """See Checker."""
        operations = [one for one in run.operations if not is_final(one)]
        numbers: dict[str, Any] = {"operations": len(operations), "by_f": _by_f(operations), "faults": len(run.faults)}
        rate = _rate_before_faults(run, operations)
        if rate is not None:
            numbers["rate_per_s"] = round(rate, 1)
        why = [
            f"{f} was never acknowledged in {counts['all']} tries"
            for f, counts in numbers["by_f"].items()
            if not counts["ok"]
        ]
        least = _scenario(run).get("min_rate_per_s", DEFAULT_MIN_RATE_PER_S)
        if rate is None:
            why.append("no operation was invoked before the first fault")
        elif rate < least:
            why.append(f"{rate:.1f} operations a second were acknowledged before the first fault, fewer than {least:g}")
        why += _nodes_without_load(run, operations)
        why += _without_effect(run)
        why += _without_end(run)
        odd = sum(one.more.get("not_understood") is True for one in run.operations)
        if odd:
            why.append(f"{odd} answers could not be understood")
        if why:
            return unknown(self, "; ".join(why), **numbers)
        return held(self, f"{len(operations)} operations, {rate:.1f} a second before the first fault", **numbers)


def _scenario(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = run.plan.get("scenario", {})
    return found


def _by_f(operations: list[Operation]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for one in operations:
        counts = found.setdefault(one.f, {"all": 0, "ok": 0, "fail": 0, "info": 0})
        counts["all"] += 1
        counts["ok" if _as_it_should(one) else one.outcome] += 1
    return found


def _as_it_should(operation: Operation) -> bool:
    """Done; or denied, where being denied is what the operation is for."""
    return operation.outcome == "ok" or (operation.f == "spoof" and bool(operation.more.get("denied")))


def _rate_before_faults(run: RunFolder, operations: list[Operation]) -> float | None:
    """Acknowledged operations a second from the first invocation to the first fault, or to the end without one."""
    if not operations:
        return None
    began_ns = operations[0].called_ns
    returns = [one.returned_ns for one in operations if not math.isinf(one.returned_ns)]
    ended_ns = min((fault.began_ns for fault in run.faults), default=max(returns, default=began_ns))
    if ended_ns <= began_ns:
        return None
    acknowledged = sum(_as_it_should(one) and one.returned_ns <= ended_ns for one in operations)
    return acknowledged / (ended_ns - began_ns) * 1e9


def _nodes_without_load(run: RunFolder, operations: list[Operation]) -> list[str]:
    """Before anything was broken each node answered somebody: else nothing that is stale there could be seen."""
    until_ns = min((fault.began_ns for fault in run.faults), default=math.inf)
    served = {one.node for one in operations if _as_it_should(one) and one.returned_ns <= until_ns}
    silent = sorted(set(run.nodes) - served) if served else []
    return [f"nothing was acknowledged at {', '.join(silent)} before the first fault"] if silent else []


def _without_end(run: RunFolder) -> list[str]:
    if not run.facts:
        return ["the run was cut short: it has no facts"]
    why = [f"the run failed: {run.facts['failed']}"] if run.facts.get("failed") else []
    if _scenario(run).get("end") == "core" and set(run.nodes) <= set(run.facts.get("whole", ())):
        why.append("no node stayed broken: there was no core")
    return why


def _without_effect(run: RunFolder) -> list[str]:
    why = []
    for number, fault, effect in effects(run):
        if effect.get("took_effect") is not True:
            why.append(f"fault {number} ({fault.name}) took no effect" + _error(effect))
        if effect.get("not_healed"):
            why.append(f"fault {number} ({fault.name}) could not be healed: {effect['not_healed']}")
    skipped = run.facts.get("skipped", {})
    planned = sum(step["nemesis"] not in skipped for step in run.plan.get("steps", ()))
    if len(run.faults) < planned:
        why.append(f"only {len(run.faults)} of {planned} planned faults came")
    why += [f"{nemesis} was skipped: {reason}" for nemesis, reason in skipped.items() if not run.faults]
    return why


def _error(effect: dict[str, Any]) -> str:
    return f": {effect['error']}" if effect.get("error") else ""
