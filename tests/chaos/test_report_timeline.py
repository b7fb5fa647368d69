"""The operations around a violation."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from chaos.report import timeline
from chaos.report.story import Story, load
from chaos.report.windows import CUT, WINDOWS_MAX, windows
from tests.chaos import histories
from tests.chaos.report_pages import Tale, made, results, ruling, shown

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000


def stale() -> Tale:
    """Two keys, written to in turn by processes 0 to 4; process 5 reads old news of a/1."""
    story = Tale()
    for number in range(40):
        key = f"run/{'ab'[number % 2]}/1"
        at = number * 10.0
        story.op(
            "write", key, f"chaosmark-{number}", at=(at, at + 4), process=number % 5, version=number // 2 + 1,
            index=number + 7,
        )  # fmt: skip
    story.op("read", "run/a/1", result="chaosmark-2", at=(405, 407), process=5, version=2, node="n3", index=50)
    story.op("write", "run/a/1", "chaosmark-lost", at=(381.5, 400), process=6, outcome="info", error="Timeout")
    return story


def judged(folder: Path, story: histories.Story, *named: int) -> Story:
    """The run with a witness that names these operations."""
    verdict = ruling("witness", "violated", "a stale read", details=["#1 against #2"], operations=list(named))
    return load(made(folder / "run", story, results(verdict, valid="violated")))


def index_of(story: histories.Story, value: str) -> int:
    """Of the operation that wrote or read it first."""
    return next(op.index for op in story.operations if value in {op.argument, op.result})


def test_a_violation_names_its_operations(tmp_path: Path) -> None:
    """Letters in the figure and in the table, in the order of their calls."""
    story = stale()
    read = next(op.index for op in story.operations if op.f == "read")
    write = index_of(story, "chaosmark-38")

    judged(tmp_path, story, read, write)
    page = shown(tmp_path / "run")

    assert page.cells.count("▶ A") == 1
    assert page.cells.count("▶ B") == 1
    place = page.cells.index("▶ A")
    assert page.cells[place : place + 13] == [
        "▶ A", str(write), "3", "n1", "write", "a/1", "chaosmark-38", "", "ok", "20", "45", "0.3800 s", "4.0 ms",
    ]  # fmt: skip
    place = page.cells.index("▶ B")
    assert page.cells[place : place + 13] == [
        "▶ B", str(read), "5", "n3", "read", "a/1", "", "chaosmark-2", "ok", "2", "50", "0.4050 s", "2.0 ms",
    ]  # fmt: skip
    assert any(title.startswith(f"A #{write} write") for title in page.titles)
    assert any(title.startswith(f"B #{read} read") for title in page.titles)
    marked = [value for tag, name, value in page.attributes if tag == "rect" and name == "class" and "named" in value]
    assert len(marked) == 2


def test_only_neighbours_on_the_same_key_are_shown(tmp_path: Path) -> None:
    """Operations on other keys say nothing of this one."""
    story = stale()
    read = next(op.index for op in story.operations if op.f == "read")

    told = judged(tmp_path, story, read)
    scene = timeline.scene(told, told.rulings[0])

    assert {call.op.key for call in scene.calls} == {"run/a/1"}
    assert len(scene.calls) == timeline.AROUND + 1
    assert scene.letters == {read: "A"}
    times = [call.op.called_ns for call in scene.calls]
    assert times == sorted(times)


def test_each_key_has_its_figure(tmp_path: Path) -> None:
    """The named ones of two keys are both drawn, on the same windows."""
    story = stale()

    told = judged(tmp_path, story, index_of(story, "chaosmark-10"), index_of(story, "chaosmark-11"))
    drawn = timeline.drawn(told, timeline.scene(told, told.rulings[0]))

    assert [key for key in ("a/1", "b/1") if f"<b>Around it: {key}</b>" in drawn] == ["a/1", "b/1"]
    grids = [re.findall(r'<text x="([\d.]+)"[^>]*class="x"', figure) for figure in drawn.split("</figure>")[:-1]]
    assert grids[0] == grids[1] != []


def test_an_operation_of_unknown_outcome_has_no_end(tmp_path: Path) -> None:
    """Its bar goes on to the edge: it may take effect at any time."""
    story = stale()

    judged(tmp_path, story, index_of(story, "chaosmark-lost"))
    page = shown(tmp_path / "run")

    bars = [dict(own) for own in rects(tmp_path / "run") if "c-info" in dict(own).get("class", "")]
    assert len(bars) == 1
    assert float(bars[0]["x"]) + float(bars[0]["width"]) == 1100 - 14
    assert "unknown Timeout" in page.cells


def rects(folder: Path) -> list[list[tuple[str, str]]]:
    """Attributes of all boxes of the page."""
    found: list[list[tuple[str, str]]] = []
    for tag, name, value in shown(folder).attributes:
        if tag == "rect":
            if name == "x":
                found.append([])
            found[-1].append((name, value))
    return [one for one in found if one]


def test_one_that_never_completed_is_drawn_and_says_so(tmp_path: Path) -> None:
    """The run was cut short under it."""
    story = stale().op("write", "run/a/1", "chaosmark-cut", at=(420, 0), process=9, cut=True)

    judged(tmp_path, story, index_of(story, "chaosmark-cut"))
    page = shown(tmp_path / "run")

    assert "never answered" in page.cells
    assert any("never answered" in title for title in page.titles)


def test_what_a_checker_names_in_vain_is_counted(tmp_path: Path) -> None:
    """More than there are letters, and numbers that are none of this history."""
    story = histories.Story()
    for number in range(60):
        story.op("write", "k", number)
    every = [op.index for op in story.operations]

    told = judged(tmp_path, story, *every, 99999)
    scene = timeline.scene(told, told.rulings[0])

    assert len(scene.letters) == 26
    assert scene.left_out == 61 - 26
    assert "35 more operations are named." in shown(tmp_path / "run").said


def test_a_violation_that_names_nothing_says_so(tmp_path: Path) -> None:
    """Not an empty figure."""
    told = judged(tmp_path, stale())

    assert timeline.drawn(told, timeline.scene(told, told.rulings[0])) == ""
    assert "It names no operations of the history." in shown(tmp_path / "run").said


def test_a_run_that_held_has_no_violations(tmp_path: Path) -> None:
    """The denied twin: the section is not there."""
    made(tmp_path / "run", stale(), results(ruling("witness")))

    page = shown(tmp_path / "run")

    assert ("section", "id", "violations") not in page.attributes
    assert not any(cell.startswith("▶") for cell in page.cells)


def test_bars_of_one_process_do_not_lie_over_each_other(tmp_path: Path) -> None:
    """Each begins where its call is; the next one is not left of it."""
    story = stale()
    told = judged(tmp_path, story, index_of(story, "chaosmark-20"))

    drawn = timeline.drawn(told, timeline.scene(told, told.rulings[0]))

    rows: dict[str, list[float]] = {}
    for x, y in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="14" class="call', drawn):
        rows.setdefault(y, []).append(float(x))
    assert len(rows) == 5
    assert all(first < second for row in rows.values() for first, second in pairwise(row))


# ---- windows
def test_moments_far_apart_are_drawn_side_by_side() -> None:
    """A write and the read that missed it, minutes later: both can be read, what is between is cut out."""
    axis = windows([(0, 10), (5, 20), (600_000, 600_010)], 100, 1000)

    assert [(window.began_ns, window.ended_ns) for window in axis.all] == [(0, 20), (600_000, 600_010)]
    assert axis.all[0].left == 100
    assert axis.all[1].right == 1000
    assert axis.all[1].left - axis.all[0].right == CUT
    assert axis.x(300) == axis.all[0].right
    assert axis.x(600_005) == (axis.all[1].left + 1000) / 2


def test_moments_close_together_are_one_window() -> None:
    """A cut that saves nothing is none."""
    assert len(windows([(0, 100), (120, 200)], 0, 100).all) == 1


def test_a_short_window_is_wide_enough_to_be_read() -> None:
    """Beside a long one."""
    axis = windows([(0, 1000), (900_000, 900_001)], 0, 1000)

    assert axis.all[1].right - axis.all[1].left > 100


def test_there_are_not_too_many_windows() -> None:
    """The nearest are joined."""
    axis = windows([(at * 1_000_000 * (at + 1), at * 1_000_000 * (at + 1) + 5) for at in range(20)], 0, 1000)

    assert len(axis.all) == WINDOWS_MAX
    assert all(before.right + CUT == after.left for before, after in pairwise(axis.all))


def test_a_window_of_no_length_is_one_nevertheless() -> None:
    """Nothing is divided by zero."""
    axis = windows([(5, 5)], 0, 100)

    assert axis.x(5) == 0
    assert axis.x(4) == 0
    assert axis.x(9) == 100
