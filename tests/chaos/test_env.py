"""What this machine can do is tried, and what hangs or is not there is a reason, not an error."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from chaos import cgroups, env, ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command is there, and this is root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("why_not", [env.namespaces, env.containers])
@pytest.mark.parametrize(
    ("end", "can"),
    [(0, True), (1, False), (subprocess.TimeoutExpired("x", 1), False), (FileNotFoundError("x"), False)],
    ids=str,
)
def test_a_command_that_fails_or_hangs_is_a_reason(
    why_not: Any, end: Any, can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`env check` and runs go on without that ability."""

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        if isinstance(end, Exception):
            raise end
        return subprocess.CompletedProcess(words, end)

    monkeypatch.setattr(subprocess, "run", run)
    assert (why_not() == "") is can


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: pytest.fail("it was tried"))

    assert env.namespaces() == env.disks() == env.packets() == "needs root"


def test_every_ability_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each, and the ledgers of runs."""
    monkeypatch.setattr(env, "ABILITIES", {"one": lambda: "", "two": lambda: "needs luck"})
    lines: list[str] = []

    assert env.check(lines.append) == 0
    assert lines[:2] == ["yes  one", "no   two (needs luck)"]
    assert "ledgers of runs" in lines[2]


@pytest.mark.parametrize(("left", "code"), [((0, 0), 0), ((1, 0), 3), ((0, 2), 3)])
def test_what_could_not_be_removed_is_no_success(
    left: tuple[int, int], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ledgers and control groups."""
    monkeypatch.setattr(ledger, "clean", lambda _say: left[0])
    monkeypatch.setattr(cgroups, "clean", lambda _say: left[1])

    assert env.clean(lambda _line: None) == code


def test_a_command_that_hangs_keeps_nothing_else_from_being_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as left; what is named after it is removed."""
    folder = tmp_path / f"{ledger.PREFIX}folder"
    folder.mkdir()

    def hangs(words: list[str], **_: Any) -> None:
        raise subprocess.TimeoutExpired(words, 1)

    monkeypatch.setattr(subprocess, "run", hangs)
    monkeypatch.setattr(os.path, "ismount", lambda _path: True)
    said = {"owner": [1, 1], "mounts": [str(tmp_path / f"{ledger.PREFIX}mount")], "folders": [str(folder)]}

    assert ledger._removed(said, lambda _line: None) == 1
    assert not folder.exists()
