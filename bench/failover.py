"""Failover: kill -9 of the leader under a light write load, until the next write through a survivor is answered 2xx.

A shell. Every survivor is asked by a client of its own, one write after another; the gap ends with the first answer to
a write that began after the kill.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from . import etcd, nodes
from .figures import Figure, Yardstick, quantile
from .processes import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .etcd import Etcd, EtcdMember
    from .nodes import Nodes
    from .options import Sizes

GROUP = "failover"
BEFORE_S = 0.5
BETWEEN_S = 0.5
REST_S = 0.005
GAP_S_MAX = 30.0
ETCD_ATTEMPT_S = 0.3  # its gateway holds a put that was lost with the leader; a client that asks again is faster
VALUE = "x" * 1000


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """See the module's paragraph. Raises BenchError."""
    beside: Yardstick | None = None
    with etcd.running(folder / "etcd") as yardstick:
        if yardstick is not None:
            gaps_s = [_round_of_etcd(yardstick) for _ in range(sizes.yardstick_rounds)]
            beside = Yardstick(f"etcd, default timings, {len(gaps_s)} rounds", _numbers(gaps_s))
    with nodes.running(folder / "nodes") as cluster:
        gaps_s = [_round(cluster, number) for number in range(sizes.rounds)]
    note = "rounds " + " ".join(f"{gap_s:.2f}" for gap_s in gaps_s)
    yield Figure(GROUP, "failover", _numbers(gaps_s), beside, missing="" if beside else etcd.MISSING, note=note)


def _numbers(gaps_s: list[float]) -> dict[str, float]:
    ordered = sorted(gaps_s)
    return {"p50_s": quantile(ordered, 0.5), "max_s": ordered[-1]}


def _round(cluster: Nodes, number: int) -> float:
    """One gap; afterwards the killed node is back."""
    leader, survivors = cluster.leader(), cluster.followers()

    def put(at: int) -> bool:
        body = {"data": {"value": VALUE}}
        path = f"/v1/secret/data/failover/{number}-{at}"
        return cluster.request(survivors[at], "PUT", path, body, token=cluster.token)[0] < 300

    gap_s = gap(lambda: cluster.kill(leader), [lambda at=at: put(at) for at in range(len(survivors))])  # type: ignore[misc]
    cluster.start(leader)
    cluster.serve(leader)
    time.sleep(BETWEEN_S)
    return gap_s


def _round_of_etcd(yardstick: Etcd) -> float:
    leader = yardstick.leader()
    survivors = [member for member in yardstick.members if member is not leader]

    def put(member: EtcdMember) -> bool:
        return member.ask("/v3/kv/put", {"key": "ZmFpbG92ZXI=", "value": "eA=="}, ETCD_ATTEMPT_S)[0] == 200

    def kill() -> None:
        assert leader.process is not None
        leader.process.kill()
        leader.process.wait()

    gap_s = gap(kill, [lambda member=member: put(member) for member in survivors])  # type: ignore[misc]
    leader.start()
    time.sleep(2 * BETWEEN_S)
    return gap_s


def gap(kill: Callable[[], None], puts: list[Callable[[], bool]]) -> float:
    """Seconds from the kill to the first success of a put that began after it. Raises BenchError."""
    killed = threading.Event()
    over = threading.Event()
    first: list[float] = []

    def client(put: Callable[[], bool]) -> None:
        while not over.is_set():
            after = killed.is_set()
            with contextlib.suppress(OSError):
                if put() and after:
                    first.append(time.monotonic())
                    over.set()
            time.sleep(REST_S)

    clients = [threading.Thread(target=client, args=(put,), daemon=True) for put in puts]
    for thread in clients:
        thread.start()
    time.sleep(BEFORE_S)
    began_s = time.monotonic()
    kill()
    killed.set()
    ended = over.wait(GAP_S_MAX)
    over.set()
    for thread in clients:
        thread.join()
    if not ended:
        raise BenchError(f"no write was answered within {GAP_S_MAX:g} s of the leader's death")
    return min(first) - began_s
