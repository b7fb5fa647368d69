"""One fault of a sink under load: clients notice nothing, the lag rises and returns, the chain is whole."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.backup import judging
from tests.backup.faults import play
from tests.backup.pushed import pushing
from tests.backup.watching import LagWatch
from tests.cluster.backup.postgres_server import PASSWORD
from tests.network.reading import look
from tests.network.result import Result
from tests.network.watching import Reign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.backup.faults import Fault
    from tests.backup.pushed import Pushing, Rate
    from tests.backup.stage import Stage

QUIET_S = 1.0  # of load before a fault and after it
STEADY_LAG_S = 1.0


def faults_under_load(
    stage: Stage, faults: Sequence[Fault], rate: Rate, result: Result, *, fault_s: float, tag: str,
    url: str = "", password: str | None = PASSWORD, all_nodes: bool = False,
) -> None:  # fmt: skip
    """All faults after each other under one load, and then every write is looked for; `all_nodes`: on each of them."""
    reign = Reign(stage.far.cluster)
    with pushing(stage.far, rate, tag) as pushed:
        pushed.let(QUIET_S)
        with LagWatch(stage) as watch:
            for fault in faults:
                _one(stage, fault, pushed, watch, result, fault_s)
        pushed.let(QUIET_S)
    began_s = time.monotonic()
    index, digest = stage.settled()
    result.notes["lag zero after the last write, s"] = round(time.monotonic() - began_s, 2)
    result.notes["writes/s"] = f"{pushed.per_s:.0f} of {rate.per_s:.0f} offered"
    judge_clients(pushed, reign, result)
    assert stage.postgres is not None or url
    judge_sink(url or stage.postgres.tcp_url("scram"), password, stage, (index, digest), result)  # type: ignore[union-attr]
    servers = stage.far.cluster.servers if all_nodes else stage.far.cluster.servers[:1]  # all have the same digest
    result.take(look(stage.far, servers, pushed), pushed)


def _one(stage: Stage, fault: Fault, pushed: Pushing, watch: LagWatch, result: Result, fault_s: float) -> None:
    stage.notes.clear()
    began_s, before = time.monotonic(), pushed.count
    play(fault, stage, fault_s, lambda: watch.heard(fault.said, began_s))
    ended_s = time.monotonic()
    entries, seconds = watch.peak(began_s)
    back_s = watch.wait_caught_up(ended_s)
    result.need(entries > 0, f"{fault.name}: the sink was never behind")
    during = (pushed.count - before) / (time.monotonic() - began_s)
    result.notes[fault.name] = (
        f"behind {entries} entries, {seconds:.1f} s; caught up {back_s:.1f} s after it; {during:.0f} writes/s meanwhile"
    )
    print(f"  {fault.name}: {result.notes[fault.name]}", flush=True)
    for name, value in stage.notes.items():
        result.notes[f"{fault.name}, {name}"] = value
    if "resets" in stage.notes:
        result.need(stage.notes["bytes lost"] > 0, "resets: nothing was in flight at any of them")


def judge_clients(pushed: Pushing, reign: Reign, result: Result) -> None:
    """No client got an error; only where the machine was so busy that the nodes elected, they are figures."""
    elections = reign.changes()
    result.notes |= {"client errors": sum(pushed.errors.values()), "elections": elections}
    result.need(not pushed.errors or elections > 0, f"clients got errors: {pushed.errors}")


def judge_sink(url: str, password: str | None, stage: Stage, at: tuple[int, str], result: Result) -> judging.Held:
    """The chain is whole, every object opens, and the state at the index is the nodes' one."""
    index, digest = at
    held = judging.look(url, password, stage.far.cluster.shares, [index])
    result.problems += held.wrong
    result.need(held.digests[index] == digest, f"the sink leads to another state at {index} than the nodes have")
    result.notes["sink"] = (
        f"{held.batches} batches, {held.bases} bases, {held.size_bytes} bytes, whole to {held.last}; "
        f"at {index} the digest is the nodes'"
    )
    return held
