"""Who may write the sink when leaders change badly: the newest claim alone, whatever an older leader still has to say.

A leader is stopped while a batch of it is under way, and the bytes arrive after another leader has claimed; or it is
cut off from the members and keeps the sink. Afterwards there is one chain, without a gap, and nobody's writes are lost.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.backup.pushed import pushing
from tests.backup.sink_faults import judge_sink
from tests.cluster.backup.postgres_server import PASSWORD
from tests.network.reading import look
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from tests.backup.pushed import Pushing, Rate
    from tests.backup.stage import Stage
    from tests.network.result import Result
    from tests.process.harness import Server

HELD_S = 0.5
NARROW_BYTES_PER_S = 30_000.0  # a batch is under way for longer than it takes to cut the way
NEW_LEADER_S = 30.0


def stopped_leader(stage: Stage, rate: Rate, result: Result, *, tag: str) -> None:
    """SIGSTOP of the leader with a batch on its way; another leads, claims and stores; then the batch arrives."""
    assert stage.way is not None
    with pushing(stage.far, rate, tag) as pushed:
        pushed.let(HELD_S)
        old = stage.leader
        at_stop = stage.standing(old)["index"]
        stage.way.shape(0.0, NARROW_BYTES_PER_S)
        pushed.let(HELD_S)
        stage.way.cut(old.node_id)  # half a batch has arrived, the other half stays under way
        os.kill(old.pid, signal.SIGSTOP)
        stage.way.shape(0.0)
        try:
            claimed_s = _another_stores(stage, old, at_stop)
            stage.way.heal()  # what the old leader had sent arrives now
            pushed.let(HELD_S)
        finally:
            stage.way.heal()
            os.kill(old.pid, signal.SIGCONT)
        pushed.let(HELD_S)
    result.notes["stopped: another stored after, s"] = round(claimed_s, 2)
    _judge(stage, pushed, result)


def cut_off_leader(stage: Stage, rate: Rate, result: Result, *, tag: str) -> None:
    """A leader loses its members and keeps the sink, another leads and stores; then the members hear each other."""
    with pushing(stage.far, rate, tag) as pushed:
        pushed.let(HELD_S)
        old = stage.leader
        at_cut = stage.standing(old)["index"]
        stage.far.cut_off(old)
        try:
            claimed_s = _another_stores(stage, old, at_cut)
            pushed.let(HELD_S)
        finally:
            stage.far.heal()
        pushed.let(HELD_S)
    result.notes["cut off: another stored after, s"] = round(claimed_s, 2)
    _judge(stage, pushed, result)


def _another_stores(stage: Stage, old: Server, index: int) -> float:
    """Seconds until another leader has stored something of its own term."""
    began_s = time.monotonic()
    others = [server for server in stage.far.cluster.servers if server is not old]

    def stores() -> bool:
        for server in others:
            status = stage.far.cluster.status(server)
            if status is not None and status["role"] == "leader":
                standing = stage.standing(server)
                return bool(standing["writes"] and standing["index"] > index and standing["batches"])
        return False

    wait_until(stores, "another leader stores", NEW_LEADER_S)
    return time.monotonic() - began_s


def _judge(stage: Stage, pushed: Pushing, result: Result) -> None:
    stage.far.cluster.wait_ready(timeout_s=60.0)
    at = stage.settled()
    assert stage.postgres is not None
    judge_sink(stage.postgres.tcp_url("scram"), PASSWORD, stage, at, result)
    result.take(look(stage.far, stage.far.cluster.servers, pushed), pushed)
