"""Folders of runs that nobody ran: one that holds, one that violates, one that is unknown."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.chaos.histories import MS, NODES, Story

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.folder import RunFolder
    from chaos.plan import Plan

DIGESTS = {node: [7, "d"] for node in NODES}


def story(valid: str) -> Story:
    """Of a run of the workload `register` without faults, on a cluster whose files nobody sees."""
    facts: dict[str, Any] = {"digests": DIGESTS, "load_ended_ns": 900 * MS, "healed_ns": 0, "exit_codes": {}}
    made = Story(**facts)
    made.plan["abilities"] = []
    count = 3 if valid == "unknown" else 60
    for number in range(count):
        node, said = NODES[number % 3], {"version": number + 1, "process": number % 3}
        made.op("write", "k", f"v{number}", node=node, index=2 * number, **said)
        made.op("read", "k", None, f"v{number}", node=node, index=2 * number + 1, **said)
    made.op("cas", "k", [count, "x"], version=count + 1)
    for node in NODES:
        made.sample(node, 100, role="leader" if node == "n1" else "follower", term=1, digest="d", digest_index=7)
        last = ("v0", 1) if valid == "violated" else ("x", count + 1)
        made.op("read", "k", None, last[0], version=last[1], node=node, final=True)
    return made


def written(folder: Path, valid: str, plan: Plan | None = None) -> RunFolder:
    """That run is in the folder; "held", "violated" or "unknown"."""
    made = story(valid)
    if plan is not None:
        made.plan.update(asdict(plan), nodes=list(NODES))
    else:
        made.plan["scenario"] = {"name": "x", "workloads": {"register": 1.0}, "cluster": {}}
    if valid == "unknown":
        made.plan["scenario"]["min_rate_per_s"] = 100_000
    return made.run(folder)
