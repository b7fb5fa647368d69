"""The page of a run: what it says, that it is whole whatever is missing, that nothing a cluster says can act in it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from chaos.report.page import POLICY, page
from chaos.report.story import load
from chaos.report.style import sheet
from tests.chaos.report_pages import NO_CLAIMS, Read, Tale, made, results, ruling, shown, told, written

if TYPE_CHECKING:
    from pathlib import Path

PAYLOAD = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>]]>--><!--</title></style></svg>\u202e\x00\ud800&#106;"
)
PIECE = "alert(1)"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A run with everything."""
    return made(
        tmp_path / "run", told(),
        results(
            ruling("witness", summary="all fits", numbers={"keys": 3}),
            ruling("live", "violated", "a gap", details=["2.50 s at fault 0"]),
            ruling("rates", "unknown", "too few"),
            ruling("backup", "skipped", "no sink"),
            valid="violated",
        ),
    )  # fmt: skip


def charts(read: Read) -> list[str]:
    """Names of the figures, in their order."""
    return [value for tag, name, value in read.attributes if tag == "svg" and name == "aria-label"]


# ---- what it says
def test_the_header_says_what_ran_and_how_it_ended(whole: Path) -> None:
    """In words and by a sign, not by colour alone."""
    read = shown(whole)

    for said in ("tale a leader falls", "local, 3 nodes", "2026-01-02T03:04:05Z", "0123456789abcdef", "2 faults"):
        assert said in read.said
    assert read.titles[0] == "✗ tale, seed 77: violated"
    assert "✗ violated" in read.said
    assert "4 checkers: 1 violated, 1 unknown, 1 held, 1 skipped; something that must never happen, h" in read.said
    assert "python -m chaos run tale --seed 77 --target local" in read.said
    assert "This folder is not whole" not in read.said


@pytest.mark.parametrize(
    ("valid", "sign", "says"),
    [
        ("held", "✓ held", "everything that was looked at held"),
        ("unknown", "? unknown", "not everything could be judged"),
        ("skipped", "- skipped", "nothing was looked at"),
    ],
)
def test_every_verdict_has_its_sign_and_words(tmp_path: Path, valid: str, sign: str, says: str) -> None:
    """Unknown is never as good as held."""
    read = shown(made(tmp_path / "run", told(), results(ruling("witness", valid), valid=valid)))

    assert f"tale {sign}" in read.said
    assert says in read.said
    assert "✗" not in read.titles[0]


def test_the_worst_verdict_stands_first_with_its_details(whole: Path) -> None:
    """And each with what it verifies and what not."""
    text = page(load(whole), {"witness": ("order of <b>", "the rest of it")})
    read = Read(text)

    rows = [cell for cell in read.cells if cell[:2] in {"✓ ", "✗ ", "? ", "- "}]
    assert rows[:4] == ["✗ violated", "? unknown", "✓ held", "- skipped"]
    assert "2.50 s at fault 0" in read.said
    assert "Verified: order of <b>." in read.said
    assert "Not verified: the rest of it." in read.said
    assert '{"keys": 3}' in read.said


def test_every_chart_is_there_on_the_same_axis(whole: Path) -> None:
    """The same second is at the same place in all of them, and so is every fault."""
    read = shown(whole)
    text = page(load(whole), NO_CLAIMS)

    assert charts(read) == [
        "Faults", "Latency", "Latency quantiles", "Rates", "Leader and term", "Availability", "Clock offsets",
        "Applied index lag",
    ]  # fmt: skip
    figures = re.findall(r"<figure>.*?</figure>", text)
    ticks = [re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="x(?: end)?">([^<]*)<', figure) for figure in figures]
    box = r'<rect x="([\d.]+)" y="6" width="([\d.]+)" height="[\d.]+" class="band" fill="(#\w+)"'
    bands = [re.findall(box, figure) for figure in figures]
    assert [label for _, label in ticks[0]] == [f"{second} s" for second in range(10)]
    assert all(one == ticks[0] for one in ticks)
    assert [ink for _, _, ink in bands[0]] == ["#d62728", "#2ca02c"]
    assert all(one == bands[0] for one in bands)


def test_faults_are_named_with_victims_effect_and_gaps(whole: Path) -> None:
    """The gap that the kill made is in its row, not in the other's; the last writes are not acknowledged."""
    read = shown(whole)

    place = read.cells.index(" kill")
    assert read.cells[place - 1 : place + 9] == [
        "0", " kill", "n1", "leader", "3.00 s", "2.00 s", "✓ killed 1", "1.10 s", "100 ms", "2 s",
    ]  # fmt: skip
    place = read.cells.index(" clock-jump")
    assert read.cells[place + 1 : place + 9] == [
        "n2", "leader", "6.00 s", "1.00 s", "✓ offset_s -1.0", "5.0 ms", "400 ms", "2 s",
    ]  # fmt: skip
    assert "packets: only with netns" in read.said
    assert any(title.startswith("fault 0: kill n1, 3.00 s to 5.00 s") for title in read.titles)


def test_a_fault_without_effect_and_one_without_end_say_so(tmp_path: Path) -> None:
    """Their run proves little."""
    story = told().fault("pause", ("n3",), 7200, 7300, took_effect=False, error="OSError: no such process")
    story.fault("ring", ("n1",), 8500, None)
    story.facts["unhealed"] = {"3": {"took_effect": True, "cut": 4}}

    read = shown(made(tmp_path / "run", story, results(ruling("witness"))))

    assert "✗ no effect known  OSError: no such process" in read.cells
    assert "never healed" in read.cells
    assert "✓ cut 4" in read.cells


def test_leaders_terms_and_availability_are_seen(whole: Path) -> None:
    """Who led which term from when to when; who did not answer."""
    read = shown(whole)

    assert "leader, term 1, 0.00 s to 2.95 s" in read.titles
    assert "term 2, from 3.95 s" in read.titles
    assert any(title.startswith("no answer, 2.95 s to 4.95 s") for title in read.titles)
    assert "2 terms, 2 leaderships seen." in read.said
    assert "Longest time in which no node said that it leads: 1.00 s, from 2.95 s." in read.said
    assert "n1 79." in read.said
    assert "n2 100.0 %" in read.said
    assert sum(tag == "line" and value == "election" for tag, _, value in read.attributes) == 1


def test_a_clock_that_was_moved_is_named(whole: Path) -> None:
    """By the number of its fault."""
    assert "Clocks were moved by 1 fault: 1." in shown(whole).said


def test_operations_are_counted_by_outcome(whole: Path) -> None:
    """What the cluster refused as it should is not among the failures."""
    read = shown(whole)

    rows: dict[str, list[str]] = {}
    for place, cell in enumerate(read.cells):
        if cell in {"write", "read", "cas", "read, last", "all"}:
            rows.setdefault(cell, read.cells[place + 1 : place + 6])
    assert rows == {
        "write": ["91", "79", "0", "1", "11"], "read": ["79", "79", "0", "0", "0"], "cas": ["1", "0", "1", "0", "0"],
        "read, last": ["1", "1", "0", "0", "0"], "all": ["172", "159", "1", "1", "11"],
    }  # fmt: skip
    place = read.cells.index("Timeout")
    assert read.cells[place - 1 : place + 2] == ["unknown", "Timeout", "11"]


def test_outcomes_have_shapes_of_their_own(whole: Path) -> None:
    """In the scatter a path for each outcome and kind; in the legend one of each."""
    text = page(load(whole), NO_CLAIMS)

    plot = text[text.index('aria-label="Latency"') : text.index('aria-label="Latency quantiles"')]
    shapes = dict(re.findall(r'<path class="(\w+) i\d+" d="M[\d.]+ [\d.]+([^M"]*)', plot))
    assert shapes == {
        "ok": "h0", "refused": "l2.4 4h-4.8z", "fail": "l6 6m0-6l-6 6", "info": "l4 4.5-4 4.5-4-4.5z",
    }  # fmt: skip


def test_nodes_are_listed_with_their_end(whole: Path) -> None:
    """Digest, index, exit code."""
    read = shown(whole)

    assert read.cells[-5:] == ["n3", "whole", "42", "ab" * 16, "0"]


def test_an_exit_code_that_is_not_known_is_not_zero(tmp_path: Path) -> None:
    """Nor is one of a node that did not run."""
    story = told()
    story.facts |= {"exit_codes": {"n1": None, "n2": -9}, "whole": ["n1", "n2"]}

    read = shown(made(tmp_path / "run", story, results(ruling("witness"))))

    assert [read.cells[-15:][place] for place in (1, 4, 6, 9, 11, 14)] == [
        "whole", "did not run", "whole", "-9", "left broken", "not known",
    ]  # fmt: skip


# ---- what is missing
@pytest.mark.parametrize("name", ["plan.json", "facts.json", "results.json", "history.jsonl", "samples.jsonl"])
def test_a_run_that_was_cut_short_has_a_page_that_says_so(whole: Path, name: str) -> None:
    """Whichever file is not there."""
    (whole / name).unlink()

    read = written(whole)

    assert "This folder is not whole." in read.said
    assert f"{name} is " in read.said
    assert len(charts(read)) == 8


@pytest.mark.parametrize("name", ["plan.json", "facts.json", "results.json", "history.jsonl", "samples.jsonl"])
@pytest.mark.parametrize("content", ['{"torn": ', "[1, 2]\n", "5\n", '"\\ud800"\n', "\n"])
def test_a_file_that_is_something_else_is_said_to_be(whole: Path, name: str, content: str) -> None:
    """Torn, or of another form: the page is there, and nothing is made up."""
    (whole / name).write_text(content)

    read = written(whole)

    assert name in read.said
    assert "This folder is not whole." in read.said


@pytest.mark.parametrize("value", [None, 5, "text", [], {}, [5], {"a": 5}])
def test_an_entry_of_another_type_is_no_entry(whole: Path, value: Any) -> None:
    """Of every file that is JSON; what is left is on the page."""
    plan, facts, said = (json.loads((whole / f"{name}.json").read_text()) for name in ("plan", "facts", "results"))
    for name, content in (("plan", plan), ("facts", facts), ("results", said)):
        (whole / f"{name}.json").write_text(json.dumps(dict.fromkeys(content, value)))

    assert len(charts(written(whole))) == 8


def test_an_empty_folder_has_a_page(tmp_path: Path) -> None:
    """All of it is missing, and it says so of each."""
    read = written(tmp_path)

    for name in ("plan.json", "facts.json", "results.json", "history.jsonl", "samples.jsonl"):
        assert name in read.said
    assert "? not judged" in read.said
    assert "Nothing was broken." in read.said
    assert "No client did anything." in read.said


def test_a_verdict_of_no_known_kind_is_unknown(tmp_path: Path) -> None:
    """Not held."""
    read = shown(made(tmp_path / "run", told(), {"valid": "fine", "verdicts": [{"checker": "x", "valid": "yes"}, 7]}))

    assert read.titles[0] == "? tale, seed 77: unknown"
    assert "✓ held" not in read.said


def test_a_torn_last_line_is_left_out(whole: Path) -> None:
    """The run was killed while it wrote."""
    with (whole / "history.jsonl").open("a") as file:
        file.write('{"index": 999, "ti')
    with (whole / "samples.jsonl").open("a") as file:
        file.write('{"time_ns": 1')

    assert "This folder is not whole." not in shown(whole).said


# ---- what a cluster may say
def hostile() -> Tale:
    """Markup wherever a cluster, a plug-in or an editor can put a word."""
    story = told()
    story.plan |= {
        "seed": PAYLOAD, "target": PAYLOAD, "began": PAYLOAD, "nodes": ["n1", "n2", PAYLOAD],
        "scenario": {"name": PAYLOAD, "about": PAYLOAD}, "versions": {"commit": PAYLOAD, PAYLOAD: PAYLOAD},
        "colours": {"kill": PAYLOAD, PAYLOAD: PAYLOAD, "clock-jump": "red;background:url(//x)"},
    }  # fmt: skip
    story.facts |= {
        "skipped": {PAYLOAD: PAYLOAD}, "digests": {"n1": [PAYLOAD, PAYLOAD]}, "exit_codes": {"n1": PAYLOAD},
        "unhealed": {"0": {PAYLOAD: PAYLOAD}}, "load_ended_ns": PAYLOAD, "whole": PAYLOAD,
        "write_gap_s": {"kill": PAYLOAD},
    }  # fmt: skip
    for outcome in ("ok", "fail", "info"):
        story.op(
            f"read {PAYLOAD}", f"key {PAYLOAD}", [PAYLOAD], {PAYLOAD: PAYLOAD}, outcome=outcome, node=PAYLOAD,
            version=PAYLOAD, index=PAYLOAD, process=f"p {PAYLOAD} {outcome}", error=PAYLOAD, mismatch=PAYLOAD,  # type: ignore[arg-type]
        )  # fmt: skip
    story.fault(f"clock {PAYLOAD}", (PAYLOAD,), 9300, 9350, **{"error": PAYLOAD, "count": PAYLOAD, PAYLOAD: PAYLOAD})
    story.sample(PAYLOAD, 9000, role=PAYLOAD, term=PAYLOAD, commit_index=PAYLOAD, applied_index=[], sealed=PAYLOAD)
    story.sample("n1", 9701, role="leader", term=10**40, commit_index=1e400, clock_skew_ms={PAYLOAD: PAYLOAD})
    story.sample("n2", 9702, role="leader", term=-3, clock_skew_ms={"n1": PAYLOAD, "n2": [], PAYLOAD: 5})
    return story


def test_nothing_that_a_cluster_says_can_act_in_the_page(tmp_path: Path) -> None:
    """Every word of it is text: no tag, attribute, style or title that is not ours; what it said can still be read."""
    story = hostile()
    named = [op.index for op in story.operations if op.f.startswith("read <")]
    more = {"details": [PAYLOAD, 5], "numbers": {PAYLOAD: PAYLOAD}, "operations": [*named, PAYLOAD, True]}
    verdict = ruling(PAYLOAD, "violated", PAYLOAD, **more)

    read = written(made(tmp_path / "run", story, results(verdict, valid="violated")))

    assert read.said.count(PIECE) > 30
    assert "\u202e" not in read.said
    assert "\x00" not in read.said
    assert len([cell for cell in read.cells if cell.startswith("▶")]) == 3
    assert [value for tag, name, value in read.attributes if name == "style" and value != "background:#7f7f7f"] == []


def test_a_number_of_a_fault_that_is_none_is_text(whole: Path) -> None:
    """It stands on every chart."""
    lines = [json.loads(line) for line in (whole / "history.jsonl").read_text().splitlines()]
    for line in lines:
        if line["process"] == "nemesis":
            line["more"]["fault"] = f"{PAYLOAD}{line['more']['fault']}"
    (whole / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert PIECE in shown(whole).said


def test_the_page_forbids_itself_to_load_and_to_run(whole: Path) -> None:
    """Should a word get through all the same."""
    read = shown(whole)

    assert ("meta", "content", POLICY) in read.attributes
    assert POLICY.startswith("default-src 'none'")
    assert "script" not in POLICY


def test_light_and_dark_and_narrow_are_styles_of_one_page() -> None:
    """Each colour of the light page has its dark twin."""
    parts = sheet().split("@media(prefers-color-scheme:dark)")
    light, dark = (set(re.findall(r"(--\w+):", part)) for part in parts)

    assert light == dark != set()
    assert "@media(max-width:700px)" in sheet()
    assert sheet().count("{") == sheet().count("}")


# ---- how large it becomes
def long_run() -> Tale:
    """20,000 operations in ten minutes, with forty faults, nodes that flap, and values as long as they come."""
    story = Tale(write_gap_s={"kill": 2.0})
    story.plan |= {"scenario": {"name": "long"}, "seed": 1, "target": "local", "colours": {"kill": "#d62728"}}
    for number in range(20_000):
        at = number * 30.0
        outcome = ("ok", "ok", "ok", "fail", "info")[number % 5]
        waited = 0.5 + number * 7919 % 997
        more: dict[str, Any] = {} if outcome == "ok" else {"error": "e" * 300}
        story.op(
            ("write", "read", "cas")[number % 3], f"run/r/{number % 40}", "v" * 300, "w" * 300, at=(at, at + waited),
            outcome=outcome, process=number, version=number, node=f"n{number % 3 + 1}", **more,
        )  # fmt: skip
    for number in range(40):
        story.fault("kill", (f"n{number % 3 + 1}",), number * 15_000 + 3000, number * 15_000 + 9000, leader="n1")
    for number in range(6000):
        for node in ("n1", "n2", "n3"):
            status = {"role": "follower", "term": number // 50, "commit_index": number, "applied_index": number % 70}
            story.sample(node, number * 100 + 50, ready=number % 2 == 0, **(status if number % 3 else {}))
    return story


@pytest.mark.timeout(120)
def test_a_long_run_has_a_page_that_a_phone_can_open(tmp_path: Path) -> None:
    """Less than 2 MB for 20,000 operations and a violation that names many; the slowest one is on it."""
    story = long_run().op("write", "run/r/1", "slow", at=(300_000, 309_999), process=99_999)
    named = [op.index for op in story.operations if op.key == "run/r/1"]
    more = {"details": ["d" * 5000] * 21, "operations": named}
    verdicts = [ruling(name, "violated", "s" * 5000, **more) for name in "abcdefgh"]
    folder = made(tmp_path / "run", story, results(*verdicts, valid="violated"))

    read = written(folder)

    assert (folder / "report.html").stat().st_size < 2_000_000
    assert "6,000 of 20,001 operations are drawn, among them the slowest." in read.said
    assert any("after 10.00 s, called at 300.000 s" in title for title in read.titles)
