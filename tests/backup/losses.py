"""Everything is lost: all nodes are killed under load and their folders removed; a sink and the keys bring it back.

What was acknowledged is then looked for in the restored cluster, through its API: what is missing there is the loss,
and its age when the nodes died is the RPO. Restoring and starting until a write is answered is the RTO.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import uvloop

from tests.backup import judging
from tests.backup.pushed import pushing
from tests.backup.stage import PASSWORDS
from tests.cluster.backup.postgres_server import PASSWORD
from tests.network.reading import _read_all
from tests.process.backups import cli
from tests.process.harness import wait_until
from tests.process.machine import processes_naming

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.backup.pushed import Pushing, Rate
    from tests.backup.stage import Stage
    from tests.network.result import Result
    from tests.network.writers import Acknowledged
    from tests.process.harness import Server

RPO_S = 1.0
LOAD_S = (3.0, 6.0)  # before everybody dies, at a random moment
READERS = {"stays": "1h", "revoked before": "1h", "revoked after": "1h"}
POLICY = 'path "secret/data/*" { capabilities = ["read"] }\n'
DIGEST_PERIOD_S = 0.02


# ---- everybody dies
def all_die(servers: Sequence[Server]) -> float:
    """SIGKILL to all at once, journal writers included; when that was. Their folders are gone."""
    died_s = time.monotonic()
    for server in servers:
        os.kill(server.pid, signal.SIGKILL)
    for server in servers:
        assert server.process is not None
        server.process.wait()
    for server in servers:
        wait_until(lambda server=server: not processes_naming(str(server.data)), f"nothing of {server.node_id} runs")
        shutil.rmtree(server.data)
    return died_s


def restored(stage: Stage, url: str, folder: Path, *words: str) -> tuple[dict[str, Any], float]:
    """The report of the restore, and the seconds until the cluster answered a write. All nodes serve."""
    cluster = stage.far.cluster
    began_s = time.monotonic()
    keys, password = folder / "keys", folder / PASSWORDS
    keys.write_text("\n".join(cluster.shares) + "\n")
    common = ["--from", url, "--password-file", str(password), "--unseal-keys-file", str(keys), "-o=json"]
    first, second, *others = cluster.servers
    done = cli("backup", "restore", *common, "--config", first.folder / "node.toml", "--yes-unwitnessed",
               "--progress=none", *words)  # fmt: skip
    assert done.code == 0, done.err
    report: dict[str, Any] = done.json
    joined = cli("backup", "restore", *common, "--config", second.folder / "node.toml", "--join",
                 report["generation"], "--progress=none")  # fmt: skip
    assert joined.code == 0, joined.err
    cluster.token = report["root_token"] or cluster.token
    for server in (first, second, *others):
        server.start()
    for server in (first, second):
        server.wait_listening()
        server.unseal(cluster.shares)
    body = {"data": {"n": "after"}}
    wait_until(
        lambda: cluster.ask("PUT", "secret/data/after", body, at=first, timeout_s=5.0).status == 200, "a write", 60.0
    )
    took_s = time.monotonic() - began_s
    for server in others:
        server.wait_listening()
        server.unseal(cluster.shares)
    cluster.wait_ready(timeout_s=60.0)
    return report, took_s


def missing(stage: Stage, pushed: Pushing) -> list[Acknowledged]:
    """What was acknowledged and is not there, oldest answer first; also what is there in another form."""
    acknowledged = pushed.acknowledged()
    server = stage.far.cluster.servers[0]
    paths = sorted({one.path for one in acknowledged})
    found = uvloop.run(_read_all([server], stage.far.cluster.token, paths, None))[server.node_id]
    lost = [one for one in acknowledged if found[one.path].get(one.version) != one.by]
    return sorted(lost, key=lambda one: one.answered_s)


def everything_lost(stage: Stage, folder: Path, rate: Rate, result: Result, *, seed: int, allowed_s: float) -> None:
    """One round: load, death of all at a random moment, restore, and the count of what is gone.

    `allowed_s`: how old a lost write may be when everybody dies; 0: no write may be lost.
    """
    cluster = stage.far.cluster
    assert stage.postgres is not None
    url = stage.postgres.tcp_url("scram")
    with pushing(stage.far, rate, f"lost-{seed}") as pushed:
        pushed.let(random.Random(seed).uniform(*LOAD_S))
        died_s = all_die(cluster.servers)
        pushed.freeze()
    held = judging.look(url, PASSWORD, cluster.shares, [])
    result.problems += held.wrong
    report, rto_s = restored(stage, url, folder)
    lost = [one for one in missing(stage, pushed) if one.answered_s <= died_s]
    oldest_s = died_s - lost[0].answered_s if lost else 0.0
    result.acknowledged += pushed.done
    result.problems += pushed.unexpected
    result.need(pushed.done > 0, "nothing was written: the round shows nothing")
    result.need(report["index"] == held.last, "the restore stopped before the end of what is stored")
    if allowed_s:
        result.need(oldest_s <= allowed_s, f"lost were writes up to {oldest_s:.2f} s old")
    else:
        result.need(not lost, f"{len(lost)} acknowledged writes are lost")
    result.notes.setdefault("rounds: writes/s, lost writes, oldest s, RTO s", []).append(
        (round(pushed.per_s), len(lost), round(oldest_s, 3), round(rto_s, 1))
    )


# ---- points of a history
class Recorder:
    """Notes digests at indexes while a history happens, of all nodes in turn; every node must say the same."""

    def __init__(self, stage: Stage) -> None:
        self.digests: dict[int, str] = {}
        self.problems: list[str] = []
        self._stage = stage
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        servers = self._stage.far.cluster.servers
        for number in range(1 << 30):
            if self._stopping.wait(DIGEST_PERIOD_S):
                return
            status = self._stage.far.cluster.status(servers[number % len(servers)])
            if status is not None:
                index, digest = status["digest_index"], status["digest"]
                if self.digests.setdefault(index, digest) != digest:
                    self.problems.append(f"two nodes had different states at {index}")


def points(stage: Stage, rate: Rate, result: Result, *, count: int, load_s: float, seed: int) -> None:
    """Restores to random indexes of a recorded history, some before and some behind a further base."""
    assert stage.postgres is not None
    with pushing(stage.far, rate, "points") as pushed, Recorder(stage) as recorder:
        pushed.let(load_s / 2)
        reply = stage.far.cluster.ask("PUT", "strongroom/backup/trigger", {})
        assert reply.status in {200, 204}, reply
        pushed.let(load_s / 2)
    index, digest = stage.settled()
    known = {**recorder.digests, index: digest}
    result.problems += recorder.problems
    held = judging.look(stage.postgres.tcp_url("scram"), PASSWORD, stage.far.cluster.shares, [])
    possible = sorted(at for at in known if held.first <= at <= held.last)
    chosen = sorted(random.Random(seed).sample(possible, min(count, len(possible))))
    began_s = time.monotonic()
    held = judging.look(stage.postgres.tcp_url("scram"), PASSWORD, stage.far.cluster.shares, chosen)
    wrong = [at for at in chosen if held.digests[at] != known[at]]
    result.problems += held.wrong
    result.need(not wrong, f"other states than the cluster had were restored at {wrong[:5]}")
    result.need(len(chosen) >= count, f"only {len(chosen)} points were recorded")
    result.acknowledged += pushed.done
    result.notes["points"] = (
        f"{len(chosen)} of {len(possible)} recorded between {held.first} and {held.last}, each digest equal; "
        f"{(time.monotonic() - began_s) / max(1, len(chosen)):.2f} s each; {held.bases} bases"
    )


# ---- access
def tokens_after(stage: Stage, folder: Path, result: Result) -> None:
    """A restore to an earlier point: a token that was revoked before it or after it does not work; one that stays may.

    Once with those that are kept on a typed word, then, as a fork by name, without any.
    """
    cluster = stage.far.cluster
    assert stage.postgres is not None
    cluster.ask("PUT", "sys/policy/proof", {"policy": POLICY})
    cluster.ask("PUT", "secret/data/there", {"data": {"n": "x"}})
    tokens = {}
    for name, ttl in READERS.items():
        made = cluster.ask("POST", "auth/token/create", {"policies": ["proof"], "ttl": ttl})
        tokens[name] = made.json["auth"]["client_token"]
    cluster.ask("POST", "auth/token/revoke", {"token": tokens["revoked before"]})
    point, _ = stage.settled()
    cluster.ask("POST", "auth/token/revoke", {"token": tokens["revoked after"]})
    stage.settled()
    url, old_root = stage.postgres.tcp_url("scram"), cluster.token
    before = {name: cluster.servers[0].ask("GET", "secret/data/there", token=token).status
              for name, token in tokens.items()}  # fmt: skip
    result.need(before == {"stays": 200, "revoked before": 403, "revoked after": 403}, f"before: {before}")
    listed = cli("backup", "list", "--from", url, "--password-file", str(folder / PASSWORDS), "-o=json").json
    parent = listed["sinks"][0]["generations"][-1]["generation"]
    for words, stays in ((("--keep-tokens", "--yes-keep-tokens"), 200), (("--fork",), 403)):
        all_die(cluster.servers)
        report, _ = restored(stage, url, folder, "--generation", parent, "--to-index", str(point), *words)
        found = {name: cluster.servers[0].ask("GET", "secret/data/there", token=token).status
                 for name, token in {**tokens, "root": old_root}.items()}  # fmt: skip
        wanted = {"stays": stays, "revoked before": 403, "revoked after": 403, "root": 403}
        result.need(found == wanted, f"{words}: {found}")
        result.need(report["index"] == point, f"restored to {report['index']}, not to {point}")
    result.acknowledged += 1
    result.notes["tokens"] = "revoked before and after the point: refused, kept or not; the old root token too"


def restored_twice(stage: Stage, folder: Path, result: Result) -> None:
    """One backup does not become two clusters, neither one after the other nor at the same time."""
    cluster = stage.far.cluster
    assert stage.postgres is not None
    url = stage.postgres.tcp_url("scram")
    index, digest = stage.settled()
    keys = folder / "keys"
    keys.write_text("\n".join(cluster.shares) + "\n")
    listed = cli("backup", "list", "--from", url, "--password-file", str(folder / PASSWORDS), "-o=json").json
    parent = listed["sinks"][0]["generations"][-1]["generation"]
    all_die(cluster.servers)
    common = ["backup", "restore", "--from", url, "--password-file", str(folder / PASSWORDS), "--unseal-keys-file",
              str(keys), "-o=json", "--yes-unwitnessed", "--progress=none", "--generation", parent]  # fmt: skip

    async def both() -> list[Any]:
        configs = [server.folder / "node.toml" for server in cluster.servers[:2]]
        return await asyncio.gather(*(asyncio.to_thread(cli, *common, "--config", config) for config in configs))

    at_once = asyncio.run(both())
    later = cli(*common, "--config", cluster.servers[2].folder / "node.toml")
    good = [one for one in at_once if one.code == 0]
    result.need(len(good) <= 1, "two restores of one backup at the same time both succeeded")
    result.need(later.code != 0 or not good, "a second restore of one backup succeeded")
    report = json.loads((good or [later])[0].out)
    result.need((report["index"], report["digest"]) == (index, digest), "it is not the state that was")
    result.acknowledged += 1
    result.notes["restored twice"] = f"at once: codes {sorted(one.code for one in at_once)}; later: {later.code}"
