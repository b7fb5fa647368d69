"""Loss of power, rot and kill -9, a few of each; `python -m tests.power` runs many.

With root on ext4 that an ioctl shuts down, else over a disk that drops what was not synced: each test's name and a line
of its output say which.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from chaos.disk.loop import LoopDisk, clean, unavailable
from chaos.sim.disk import SimDisk
from cluster.journal import wal
from cluster.journal.writer import LogWriter
from tests.power import blackouts, cycles, rot
from tests.power.__main__ import way
from tests.power.life import InlineWriter, Life
from tests.power.promises import Promises, begin

ROOT = Path(__file__).parents[2]
EXT4 = ["ext4"] if not unavailable() else []
WAYS = [*EXT4, "dropping"]


@pytest.fixture(autouse=True)
def _said() -> None:
    print(way())


# ---- a loss of power
@pytest.mark.parametrize("_", EXT4)
def test_what_was_synced_survives_a_cut_and_what_was_not_is_gone(_: str, tmp_path: Path) -> None:
    """And nothing is written afterwards: else the other tests on ext4 prove nothing."""
    with LoopDisk(tmp_path) as disk:
        for name in ("synced", "not synced"):
            with (disk.root / name).open("wb", buffering=0) as file:
                file.write(name.encode())
                if name == "synced":
                    os.fsync(file.fileno())
        disk.cut()
        with pytest.raises(OSError, match="Input/output"):
            (disk.root / "late").write_bytes(b"")
        disk.again()
        left = {path.name: path.read_bytes() for path in disk.root.iterdir() if path.is_file()}

        assert left == {"synced": b"synced"}


LEAVES_A_MOUNT = """
import os, signal, sys
from pathlib import Path
from chaos.disk.loop import LoopDisk
with LoopDisk(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("_", EXT4)
def test_what_a_killed_run_left_is_removed_and_what_is_in_use_stays(_: str, tmp_path: Path) -> None:
    """By the name and by the process in it; nothing else is touched."""
    with LoopDisk(tmp_path) as mine:
        ended = subprocess.run([sys.executable, "-c", LEAVES_A_MOUNT, str(tmp_path)], cwd=ROOT, check=False)
        left = [path for path in tmp_path.iterdir() if path not in {mine.root, mine.image}]
        removed = clean()

        assert ended.returncode == -signal.SIGKILL
        assert len(left) == 2
        assert [path for path in left if path.exists()] == []
        assert str(mine.root) not in removed
        assert mine.root.is_mount()


MOMENTS = ("log", "ballot", "snapshot", "compaction", "cut while starting")


@pytest.mark.parametrize("kind", WAYS)
def test_nothing_reported_is_lost_with_the_power(kind: str, tmp_path: Path) -> None:
    """Log, ballot, snapshots and compaction, at moments nobody chose; the next start is always possible."""
    counts: Counter[str] = Counter()
    for seed in range(1, 4):  # when the power goes depends on the machine: a start may not have been among the moments
        counts += cycles.run_ext4(10, seed, tmp_path) if kind == "ext4" else cycles.run_dropping(400, seed)
        if all(counts[what] for what in MOMENTS):
            break
    print(dict(counts))

    assert [what for what in MOMENTS if not counts[what]] == []


@pytest.mark.parametrize("kind", WAYS)
def test_a_report_before_the_sync_is_found_out(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: a journal that reports what it has only written does lose it, and that is seen."""
    if kind == "ext4":
        with pytest.raises(AssertionError, match="was reported"):
            cycles.run_ext4(20, 1, tmp_path, buffered=True)
    else:
        monkeypatch.setattr(LogWriter, "sync", lambda writer: writer.last_sequence)
        with pytest.raises(AssertionError, match="was reported"):
            cycles.run_dropping(100, 1)


# ---- rot
def test_rot_of_any_file_is_seen_or_changes_nothing(tmp_path: Path) -> None:
    """Bits that turn and ends that are cut off, in every kind of file."""
    counts = rot.run(60, 1, tmp_path)
    print(dict(counts))

    assert {name.rpartition(" ")[0] for name in counts} == rot.JUDGES.keys()
    assert min(counts[f"{kind} seen"] for kind in ("segment", "snapshot", "keyring", "bootstrap")) > 0


def test_rot_that_the_product_does_not_see_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: without the CRC of a batch another entry is taken for true."""
    monkeypatch.setattr("cluster.journal.scan.zlib.crc32", lambda *_: 0)
    monkeypatch.setattr(wal, "_header_crc", lambda *_: 0)
    with pytest.raises(rot.SilentlyWrongError):
        rot.run(200, 1, tmp_path)


# ---- kill -9
def test_no_kill_at_any_change_of_a_file_loses_what_was_reported() -> None:
    """Each eighth change of each kind in a row of lives; in a process of its own, because it forks."""
    shared = Path("/dev/shm")  # the process is killed, not the machine: memory will do
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        command = [sys.executable, "-m", "tests.power.kills", "--folder", folder, "--turns", "20", "--every", "8"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "kills:" in done.stdout
    print(done.stdout)


def test_a_report_before_the_write_is_found_out() -> None:
    """The twin: a kill loses it."""
    disk, promises = SimDisk(), Promises()
    life = Life(promises, random.Random(1))
    opened = begin(disk, promises)
    life.begin(opened, InlineWriter(disk, opened, life.callbacks, random.Random(1)))
    life.log.add(b"entry", 1, 1)
    life.callbacks.on_synced(promises.handed_over)
    disk.kill()

    with pytest.raises(AssertionError, match="reported"):
        begin(disk, promises)


# ---- the cluster
@pytest.mark.process
@pytest.mark.parametrize("kind", EXT4 or ["simulated"])
def test_every_answer_is_kept_when_all_nodes_lose_power_at_once(kind: str, tmp_path: Path) -> None:
    """Three real nodes on file systems of their own; without root the simulator's clusters, where the same happens."""
    if kind == "ext4":
        counts = blackouts.run_ext4(1, 1, tmp_path)
        assert counts["answered before the cut"] > 0
    else:
        counts = blackouts.run_dropping(3, 1)
    print(dict(counts))
