"""Disks that lose power, fill up, stand still or fail: a disk that is not there, then, as root, real ones."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos import env
from chaos.disk.loop import unavailable
from chaos.ledger import Ledger, clean
from chaos.nemesis import disk as disks
from chaos.nemesis import power as powers
from chaos.nemesis.base import Scene, missing
from chaos.nemesis.disk import Error, Full, Slow
from chaos.nemesis.power import Power
from chaos.targets.base import DISK, POWER, PROCESS, SEAL, TargetError, TargetSettings
from chaos.targets.disks import NodeDisk
from chaos.targets.keys import wait_until
from chaos.targets.local import LocalTarget
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
real = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


class FakeDisk:
    """Remembers what was done to it."""

    def __init__(self) -> None:
        self.fails = False
        self.is_full = False
        self.stands = False
        self.calls: list[str] = []

    def fill(self) -> int:
        taken, self.is_full = 0 if self.is_full else 1000, True
        return taken

    def make_room(self) -> None:
        self.is_full = False

    def freeze(self) -> None:
        self.calls.append("freeze")
        self.stands = True

    def thaw(self) -> None:
        self.calls.append("thaw")
        self.stands = False

    def stall_s(self, pause_s: float) -> float:
        return pause_s

    def cut(self) -> None:
        self.fails = True

    def again(self) -> None:
        self.calls.append("again")
        self.fails = False


class DiskTarget(FakeTarget):
    """Nodes with a disk each; those in `stubborn` run on without one."""

    def __init__(self) -> None:
        super().__init__(3, frozenset({DISK, POWER, PROCESS, SEAL}))
        self.disks = {node: FakeDisk() for node in self.nodes}
        self.stubborn: set[str] = set()

    def disk(self, node: str) -> FakeDisk:
        return self.disks[node]

    def pids(self, node: str) -> list[int]:
        ended = self.disks[node].fails and node not in self.stubborn
        return [] if ended else super().pids(node)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> DiskTarget:
    """Cuts go to disks that are not there."""

    def cut_all(cut: Iterable[FakeDisk]) -> float:
        for one in cut:
            one.cut()
        return 0.001

    monkeypatch.setattr(powers, "cut_all", cut_all)
    monkeypatch.setattr(disks, "END_S", 0.02)
    monkeypatch.setattr(disks, "says_full", lambda target, node: target.disk(node).is_full)
    monkeypatch.setattr(disks, "STALLS_S", (0.001,))
    return DiskTarget()


def scene(target: FakeTarget) -> Scene:
    """One fault's."""
    return Scene(target, random.Random(1), "n1")


# ---- power
def test_power_is_cut_and_nothing_runs(target: DiskTarget) -> None:
    """At every victim and nobody else."""
    said = Power().inject(scene(target), ["n1", "n2"])

    assert said == {"took_effect": True, "dark": 2, "killed": 2, "spread_ms": 1.0}
    assert {node for node in target.nodes if target.disk(node).fails} == {"n1", "n2"}
    assert target.calls == [("kill", "n1"), ("kill", "n2")]


def test_a_cut_that_cut_nothing_took_no_effect(target: DiskTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is asked, not the nemesis."""
    monkeypatch.setattr(powers, "cut_all", lambda _: 0.0)

    assert Power().inject(scene(target), ["n1"])["took_effect"] is False


def test_power_comes_back_before_the_node(target: DiskTarget) -> None:
    """Once mounted afresh it is left alone; a heal without a fault does nothing."""
    assert Power().heal(scene(target)) == {}
    one = scene(target)
    Power().inject(one, ["n1"])
    assert Power().heal(one) == Power().heal(one) == {}

    assert target.disk("n1").calls == ["again"]
    assert target.down == set()


# ---- full
def test_a_full_disk_is_kept_full_until_it_heals(target: DiskTarget) -> None:
    """What becomes free is taken within a turn."""
    one = scene(target)
    said = Full().inject(one, ["n2"])
    target.disk("n2").make_room()
    wait_until(lambda: target.disk("n2").is_full, "it is full again", 5.0)
    after = Full().heal(one)

    assert said == {"took_effect": True, "filled_bytes": 1000, "full": 1}
    assert after["refilled_bytes"] >= 1000
    assert after["noticed"] == 1
    assert not target.disk("n2").is_full
    assert Full().heal(one) == after
    assert not one.notes["thread"].is_alive()


def test_a_disk_that_has_room_left_is_not_full(target: DiskTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write of one more block is what says so."""
    monkeypatch.setattr(FakeDisk, "fill", lambda _: 1000)
    one = scene(target)
    said = Full().inject(one, ["n2"])
    Full().heal(one)

    assert said["took_effect"] is False


# ---- slow
def test_a_slow_disk_stands_still_again_and_again_and_goes_on(target: DiskTarget) -> None:
    """It goes on after heal, whatever the thread was at."""
    one = scene(target)
    said = Slow().inject(one, ["n1"])
    wait_until(lambda: one.notes["stalls"] >= 3, "some stalls", 5.0)
    after = Slow().heal(one)

    assert said["took_effect"] is True
    assert after["stalls"] >= 3
    assert target.disk("n1").calls[-1] == "thaw"
    assert not target.disk("n1").stands
    assert Slow().heal(one) == after


def test_a_stall_that_no_write_felt_took_no_effect(target: DiskTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a write of ours took is what counts."""
    monkeypatch.setattr(FakeDisk, "stall_s", lambda *_: 0.0)
    one = scene(target)
    said = Slow().inject(one, ["n1"])
    Slow().heal(one)

    assert said["took_effect"] is False


def test_a_disk_that_fails_meanwhile_ends_neither_stalls_nor_refills(
    target: DiskTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another fault's power cut: what repeats goes on when there is a disk again."""

    def fails(_: FakeDisk) -> None:
        raise OSError(errno.EIO, "no power")

    one = scene(target)
    with monkeypatch.context() as meanwhile:
        Slow().inject(one, ["n1"])
        meanwhile.setattr(FakeDisk, "freeze", fails)
        seen = one.notes["stalls"]
    wait_until(lambda: one.notes["stalls"] > seen + 2, "stalls again", 5.0)
    Slow().heal(one)

    assert not target.disk("n1").stands


# ---- error
def test_a_node_ends_without_its_disk_and_comes_back_on_another(target: DiskTarget) -> None:
    """It is not killed by us: it has to find out."""
    one = scene(target)
    said = Error().inject(one, ["n1"])
    assert said == {"took_effect": True, "failing": 1}
    assert ("kill", "n1") not in target.calls

    assert Error().heal(one) == {}
    assert Error().heal(one) == {}
    assert target.disk("n1").calls == ["again"]


def test_a_node_that_runs_on_without_its_disk_is_named(target: DiskTarget) -> None:
    """And ended all the same."""
    target.stubborn.add("n1")
    one = scene(target)
    Error().inject(one, ["n1"])

    assert Error().heal(one) == {"went_on": ["n1"]}
    assert target.calls == [("kill", "n1"), ("revive", "n1")]


@pytest.mark.parametrize("nemesis", [Power(), Full(), Slow(), Error()])
def test_heal_without_a_fault_does_nothing(nemesis: Power | Full | Slow | Error, target: DiskTarget) -> None:
    """N2."""
    nemesis.heal(scene(target))

    assert target.calls == []
    assert all(one.calls == [] for one in target.disks.values())


# ---- the ability
def test_disks_must_be_asked_for(tmp_path: Path) -> None:
    """A scenario that did not is told so, on any machine."""
    without = LocalTarget(tmp_path, TargetSettings())

    assert not without.abilities & {POWER, DISK}
    assert "disks" in missing(Power(), without) or "root" in missing(Power(), without)
    with pytest.raises(TargetError, match="no disk of its own"):
        without.disk("n1")


def test_disks_need_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for without it, the faults are skipped with the reason, and the cluster does not start without them."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    target = LocalTarget(tmp_path, TargetSettings(disks=True))

    assert not target.abilities & {POWER, DISK}
    assert missing(Full(), target) == "disk: needs root"
    with pytest.raises(TargetError, match="needs root"):
        target.start()


@pytest.mark.skipif(bool(env.disks()), reason=env.disks())
def test_who_asks_for_disks_has_them(tmp_path: Path) -> None:
    """As root."""
    assert {POWER, DISK} <= LocalTarget(tmp_path, TargetSettings(disks=True)).abilities


# ---- real ones
@pytest.fixture
def disk(tmp_path: Path) -> Iterator[NodeDisk]:
    """A node's disk."""
    made = NodeDisk.made(tmp_path, "n1", Ledger(tmp_path))
    yield made
    made.remove()
    assert not made.image.exists()
    assert not made.root.exists()


@real
def test_a_real_disk_is_full_and_has_room_again(disk: NodeDisk) -> None:
    """ENOSPC to whoever writes, root too; a second filling finds nothing; what was there stays."""
    (disk.data / "kept").write_bytes(b"kept")
    assert not disk.is_full
    assert disk.fill() > 10 << 20
    assert (disk.is_full, disk.fill()) == (True, 0)
    with pytest.raises(OSError, match="No space left") as caught:
        (disk.data / "more").write_bytes(bytes(1 << 20))
    assert caught.value.errno == errno.ENOSPC
    disk.make_room()

    assert not disk.is_full
    assert (disk.data / "kept").read_bytes() == b"kept"


@real
def test_a_write_to_a_real_disk_that_stands_still_waits(disk: NodeDisk) -> None:
    """As long as it does; freezing and letting go may be repeated."""
    assert disk.stall_s(0.2) >= 0.19
    disk.freeze()
    disk.freeze()
    disk.thaw()
    disk.thaw()

    assert disk.stall_s(0.0) < 0.19
    assert not disk.fails


@real
def test_a_real_disk_without_power_fails_and_comes_back_with_its_folder(disk: NodeDisk) -> None:
    """The data folder itself was synced when the disk was made."""
    assert not disk.fails
    disk.cut()
    assert disk.fails
    disk.thaw()
    disk.again()

    assert not disk.fails
    assert disk.data.is_dir()


@real
def test_nothing_meant_for_a_disk_hits_the_machine(disk: NodeDisk) -> None:
    """While it is not mounted, its mount point is a folder of the machine's own file system."""
    disk.unmount()
    for meant in (disk.fill, disk.freeze, disk.cut):
        with pytest.raises(OSError, match="nothing is mounted there"):
            meant()
    with pytest.raises(subprocess.CalledProcessError):
        powers.cut_all([disk])
    assert not disk.fails  # nothing was written that could have failed
    assert list(disk.root.iterdir()) == []


LEAVES_IT_FROZEN = """
import os, signal, sys
from pathlib import Path
from chaos.ledger import Ledger
from chaos.targets.disks import NodeDisk
disk = NodeDisk.made(Path(sys.argv[1]), "n1", Ledger(Path(sys.argv[1])))
disk.freeze()
print(disk.root, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@real
def test_a_disk_that_a_killed_run_left_standing_still_is_removed(tmp_path: Path) -> None:
    """Let go first, else whoever waits in it waits for ever."""
    killed = subprocess.run(
        [sys.executable, "-c", LEAVES_IT_FROZEN, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    left = Path(killed.stdout.strip())
    assert left.is_mount()

    assert clean(print, tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
