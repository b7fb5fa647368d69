"""What tests of reports share: a run with everything in it, and a page read back as a browser's parser would."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from chaos.history import NEMESIS, Event
from chaos.report.page import page
from chaos.report.story import load
from chaos.report.write import PAGE, all_files
from tests.chaos.histories import NODES, Story

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta"}
NO_CLAIMS: dict[str, tuple[str, str]] = {}


class Tale(Story):
    """A story whose completions may say why they are not ok: `error` of an operation."""

    @property
    def events(self) -> list[Event]:
        """The history."""
        return [_with_error(event) for event in super().events]


def _with_error(event: Event) -> Event:
    more = dict(event.more or {})
    if event.process == NEMESIS or "error" not in more:
        return event
    error = more.pop("error")
    return replace(event, error=error, more=more or None)


class Read(HTMLParser):
    """Tags, attributes and text of a page; `wrong` says where tags do not fit."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []  # tag, name, value
        self.text: list[str] = []
        self.cells: list[str] = []
        self.titles: list[str] = []
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> stays open" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.wrong.append(f"</{tag}> where {self._open[-1:]} is open, at {self.getpos()}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "td" in self._open:
            self.cells[-1] += data
        if self._open[-1:] == ["title"]:
            self.titles.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"a comment: {data}")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"a declaration: {data}")

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"<{tag}> says something twice: {names}")
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    @property
    def said(self) -> str:
        """All text."""
        return "".join(self.text)


def ruling(checker: str, valid: str = "held", summary: str = "fine", **more: Any) -> dict[str, Any]:
    """One verdict of results.json."""
    said: dict[str, Any] = {"checker": checker, "valid": valid, "summary": summary}
    return {**said, "details": [], "numbers": {}, "operations": [], **more}


def results(*verdicts: dict[str, Any], valid: str = "held") -> dict[str, Any]:
    """results.json."""
    return {"valid": valid, "verdicts": list(verdicts)}


def told() -> Tale:
    """Ten seconds with a leader that is killed and a clock that jumps."""
    story = Tale(
        digests={node: [42, "ab" * 16] for node in NODES}, exit_codes=dict.fromkeys(NODES, 0), healed_ns=8_000_000_000,
        load_ended_ns=9_500_000_000, faults_from_ns=2_000_000_000, write_gap_s={"kill": 2.0, "clock-jump": 2.0},
        skipped={"loss": "packets: only with netns"},
    )  # fmt: skip
    story.plan |= {
        "scenario": {"name": "tale", "about": "a leader falls"}, "seed": 77, "target": "local",
        "began": "2026-01-02T03:04:05Z", "colours": {"kill": "#d62728", "clock-jump": "#2ca02c"},
        "versions": {"commit": "0123456789abcdef", "python": "3.11.7"},
    }  # fmt: skip
    for number in range(90):
        at = number * 100.0
        node, value = NODES[number % 3], f"chaosmark-{number}"
        if 3000 < at < 4200:
            story.op("write", "r/1", value, at=(at, at + 900), outcome="info", error="Timeout", node=node)
        else:
            story.op("write", "r/1", value, at=(at, at + 5), version=number + 1, index=number, node=node)
            story.op("read", "r/1", result=value, at=(at + 10, at + 12), version=number + 1, node=node)
    story.op("cas", "r/1", [1, "x"], at=(9100, 9105), outcome="fail", error="400", mismatch=True, refused=True)
    story.op("write", "r/1", "y", at=(9200, 9201), outcome="fail", error="ConnectionRefusedError")
    story.op("read", "r/1", result="chaosmark-89", at=(9600, 9603), version=90, final=True)
    story.fault("kill", ("n1",), 3000, 5000, leader="n1", killed=1)
    story.fault("clock-jump", ("n2",), 6000, 7000, offset_s=-1.0)
    sampled(story)
    return story


def sampled(story: Story) -> None:
    """n1 leads term 1 and falls, n2 leads term 2 from 4 s on."""
    for number in range(96):
        at = 50 + number * 100
        for node in NODES:
            if node == "n1" and 3000 < at < 5000:
                story.sample(node, at, ready=False)
                continue
            leader, term = ("n1", 1) if at < 4000 else ("n2", 2)
            role = "leader" if node == leader else "follower"
            skews = {other: -1000 if other == "n2" and 6000 < at < 7000 else 0 for other in NODES if other != node}
            story.sample(
                node, at, role=role, term=term, commit_index=number, applied_index=number - (node == "n3"),
                sealed=False, clock_skew_ms=skews,
            )  # fmt: skip


def made(folder: Path, story: Story, said: dict[str, Any] | None = None) -> Path:
    """The run's folder, with results.json if there is one."""
    folder.mkdir(exist_ok=True)
    run = story.run(folder)
    if said is not None:
        run.write("results.json", said)
    return folder


def shown(folder: Path) -> Read:
    """The page of that folder, read back; its tags fit, and nothing in it acts or comes from outside."""
    text = page(load(folder), NO_CLAIMS)
    return harmless(text)


def written(folder: Path) -> Read:
    """As `shown`, of the file."""
    all_files(folder)
    return harmless((folder / PAGE).read_text(encoding="utf-8"))


ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "header", "nav", "section", "h1", "h2", "h3", "p", "b", "a",
    "small", "code", "span", "div", "dl", "dt", "dd", "ul", "li", "table", "thead", "tbody", "tr", "th", "td",
    "details", "summary", "figure", "figcaption", "svg", "rect", "line", "path", "circle", "text",
}  # fmt: skip


def harmless(text: str) -> Read:
    """The page read back, after looking for everything by which a page can act."""
    read = Read(text)
    assert read.wrong == []
    assert read.tags <= ALLOWED, read.tags - ALLOWED
    acting = [(tag, name, value) for tag, name, value in read.attributes if name.startswith("on") or name == "src"]
    assert acting == []
    assert all(value.startswith("#") for _, name, value in read.attributes if name in {"href", "xlink:href"})
    styles = [value for _, name, value in read.attributes if name == "style"]
    assert all(value.startswith("background:#") and len(value) == len("background:#000000") for value in styles)
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    return read
