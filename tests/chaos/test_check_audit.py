"""Audit trails in the product's own format: complete and chained ones hold, each kind of missing line is found."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from chaos.check.audit import Audit
from node.audit.chain import Chain, Head
from tests.chaos.histories import NODES, Story

KEY = b"chain key of a test"


def mac(data: bytes) -> bytes:
    return hmac.digest(KEY, data, hashlib.sha256)


class Trail:
    """What one device of one node writes."""

    def __init__(self, node: str, device: str = "file1/") -> None:
        self.chain = Chain(node, device, mac)
        self.lines = [self.chain.open_file("t", "audit1.log", Head(), Head())]

    def line(self, kind: str, rid: str, error: str = "") -> Trail:
        said = {"time": "t", "type": kind, "auth": {}, "request": {"id": rid}, **({"error": error} if error else {})}
        self.lines.append(self.chain.append(json.dumps(said, separators=(",", ":")).encode()))
        return self

    def pair(self, rid: str, error: str = "") -> Trail:
        return self.line("request", rid).line("response", rid, error)

    def event(self) -> Trail:
        self.lines.append(self.chain.append(b'{"time":"t","type":"event","event":{"kind":"seal"}}'))
        return self


def answered(**trails: Trail) -> Story:
    """Three answers, each recorded where it was executed; `trails` replace a node's."""
    story = (
        Story().op("write", "k", "a", version=1, rid="r1").op("read", "k", None, "a", version=1, node="n2", rid="r2")
    )
    story.op("cas", "k", [9, "b"], outcome="fail", mismatch=True, rid="r3").op("write", "k", "c", outcome="info")
    usual = {
        "n1": Trail("n1").pair("r1").event().pair("r3", "refused"),
        "n2": Trail("n2").pair("r2"),
        "n3": Trail("n3").pair("x"),
    }
    for node, trail in {**usual, **trails}.items():
        story.file(f"nodes/{node}/audit/audit1.log", b"".join(trail.lines))
    return story


def test_every_answer_with_its_pair_holds(tmp_path: Path) -> None:
    """Events, openings and records of others do not matter."""
    verdict = Audit().check(answered().run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers == {"lines": 12, "trails": 3, "answers": 3, "excused": 0}


def test_an_attempt_that_failed_and_was_made_again_holds(tmp_path: Path) -> None:
    """Elsewhere, or on the same node: its own response has an error."""
    story = answered(n3=Trail("n3").pair("r1", "not the leader").pair("r2", "not the leader"))

    assert Audit().check(story.run(tmp_path)).valid == "held"


def test_a_leader_that_died_before_its_response_is_explained_by_the_forwarders_answer(tmp_path: Path) -> None:
    """A request record alone on one node, and the pair of who answered on another."""
    story = answered(n1=Trail("n1").pair("r1").line("request", "r3"), n3=Trail("n3").pair("r3", "outcome unknown"))

    assert Audit().check(story.run(tmp_path)).valid == "held"


def test_each_device_has_a_pair_of_its_own(tmp_path: Path) -> None:
    """Two devices are two trails, and one that was blocked may lack records that the other has."""
    story = answered()
    story.file("nodes/n1/audit/audit2.log", b"".join(Trail("n1", "file2/").pair("r1").lines))
    verdict = Audit().check(story.run(tmp_path))

    assert verdict.valid == "held", verdict
    assert verdict.numbers["trails"] == 4


def test_rotated_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Whatever their names."""
    story = answered()
    trail = Trail("n1").pair("r1")
    first, count = trail.lines, len(trail.lines)
    head = Head(count, bytes.fromhex(first[-1][-67:-3].decode()), "audit1.log.1")
    trail.lines = [trail.chain.open_file("t", "audit1.log", head, head)]
    trail.pair("r3", "refused")
    story.file("nodes/n1/audit/audit1.log", b"".join(trail.lines)).file("nodes/n1/audit/audit1.log.1", b"".join(first))

    verdict = Audit().check(story.run(tmp_path))
    assert verdict.valid == "held", verdict


def cut(trail: Trail, *places: int) -> Trail:
    trail.lines = [line for place, line in enumerate(trail.lines) if place not in places]
    return trail


def moved(trail: Trail) -> Trail:
    trail.lines[1], trail.lines[2] = trail.lines[2], trail.lines[1]
    return trail


def spoiled(trail: Trail) -> Trail:
    trail.lines[1] = trail.lines[1].replace(b'"chain"', b'"chaim"')
    return trail


WRONG = {
    "no record at all": ({"n2": Trail("n2")}, "no request record"),
    "no request record": ({"n2": Trail("n2").line("response", "r2")}, "no request record"),
    "no response record": ({"n2": Trail("n2").line("request", "r2")}, "no response record"),
    "a response before its request": (
        {"n2": Trail("n2").line("response", "r2").line("request", "r2")},
        "stands before",
    ),
    "answered twice": ({"n3": Trail("n3").pair("r1")}, "two response records"),
    "asked twice without a failed attempt": ({"n3": Trail("n3").line("request", "r1")}, "second request record"),
    "a refusal that is recorded as done": (
        {"n1": Trail("n1").pair("r1").pair("r3").pair("r3")},
        "two response records",
    ),
    "a gap": ({"n1": cut(Trail("n1").event().pair("r1").pair("r3", "refused"), 1)}, "n1 file1/: gap at line number 3"),
    "no beginning": ({"n1": cut(Trail("n1").pair("r1").pair("r3", "refused"), 0)}, "no opening"),
    "lines that changed places": ({"n3": moved(Trail("n3").event().event().event())}, "n3 file1/: "),
    "a line that is none": ({"n3": spoiled(Trail("n3").event().event())}, "damaged"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_missing_is_violated(name: str, tmp_path: Path) -> None:
    """In records, or in a chain."""
    trails, told = WRONG[name]
    verdict = Audit().check(answered(**trails).run(tmp_path))

    assert verdict.valid == "violated"
    assert any(told in detail for detail in verdict.details), verdict.details


def test_an_answer_without_a_request_id_is_not_judged(tmp_path: Path) -> None:
    """And if there is no other, nothing was looked at."""
    story = Story().op("write", "k", "a", version=1)
    for node in NODES:
        story.file(f"nodes/{node}/audit/audit1.log", b"".join(Trail(node).lines))

    verdict = Audit().check(story.run(tmp_path))
    assert (verdict.valid, verdict.summary) == ("unknown", "no answer carried a request id")


def test_an_empty_file_is_nobodys_and_one_of_rubbish_is_damaged(tmp_path: Path) -> None:
    """Neither has a first line that says whose it is."""
    (tmp_path / "b").mkdir()
    empty, rubbish = answered(), answered()
    empty.file("nodes/n1/audit/audit2.log", b"")
    rubbish.file("nodes/n1/audit/audit2.log", b"what is this?\n")

    assert Audit().check(empty.run(tmp_path)).valid == "held"
    assert "n1 audit2.log: damaged" in Audit().check(rubbish.run(tmp_path / "b")).details[0]


def powerless(story: Story, *, synced: bool = False) -> Story:
    story.facts["audit_synced"] = synced
    return story.fault("power", ("n2",), 15, 30)


def test_what_a_power_cut_may_have_taken_is_unknown_and_counted(tmp_path: Path) -> None:
    """Unless files are synced before an answer: then it is a violation."""
    (tmp_path / "b").mkdir()
    lost = {"n2": Trail("n2")}

    unsure = Audit().check(powerless(answered(**lost)).run(tmp_path))
    assert unsure.valid == "unknown"
    assert unsure.numbers["excused"] == 1
    assert Audit().check(powerless(answered(**lost), synced=True).run(tmp_path / "b")).valid == "violated"


def test_a_gap_of_a_node_that_lost_its_power_is_excused_as_records_are(tmp_path: Path) -> None:
    """Unless files are synced before an answer."""
    (tmp_path / "b").mkdir()
    gap = {"n2": cut(Trail("n2").event().pair("r2"), 1)}

    assert Audit().check(powerless(answered(**gap)).run(tmp_path)).valid == "unknown"
    assert Audit().check(powerless(answered(**gap), synced=True).run(tmp_path / "b")).valid == "violated"


def test_what_was_asked_after_the_power_was_back_is_not_excused(tmp_path: Path) -> None:
    """Nor is a gap on a node that kept its power."""
    (tmp_path / "b").mkdir()
    later = answered().op("write", "k", "z", version=2, rid="r9").fault("power", ("n2",), 1, 2)
    gap = {"n1": cut(Trail("n1").event().pair("r1").pair("r3", "refused"), 1)}

    assert Audit().check(later.run(tmp_path)).valid == "violated"
    assert Audit().check(powerless(answered(**gap)).run(tmp_path / "b")).valid == "violated"


def test_the_torn_end_of_a_node_that_stays_dead_is_no_fault(tmp_path: Path) -> None:
    """It had no chance to say what it left; of a node that came back it is one."""
    (tmp_path / "b").mkdir()
    torn = Trail("n3").event()
    torn.lines.append(b'{"time":"t","type":"requ')
    dead = answered(n3=torn)
    dead.facts["whole"] = ["n1", "n2"]

    assert Audit().check(dead.run(tmp_path)).valid == "held"
    assert Audit().check(answered(n3=torn).run(tmp_path / "b")).valid == "violated"


def test_files_that_are_missing_are_unknown(tmp_path: Path) -> None:
    """One node's, or all; a scenario without devices is skipped."""
    for name in "abcd":
        (tmp_path / name).mkdir()
    one = answered()
    del one.files[f"nodes/{NODES[2]}/audit/audit1.log"]
    none = Story().op("write", "k", "a", version=1, rid="r1")

    assert Audit().check(one.run(tmp_path / "a")).valid == "unknown"
    assert Audit().check(none.run(tmp_path / "b")).valid == "unknown"
    assert Audit().check(answered().cut_short().run(tmp_path / "c")).valid == "unknown"
    none.plan["scenario"]["cluster"]["audit_devices"] = 0
    assert Audit().check(none.run(tmp_path / "d")).valid == "skipped"
