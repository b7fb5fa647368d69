"""What a killed run left behind is removed: what its ledger names, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.ledger import Ledger, clean, started
from chaos.shrink import minimal
from chaos.targets.base import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

import pytest

WAITS = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that would run for ever."""
    with subprocess.Popen(WAITS, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def orphaned(place: Path) -> None:
    """The ledger's owner has ended."""
    (file,) = place.glob(f"{PREFIX}*.json")
    said = json.loads(file.read_text())
    said["owner"][1] += 1  # the pid was given to another process since
    file.write_text(json.dumps(said))


def test_a_process_of_an_ended_run_is_ended(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """And the ledger is gone."""
    Ledger(tmp_path).note("processes", sleeper.pid)
    orphaned(tmp_path)

    assert clean(print, tmp_path) == 0
    assert sleeper.wait(10) < 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["writable by others", "a link", "another user's"])
def test_a_ledger_of_somebody_else_is_not_believed(
    how: str, tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everybody on the machine could have whoever cleans up end any process and remove folders."""
    Ledger(tmp_path).note("processes", sleeper.pid)
    orphaned(tmp_path)
    (file,) = tmp_path.glob("*.json")
    if how == "writable by others":
        file.chmod(0o666)
    elif how == "a link":
        (tmp_path / "there").mkdir()
        file.rename(tmp_path / "there" / file.name)
        file.symlink_to(tmp_path / "there" / file.name)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)

    assert clean(print, tmp_path) == 0
    assert sleeper.poll() is None
    assert file.exists()


def test_a_ledger_follows_nobodys_link_and_is_nobody_elses_to_write(tmp_path: Path) -> None:
    """Whoever knows its name may have put something there."""
    ledger = Ledger(tmp_path)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    ledger._file.with_suffix(".new").symlink_to(precious)
    ledger.note("folders", "x")

    assert precious.read_text() == "mine"
    assert ledger._file.stat().st_mode & 0o777 == 0o600
    assert json.loads(ledger._file.read_text())["folders"] == ["x"]


def test_what_a_run_that_goes_on_has_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """Its owner lives."""
    ledger = Ledger(tmp_path)
    ledger.note("processes", sleeper.pid)

    assert clean(print, tmp_path) == 0
    assert sleeper.poll() is None
    ledger.close()
    assert list(tmp_path.iterdir()) == []


def test_a_pid_that_was_used_again_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """It began at another time than what the run had started."""
    Ledger(tmp_path).note("processes", sleeper.pid)
    orphaned(tmp_path)
    (file,) = tmp_path.glob(f"{PREFIX}*.json")
    said = json.loads(file.read_text())
    said["processes"][0][1] += 1
    file.write_text(json.dumps(said))
    clean(print, tmp_path)

    assert sleeper.poll() is None


def test_what_does_not_carry_the_prefix_is_left_alone(tmp_path: Path) -> None:
    """Whatever a damaged ledger says."""
    mine, other = tmp_path / f"{PREFIX}folder", tmp_path / "precious"
    mine.mkdir()
    other.mkdir()
    ledger = Ledger(tmp_path)
    ledger.note("folders", str(mine))
    ledger.note("folders", str(other))
    ledger.note("namespaces", "precious")
    orphaned(tmp_path)
    clean(print, tmp_path)

    assert not mine.exists()
    assert other.exists()


def test_a_ledger_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    """Nothing is guessed."""
    file = tmp_path / f"{PREFIX}1-0.json"
    file.write_text("{")

    assert clean(print, tmp_path) == 0
    assert file.exists()


def test_a_process_is_known_by_its_start() -> None:
    """0 for what does not run."""
    assert started(os.getpid()) > 0
    assert started(2**22 + 1) == 0


@pytest.mark.parametrize("needed", [{3}, {0, 7}, {1, 2, 3}, {0, 4, 9}])
def test_shrinking_finds_what_is_needed(needed: set[int]) -> None:
    """And no more."""
    asked: list[int] = []

    def fails(items: Sequence[int]) -> bool:
        asked.append(len(items))
        return needed <= set(items)

    assert set(minimal(range(10), fails)) == needed
    assert len(asked) < 80
