"""Backups that break: what each fault does to server and way, that it is undone, and what a run's end reads."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from chaos import restoring
from chaos.api import Admin
from chaos.ledger import Ledger, started
from chaos.nemesis import sinks as nemeses
from chaos.nemesis.base import Scene, missing
from chaos.nemesis.sinks import SinkCut, SinkKill, SinkPause, SinkReset, SinkSlow
from chaos.restoring import in_order, worth
from chaos.targets.base import PROCESS, SINK, Shape, TargetError, TargetSettings
from chaos.targets.local import LocalTarget
from chaos.targets.node import is_stopped
from chaos.targets.postgres import why_no_postgres
from chaos.targets.seaweed import why_no_seaweed
from chaos.targets.sinks import SinkPlace, why_no_sink
from cluster import open_sink
from cluster.backup.sinks.base import Stored
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAVY = "STRONGROOM_HEAVY"


def why_no_s3() -> str:
    """It takes half a minute to start twice: the scenario backups-s3 does so, too."""
    return why_no_seaweed() or ("" if os.environ.get(HEAVY) else f"only with {HEAVY}=1")


KINDS = [
    pytest.param("postgres", marks=pytest.mark.skipif(bool(why_no_postgres()), reason=why_no_postgres())),
    pytest.param("s3", marks=pytest.mark.skipif(bool(why_no_s3()), reason=why_no_s3())),
]


class FakeSink:
    """Remembers what was done; every reset loses ten bytes."""

    def __init__(self) -> None:
        self.nodes = ["n1", "n2", "n3"]
        self.calls: list[str] = []
        self.shaped = Shape()
        self.cuts: set[str] = set()
        self.runs = True
        self.stands = False
        self.resets = 0

    def pids(self) -> list[int]:
        return [7, 8] if self.runs else []

    def kill(self) -> int:
        was, self.runs = len(self.pids()), False
        return was

    def restart(self) -> None:
        self.runs = True

    def pause(self) -> list[int]:
        self.stands = True
        return self.pids()

    def resume(self) -> None:
        self.calls.append("resume")
        self.stands = False

    def cut(self, node: str) -> None:
        self.cuts.add(node)

    def heal(self) -> None:
        self.calls.append("heal")
        self.cuts.clear()

    def reset(self, _node: str) -> int:
        self.resets += 1
        return 1

    def shape(self, shape: Shape) -> None:
        self.shaped = shape

    def counts(self) -> dict[str, int]:
        carried = 0 if self.shaped == Shape() else 1
        return {"cuts": len(self.cuts), "resets": self.resets, "lost_bytes": 10 * self.resets, "carried_bytes": carried}


class SinkTarget(FakeTarget):
    """With a backup, or without one."""

    def __init__(self, sink: FakeSink | None) -> None:
        super().__init__(3, frozenset({SINK, PROCESS}))
        self.sink: Any = sink

    def resume(self, node: str) -> None:
        super().resume(node)
        if self.sink is not None:
            self.sink.calls.append(f"resume {node}")


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> FakeSink:
    """Nothing takes long."""
    made = FakeSink()
    monkeypatch.setattr(nemeses, "RESET_S", (0.001, 0.002))
    monkeypatch.setattr(nemeses, "STOP_S", 0.01)
    monkeypatch.setattr(nemeses, "USED_S", 0.01)
    monkeypatch.setattr(nemeses, "is_stopped", lambda _pid: made.stands)
    return made


def scene(sink: FakeSink | None, **notes: Any) -> Scene:
    return Scene(SinkTarget(sink), random.Random(1), "n1", notes)


# ---- each fault
def test_a_killed_server_runs_again(sink: FakeSink) -> None:
    """One that did not run was not killed."""
    one = scene(sink)
    first, second = SinkKill().inject(one, []), SinkKill().inject(scene(sink), [])
    SinkKill().heal(one)

    assert (first, second["took_effect"]) == ({"took_effect": True, "killed": 2}, False)
    assert sink.runs


def test_a_paused_server_is_one_that_stands_still(sink: FakeSink) -> None:
    """As the kernel says, not as was asked for."""
    said = SinkPause().inject(scene(sink), [])
    sink.runs = False
    nothing = SinkPause().inject(scene(sink), [])
    SinkPause().heal(scene(sink))

    assert (said, nothing["took_effect"]) == ({"took_effect": True, "stopped": 2}, False)
    assert not sink.stands


def test_resets_go_on_until_they_are_healed(sink: FakeSink) -> None:
    """And say how much was lost; the way is as it was."""
    one = scene(sink)
    SinkReset().inject(one, [])
    while sink.resets < 6:
        one.notes["stop"].wait(0.001)
    said = SinkReset().heal(one)
    after = sink.resets
    again = SinkReset().heal(one)

    assert said["took_effect"]
    assert said["lost_bytes"] == 10 * said["resets"] > 0
    assert (sink.shaped, sink.resets, again["resets"]) == (Shape(), after, said["resets"])


@pytest.mark.parametrize("stop", [True, False])
def test_a_cut_hits_its_victims_alone_and_ends_before_they_go_on(sink: FakeSink, stop: bool) -> None:
    """What an old leader had sent arrives first; without `stop` nobody stands still."""
    one = scene(sink, stop=stop)
    said = SinkCut().inject(one, ["n1"])
    cut, paused = set(sink.cuts), set(one.target.paused)  # type: ignore[attr-defined]
    SinkCut().heal(one)

    assert said == {"took_effect": True, "cuts": 1, "stopped": int(stop)}
    assert (cut, paused) == ({"n1"}, {"n1"} if stop else set())
    assert (sink.cuts, one.target.paused, sink.shaped) == (set(), set(), Shape())  # type: ignore[attr-defined]
    assert sink.calls == (["heal", "resume n1"] if stop else ["heal"])


def test_a_slow_way_is_as_it_was_afterwards(sink: FakeSink) -> None:
    """It took effect if anything went that way."""
    one = scene(sink)
    said = SinkSlow().inject(one, [])
    shaped = sink.shaped

    assert shaped.delay_s >= 0.1
    assert said["took_effect"]
    assert SinkSlow().heal(one)["took_effect"] is False  # nothing was carried
    assert sink.shaped == Shape()


@pytest.mark.parametrize("nemesis", [SinkKill, SinkPause, SinkReset, SinkCut, SinkSlow])
def test_healing_without_a_fault_changes_nothing(sink: FakeSink, nemesis: Callable[[], Any]) -> None:
    """N2; and without a backup the fault says so."""
    nemesis().heal(scene(sink))
    with pytest.raises(TargetError, match="no backup"):
        nemesis().inject(scene(None), ["n1"])

    assert (sink.runs, sink.stands, sink.cuts, sink.shaped, sink.resets) == (True, False, set(), Shape(), 0)


def test_a_file_can_be_written_but_not_broken(tmp_path: Path) -> None:
    """The ability is missing, with its reason; the same holds without a backup."""
    made = LocalTarget(tmp_path, TargetSettings(backup="sqlite"))
    without = LocalTarget(tmp_path, TargetSettings())

    assert "a file has no server" in missing(SinkKill(), made)
    assert "has no backup" in missing(SinkKill(), without)
    assert why_no_sink("postgres") == why_no_postgres()
    with pytest.raises(TargetError, match="one of sqlite"):
        SinkPlace("tape", tmp_path, ["n1"], Ledger(tmp_path))


# ---- real servers
async def _generations(url: str, password: str) -> int:
    sink = open_sink(url, password=password, timeout_s=5.0)
    try:
        await sink.open()
        return len(await sink.generations())
    finally:
        await sink.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_real_server_dies_stands_still_and_comes_back(tmp_path: Path, kind: str) -> None:
    """Each node reaches it by a way of its own; nothing of it is left at the end."""
    place = SinkPlace(kind, tmp_path, ["n1", "n2"], Ledger(tmp_path))
    try:
        place.start()
        password = place.password_file.read_text()
        ways = {place.url("n1"), place.url("n2"), place.url()}
        reached = asyncio.run(_generations(place.url("n2"), password))
        first = place.pids()[0]
        place.pause()
        while not is_stopped(first):
            pass
        place.resume()
        place.resume()
        killed = place.kill()
        gone = place.pids()
        place.restart()
        again = asyncio.run(_generations(place.url("n1"), password))
        last = place.pids()
    finally:
        place.discard()

    assert (len(ways), reached, again) == (3, 0, 0)
    assert (killed > 0, gone, bool(last)) == (True, [], True)
    assert password not in place.table("n1")["url"]
    assert not place.folder.exists()
    assert not place.password_file.exists()
    assert not any(map(started, last))


# ---- the end of a run
def stored(name: str, first: int, last: int, term: int = 1, kind: int = 2, fresh: bool = False) -> Stored:
    return Stored(kind, first, last, term, 0, b"", 0, True, fresh, 1, b"", b"", False, name)


def test_batches_stand_in_the_order_in_which_they_were_stored() -> None:
    """By a database's numbers where there are some, else by their first index."""
    late = [stored("9", 5, 6), stored("10", 1, 4)]
    named = [stored("b/5", 5, 6, term=2), stored("a/1", 1, 4)]

    assert in_order(late) == [[1, 5, 6], [1, 1, 4]]
    assert in_order(named) == [[1, 1, 4], [2, 5, 6]]


def test_batches_before_a_base_that_began_anew_are_left_out() -> None:
    """There may be a gap; one that did not begin anew changes nothing."""
    batches = [stored("1", 1, 4), stored("2", 5, 6), stored("4", 11, 12)]

    assert in_order([*batches, stored("3", 10, 10, kind=1, fresh=True)]) == [[1, 11, 12]]
    assert len(in_order([*batches, stored("3", 10, 10, kind=1)])) == 3


def test_what_a_backup_is_worth_is_found_by_restoring_it(tmp_path: Path) -> None:
    """The state's digest is the cluster's; once the newest batch is gone, the program says that it is."""
    target = LocalTarget(tmp_path, TargetSettings(nodes=1, backup="sqlite"))
    try:
        target.start()
        admin = Admin({"n1": target.url("n1")}, target.token, None)
        for number in range(5):
            admin.must("PUT", f"secret/data/{number}", {"data": {"n": str(number)}})
        good = worth(target, admin, tmp_path / "keys")
        target.stop()
        assert target.sink is not None
        words = restoring._words(target.sink, keys_of(tmp_path, target))
        to_newest = ("drill", *words, "--to-index", str(good["restored_index"]))
        before = restoring._run(*to_newest)
        with sqlite3.connect(target.sink.folder / "sink.db") as database:
            database.execute("DELETE FROM objects WHERE last_index >= ?", (good["restored_index"],))
        after = restoring._run(*to_newest)
    finally:
        target.stop()
        target.discard()

    assert good["digest"] == good["restored_digest"]
    assert good["batches"]
    assert "error" not in good
    assert before["digest"] == good["digest"]
    assert after["error"].startswith("backup drill ended with")
    assert not (tmp_path / "keys").exists()


def keys_of(folder: Path, target: LocalTarget) -> Path:
    file = folder / "own-keys"
    file.write_text(f"{target.shares[0]}\n")
    return file
