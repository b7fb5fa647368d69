"""The files of a run's folder, and the history in Jepsen's form."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from chaos import history
from chaos.check.every import CHECKERS
from chaos.plan import PlanError
from chaos.report.write import all_files, edn_file
from tests.chaos.report_pages import harmless, made, results, ruling, told

if TYPE_CHECKING:
    from pathlib import Path


def test_both_files_stand_in_the_folder(tmp_path: Path) -> None:
    """With what each checker verifies, and nothing else left behind."""
    folder = made(tmp_path / "run", told(), results(ruling("witness")))
    before = {path.name for path in folder.iterdir()}

    all_files(folder)

    assert {path.name for path in folder.iterdir()} - before == {"report.html", "junit.xml"}
    read = harmless((folder / "report.html").read_text(encoding="utf-8"))
    assert f"Verified: {CHECKERS['witness'].verified}." in read.said
    assert f"Not verified: {CHECKERS['witness'].not_verified}." in read.said
    assert ET.parse(folder / "junit.xml").getroot().get("tests") == "1"


def test_they_are_written_again(tmp_path: Path) -> None:
    """After the run was judged."""
    folder = made(tmp_path / "run", told())
    all_files(folder)
    assert "not judged" in (folder / "report.html").read_text(encoding="utf-8")

    made(folder, told(), results(ruling("witness")))
    all_files(folder)

    assert "not judged:" not in harmless((folder / "report.html").read_text(encoding="utf-8")).titles[0]
    assert ET.parse(folder / "junit.xml").getroot().get("errors") == "0"


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    """Nothing is made."""
    with pytest.raises(PlanError, match="is no run's folder"):
        all_files(tmp_path / "none")

    assert list(tmp_path.iterdir()) == []


def test_a_history_in_jepsens_form_has_every_event(tmp_path: Path) -> None:
    """A map a line."""
    folder = made(tmp_path / "run", told())

    edn_file([folder], tmp_path / "out.edn")

    lines = (tmp_path / "out.edn").read_text().splitlines()
    assert len(lines) == len(told().events)
    assert lines[0] == '{:index 0, :time 0, :type :invoke, :process 1000, :f :write, :value ["r/1" "chaosmark-0"]}'
    assert lines == list(history.edn(told().events))


def test_two_histories_in_one_file_are_refused(tmp_path: Path) -> None:
    """Their indexes and processes would be the same: a checker would find nonsense."""
    folders = [made(tmp_path / name, told()) for name in ("a", "b")]

    with pytest.raises(PlanError, match="of one run, not of 2"):
        edn_file(folders, tmp_path / "out.edn")

    assert not (tmp_path / "out.edn").exists()


@pytest.mark.parametrize("content", [None, "5\n", '{"index": 1}\n', "{\n"])
def test_a_folder_without_a_readable_history_is_refused(tmp_path: Path, content: str | None) -> None:
    """With its reason; the file of an earlier export stays."""
    (tmp_path / "out.edn").write_text("old")
    if content is not None:
        (tmp_path / "history.jsonl").write_text(content)

    with pytest.raises(PlanError, match=r"history\.jsonl"):
        edn_file([tmp_path], tmp_path / "out.edn")

    assert (tmp_path / "out.edn").read_text() == "old"
