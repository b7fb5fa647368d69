"""The search for a marker finds it wherever and however it lies, and the checker says what was not searched."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import pytest

from chaos.check import grep
from chaos.check.plaintext import Plaintext
from chaos.workload import MARK
from tests.chaos.histories import Story

VALUE = f"x{MARK}-7-1"


def story(**plaintext: object) -> Story:
    searched = {"files": 9, "bytes": 99, "found": [], "unread": [], **plaintext}
    return Story(plaintext=searched).op("write", "k", VALUE, version=1).file("nodes/n1/node.log", b"nothing\n")


def test_no_trace_holds(tmp_path: Path) -> None:
    """The runner's search and what is left here."""
    verdict = Plaintext().check(story().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"files": 9, "bytes": 99, "files_here": 1, "writes": 1}


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("plain", VALUE.encode()),
        ("hex", VALUE.encode().hex().encode()),
        ("HEX", VALUE.encode().hex().upper().encode()),
        ("utf-16", VALUE.encode("utf-16-le")),
        ("reversed", VALUE[::-1].encode()),
        ("base64+0", base64.b64encode(b"abc" + MARK.encode() + b"d")),
        ("base64+1", base64.b64encode(b"abcd" + MARK.encode() + b"de")),
        ("base64+2", base64.urlsafe_b64encode(b"abcde" + MARK.encode() + b"def")),
    ],
)
def test_a_value_in_any_form_is_violated_and_placed_but_not_shown(form: str, content: bytes, tmp_path: Path) -> None:
    """The file, the byte and the form; never the value."""
    run = story().file("nodes/n2/audit/audit1.log", b"....\n" + content + b"\n").run(tmp_path)
    verdict = Plaintext().check(run)

    assert verdict.valid == "violated"
    assert f"({form})" in verdict.details[0]
    assert "audit1.log at byte " in verdict.details[0]
    assert "-7-1" not in verdict.details[0]


def test_what_the_runner_found_is_violated(tmp_path: Path) -> None:
    """Its places exist no more."""
    found = [{"file": "data/journal", "offset": 12, "form": "plain"}]

    assert Plaintext().check(story(found=found).run(tmp_path)).valid == "violated"


def test_places_that_were_not_searched_are_unknown(tmp_path: Path) -> None:
    """No facts, no files, files that could not be read, and no value that could be found."""
    for name in "abcd":
        (tmp_path / name).mkdir()
    nothing = Story(plaintext={"files": 9, "bytes": 99, "found": [], "unread": []}).op("read", "k", version=0)

    assert Plaintext().check(story().cut_short().run(tmp_path / "a")).valid == "unknown"
    assert Plaintext().check(story(files=0).run(tmp_path / "b")).valid == "unknown"
    assert Plaintext().check(story(unread=["data/x"]).run(tmp_path / "c")).valid == "unknown"
    assert Plaintext().check(nothing.run(tmp_path / "d")).valid == "unknown"


# ---- the search
def test_a_hit_across_two_pieces_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the place at which a file is cut."""
    monkeypatch.setattr(grep, "PIECE_BYTES", 16)
    for before in range(40):
        content = b"." * before + MARK.encode() + b"." * 40
        count, hits = grep.search_stream(io.BytesIO(content), grep.forms(MARK))
        assert hits == [(before, "plain")]
        assert count == len(content)


def test_hits_of_one_file_are_limited(tmp_path: Path) -> None:
    """A file full of values is one finding, not a million."""
    (tmp_path / "full").write_bytes(MARK.encode() * 1000)

    assert len(grep.search([tmp_path], MARK)["found"]) == grep.HITS_PER_FILE


def test_every_file_below_every_place_is_searched_once(tmp_path: Path) -> None:
    """Hidden ones and deep ones, too; a place below another and a second name count once; one that is not there not."""
    deep = tmp_path / "a" / ".b" / "c"
    deep.mkdir(parents=True)
    (deep / ".hidden").write_bytes(b"x" + MARK.encode())
    os.link(deep / ".hidden", tmp_path / "a" / "second-name")
    result = grep.search([tmp_path, tmp_path / "a", tmp_path / "absent"], MARK)

    assert result["files"] == 1
    assert len(result["found"]) == 1
    assert grep.search([deep / ".hidden"], MARK)["files"] == 1


def test_links_and_pipes_are_left_alone(tmp_path: Path) -> None:
    """Nothing is followed out of a place, and nothing blocks."""
    outside = tmp_path / "outside"
    outside.write_bytes(MARK.encode())
    place = tmp_path / "place"
    place.mkdir()
    (place / "link").symlink_to(outside)
    os.mkfifo(place / "pipe")
    (tmp_path / "second-place").symlink_to(outside)
    result = grep.search([place, tmp_path / "second-place"], MARK)

    assert result == {"files": 0, "bytes": 0, "found": [], "unread": []}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody takes it for searched."""
    (tmp_path / "locked").write_bytes(b"?")

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(grep.os, "open", refuse)
    assert grep.search([tmp_path], MARK)["unread"] == [str(tmp_path / "locked")]
