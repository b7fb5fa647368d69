"""Backups: what they cost a write, what a sink takes, how fast a state comes back.

A shell. The servers are those of the tests, started here and gone afterwards; a sink whose server is not installed is
left out with a sentence. What is compared is measured in turns, because the machine is not the same in two minutes:
two clusters, one of them without a sink; and a file that is synced after as many bytes as a batch has.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

from cluster import StrongroomError, SystemClock, SystemRandom, copy, open_sink
from node.cli.dev import DevOptions
from node.restore.jobs import Asked, drilled
from node.restore.keys import Keys
from node.restore.places import Place

from .figures import Figure, Yardstick, medians
from .nodes import Nodes
from .processes import BenchError, free_ports, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from node.dev import DevNode

    from .options import Sizes

Urls = dict[str, "Callable[[str], str]"]
GROUP = "backup"
SETTLED_S = 120.0
SINK_NAME = "bench"


class BackedNodes(Nodes):
    """Nodes with the section `[backup]` of their makers' choice."""

    backup_mode = "async"
    sink_url = ""

    @property
    def backup_url(self) -> str:
        """The one sink."""
        return self.sink_url or super().backup_url

    def _config(self, node: DevNode) -> str:
        before, _, behind = super()._config(node).partition("[backup]\n")
        own = f'[backup]\nmode = "{self.backup_mode}"\n' if self.backup_mode else ""
        sinks, _, rest = behind.partition("\n")
        return f"{before}{own}{sinks if own else ''}\n{rest}"


@contextlib.contextmanager
def running(folder: Path, mode: str, url: str = "") -> Iterator[BackedNodes]:
    """Three nodes that back up so; mode empty: that do not."""
    options = DevOptions(nodes=3, data=folder, port_base=free_ports(3, 10))
    nodes = BackedNodes(options, folder, temporary=True)
    nodes.backup_mode, nodes.sink_url = mode, url
    try:
        nodes.up()
        wait_until(lambda: _has_token(nodes), "the sink takes writes", SETTLED_S)
        yield nodes
    finally:
        nodes.stop()


def _has_token(nodes: BackedNodes) -> bool:
    """In write_through nothing is written before the sink has its first base."""
    with contextlib.suppress(BenchError):
        nodes.make_token()
    return bool(nodes.token)


def measure(sizes: Sizes, folder: Path) -> Iterator[Figure]:
    """See the module's paragraph. Raises BenchError."""
    with contextlib.ExitStack() as stack:
        urls, missing = _urls(stack)
        plain = stack.enter_context(running(folder / "plain", ""))
        for kind in ("sqlite", "postgres"):
            if kind != "sqlite" and kind not in urls:
                continue
            for mode in ("async", "write_through"):
                url = urls[kind](mode) if kind in urls else ""
                with running(folder / f"{kind}-{mode}", mode, url) as backed:
                    yield _cost(sizes, plain, backed, kind, mode)
        plain.stop()
        filled = stack.enter_context(running(folder / "filled", "async"))
        filled.fill(sizes.backup_secrets)
        _settle(filled)
        filled.stop()
        yield from _sinks(sizes, folder, filled, urls, missing)


# ---- what a write pays
def _cost(sizes: Sizes, plain: BackedNodes, backed: BackedNodes, kind: str, mode: str) -> Figure:
    rounds: list[tuple[dict[str, float], dict[str, float]]] = [
        (_puts(sizes, plain), _puts(sizes, backed)) for _ in range(sizes.backup_rounds)
    ]
    without, with_sink = (medians([pair[at] for pair in rounds]) for at in (0, 1))
    name = f"KV puts, {mode} to {kind}"
    each = statistics.median(one["p50_ms"] / other["p50_ms"] for other, one in rounds)
    note = (
        f"{sizes.backup_puts_per_s} puts/s offered, at the leader without HTTP; p50 in {len(rounds)} turns each, "
        f"median of their ratios x{each:.3f}"
    )
    return Figure(GROUP, name, with_sink, Yardstick("the same without a sink", without), note=note)


def _puts(sizes: Sizes, nodes: BackedNodes) -> dict[str, float]:
    leader = nodes.leader()
    arguments: dict[str, Any] = {"kind": "whole", "token": nodes.token, "paths": sizes.paths}
    answer = nodes.do(leader, "load", seconds=sizes.point_s, per_s=sizes.backup_puts_per_s, **arguments)
    if not answer["count"]:
        raise BenchError(f"nothing was written: {answer['failures']}")
    return {name: answer[name] for name in ("p50_ms", "p99_ms", "per_s")}


def _settle(nodes: BackedNodes) -> None:
    """The sink holds what was written."""

    def holds() -> bool:
        found = nodes.root("GET", "strongroom/backup/status", None)["data"]["sinks"][0]
        return bool(found["index"]) and not found["lag_entries"]

    first, nodes.nodes = nodes.nodes, sorted(nodes.nodes, key=lambda node: node is not nodes.leader())
    try:
        wait_until(holds, "the sink holds everything", SETTLED_S)
    finally:
        nodes.nodes = first


# ---- what a sink takes, and gives back
def _sinks(
    sizes: Sizes, folder: Path, filled: BackedNodes, urls: Urls, missing: dict[str, str]
) -> Iterator[Figure]:
    keys = Keys(filled.secrets["unseal_keys"])
    source = filled.backup_url
    places = {"sqlite": Place(f"sqlite://{folder / 'copy.db'}")}
    places |= {kind: Place(url("copy"), _password(kind)) for kind, url in urls.items()}
    for kind, place in places.items():
        sent = asyncio.run(_copied(source, place))
        yield Figure(
            GROUP, f"batches into {kind}", sent["numbers"], _synced(folder, sent), note=missing.get(kind, "")
        )
        drill = asyncio.run(drilled([place], Asked(), keys))
        seconds = drill["duration_s"]
        numbers = {"seconds_per_100k": seconds / sizes.backup_secrets * 1e5, "seconds": seconds}
        name = f"restore of {sizes.backup_secrets:,} secrets from {kind}, to memory"
        yield Figure(GROUP, name, numbers, missing="no yardstick", note=f"index {drill['index']}")
    for kind, why in missing.items():
        yield Figure(GROUP, f"batches into {kind}", {}, missing=why)


async def _copied(source_url: str, place: Place) -> dict[str, Any]:
    """Everything of one sink stored in another, one object after the other."""
    source, target = open_sink(source_url), open_sink(place.url, password=place.password, timeout_s=30.0)
    try:
        await source.open()
        await target.open()
        [generation] = await source.generations()
        every = [one async for one in source.objects(generation.generation)]
        began_s = time.perf_counter()
        [done] = await copy(source, target, SystemClock(), SystemRandom(), lambda _progress: None)
        took_s = time.perf_counter() - began_s
    finally:
        await source.close()
        await target.close()
    rows = sum(one.last - one.first + 1 for one in every if one.previous and one.kind != 1)
    numbers = {
        "per_s": done.sent / took_s,
        "rows_per_s": rows / took_s,
        "mb_per_s": done.size_bytes / took_s / 1e6,
    }
    return {"numbers": numbers, "sent": done.sent, "size_bytes": done.size_bytes}


def _synced(folder: Path, sent: dict[str, Any]) -> Yardstick:
    """As many bytes in as many pieces, each written and synced."""
    piece = os.urandom(max(1, sent["size_bytes"] // sent["sent"]))
    path = folder / "synced"
    began_s = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(sent["sent"]):
            file.write(piece)
            os.fdatasync(file.fileno())
    took_s = time.perf_counter() - began_s
    path.unlink()
    numbers = {"per_s": sent["sent"] / took_s, "mb_per_s": sent["size_bytes"] / took_s / 1e6}
    return Yardstick("a file, synced after each", numbers)


def _password(kind: str) -> str | None:
    if kind != "s3":
        return None
    from tests.cluster.backup.s3_server import KEYS

    return KEYS


def _urls(stack: contextlib.ExitStack) -> tuple[Urls, dict[str, str]]:
    """Of each server that could be started, the URL of a place on it by name; and why another could not."""
    urls: Urls = {}
    missing = {}
    try:
        from tests.cluster.backup.postgres_server import make_roles, running_server

        postgres = stack.enter_context(running_server())
        asyncio.run(make_roles(postgres))
        urls["postgres"] = lambda name: postgres.tcp_url("trusting", schema=f"bench_{name}")
    except (ImportError, AssertionError, OSError, StrongroomError) as error:
        missing["postgres"] = f"PostgreSQL could not be started: {type(error).__name__}"
    try:
        from tests.cluster.backup import s3_server

        bucket = stack.enter_context(s3_server.running_server())
        urls["s3"] = lambda name: bucket.url(f"bench/{name}")
    except (ImportError, AssertionError, OSError, StrongroomError) as error:
        missing["s3"] = f"no S3 server could be started: {type(error).__name__}"
    return urls, missing
