"""Audit devices that block, are full or rotate: the collector, the files, and a real node that answers health alone."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from chaos.nemesis import audit
from chaos.nemesis.audit import AuditBlocked, AuditFull, AuditRotate, answers
from chaos.nemesis.base import Scene
from chaos.nemesis.collecting import Collector
from chaos.targets.base import TargetSettings
from chaos.targets.keys import wait_until
from chaos.targets.local import LocalTarget
from tests.chaos.world import FakeTarget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE = b"x" * 1000 + b"\n"
WRITES = """
import sys
file = open(sys.argv[1], "ab", buffering=0)
for line in sys.stdin:
    try:
        print(file.write(line.encode()), flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


def dial(collector: Collector) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(collector.path))
    sock.setblocking(False)
    return sock


def kept(folder: Path, node: str = "n1") -> bytes:
    file = folder / "nodes" / node / "audit" / "audit-x.log"
    return file.read_bytes() if file.exists() else b""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """Every connection is n1's."""
    made = Collector(tmp_path, "audit-x.log", lambda pid: "n1" if pid == os.getpid() else "stranger")
    yield made
    made.close()


# ---- the collector
def test_whole_lines_are_kept_and_torn_ones_are_not(collector: Collector, tmp_path: Path) -> None:
    """Over any split; the sender of a torn one was told that it did not arrive."""
    sock = dial(collector)
    for piece in (b"on", b"e\ntwo\nth", b"ree\nfour"):
        sock.sendall(piece)
    sock.close()
    wait_until(lambda: kept(tmp_path) == b"one\ntwo\nthree\n", "lines arrive", 5.0)
    collector.close()
    collector.close()

    assert kept(tmp_path) == b"one\ntwo\nthree\n"
    assert collector.lines == {"n1": 3}
    assert not collector.path.parent.exists()


def test_the_deaf_are_not_read_until_they_are_heard_again(collector: Collector, tmp_path: Path) -> None:
    """What they said meanwhile is not lost; another connection of theirs is not read either."""
    first = dial(collector)
    first.sendall(b"before\n")
    wait_until(lambda: kept(tmp_path) == b"before\n", "a line arrives", 5.0)
    collector.deafen(["n1"])
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while taken < 10_000_000:
            taken += first.send(LINE)
    second = dial(collector)
    second.sendall(b"second\n")
    while_deaf = collector.lines["n1"]
    collector.deafen(())
    wait_until(lambda: b"second\n" in kept(tmp_path), "all is read", 5.0)
    collector.close()
    for sock in (first, second):
        sock.close()

    assert while_deaf <= 1 + 65  # one piece may have been under way
    assert 50_000 < taken < 10_000_000
    assert kept(tmp_path).count(LINE) == taken // len(LINE)


# ---- files
class FileTarget(FakeTarget):
    """One node whose process is ours, in a folder of the test."""

    def __init__(self, folder: Path, pid: int = 0) -> None:
        super().__init__(1)
        self.folder = folder
        self.pid = pid
        self.audit = folder / "nodes" / "n1" / "audit"
        self.audit.mkdir(parents=True)

    def pids(self, node: str) -> list[int]:
        return [self.pid]


def test_rotated_files_keep_what_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets a name that the checker finds, and then the node is signalled; files with other names stay."""
    monkeypatch.setattr(audit, "ROTATE_S", (0.001, 0.002))
    target = FileTarget(tmp_path)
    (target.audit / "audit1.log").write_text("one\n")
    (target.audit / "other").write_text("two\n")
    one = Scene(target, random.Random(1), None)
    AuditRotate().inject(one, ["n1"])
    wait_until(lambda: ("signal", "n1", signal.SIGHUP) in target.calls, "a turn", 5.0)
    said = AuditRotate().heal(one)
    calls = len(target.calls)
    again = AuditRotate().heal(one)
    found = sorted(target.audit.glob("audit*.log*"))

    assert said["took_effect"]
    assert [path.read_text() for path in found] == ["one\n"]
    assert found[0].name.startswith("audit1.log.")
    assert (target.audit / "other").read_text() == "two\n"
    assert (len(target.calls), again["turns"]) == (calls, said["turns"])
    assert AuditRotate().heal(Scene(target, random.Random(1), None)) == {"turns": 0, "took_effect": False}


def test_a_full_file_takes_nothing_until_it_heals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of that process alone; what is asked of the node afterwards is the nemesis's proof."""
    monkeypatch.setattr(audit, "answers", lambda _target, _node: {"read": 500, "health": 200})
    file = tmp_path / "nodes" / "n1" / "audit" / "audit1.log"
    target = FileTarget(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    results = []
    one = Scene(target, random.Random(1), None)
    try:
        for step in ("", "full", "healed"):
            if step == "full":
                target.pid = process.pid
                said = AuditFull().inject(one, ["n1"])
            elif step == "healed":
                AuditFull().heal(one)
                AuditFull().heal(one)
            process.stdin.write("line\n")
            results.append(int(process.stdout.readline()))
        limit = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[0]
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
    AuditFull().heal(one)  # it has ended

    assert results == [5, 27, 5]
    assert said["took_effect"]
    assert limit == resource.RLIM_INFINITY
    assert file.read_text() == "line\nline\n"


# ---- a real node
@pytest.mark.process
def test_a_real_node_with_its_only_device_blocked_or_full_answers_nothing_but_health(tmp_path: Path) -> None:
    """With a second device it answers; when the fault is over, it does again."""
    target = LocalTarget(tmp_path, TargetSettings(nodes=1))
    seen: dict[str, Any] = {}
    try:
        target.start()
        for name, nemesis, notes in (
            ("full", AuditFull(), {}),
            ("blocked", AuditBlocked(), {}),
            ("only", AuditBlocked(), {"only": True}),
        ):
            one = Scene(target, random.Random(1), "n1", dict(notes))
            try:
                seen[name] = nemesis.inject(one, ["n1"])
            finally:
                nemesis.heal(one)
            nemesis.heal(one)
            seen[f"{name} healed"] = answers(target, "n1")
        codes = target.stop()
    finally:
        target.stop()
        target.discard()

    assert seen["full"]["took_effect"]
    assert seen["blocked"]["took_effect"]
    assert seen["only"]["took_effect"]
    assert seen["full"]["answers"]["n1"] == {"read": 500, "health": 200}
    assert seen["blocked"]["answers"]["n1"] == {"read": 200, "health": 200}
    assert seen["only"]["answers"]["n1"]["health"] == 200
    assert seen["only"]["answers"]["n1"]["read"] != 200
    assert all(seen[f"{name} healed"] == {"read": 200, "health": 200} for name in ("full", "blocked", "only"))
    assert codes == {"n1": 0}
