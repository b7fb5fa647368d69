"""junit.xml, as a build server reads it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from chaos.report.junit import document
from chaos.report.story import load
from tests.chaos.report_pages import made, results, ruling, told

if TYPE_CHECKING:
    from pathlib import Path


def suite(folder: Path, *verdicts: dict[str, Any], valid: str = "held") -> ET.Element:
    """The suite of a run with these verdicts."""
    text = document(load(made(folder / "run", told(), results(*verdicts, valid=valid) if verdicts else None)))
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    assert [child.tag for child in root] == ["testsuite"]
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        name: root[0].get(name) for name in ("tests", "failures", "errors", "skipped")
    }
    return root[0]


def case(found: ET.Element, name: str) -> ET.Element:
    """The case of that checker."""
    return next(one for one in found.iter("testcase") if one.get("name") == name)


def test_every_checker_is_a_case_with_its_outcome(tmp_path: Path) -> None:
    """A failure, an error, a skip; only what held passes."""
    found = suite(
        tmp_path,
        ruling("witness", "violated", "2 keys", details=["#1 / #2", "#3 / #4"], operations=[1, 2]),
        ruling("rates", "unknown", "fault 4 took no effect"), ruling("backup", "skipped", "no sink"),
        ruling("acked", summary="12 writes"), valid="violated",
    )  # fmt: skip

    assert found.get("name") == "chaos.tale"
    assert found.get("timestamp") == "2026-01-02T03:04:05"
    assert [found.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    failure = case(found, "witness").find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("2 keys", "#1 / #2\n#3 / #4\noperations #1, #2")
    error = case(found, "rates").find("error")
    assert error is not None
    assert error.get("message") == "fault 4 took no effect"
    skip = case(found, "backup").find("skipped")
    assert skip is not None
    assert skip.get("message") == "no sink"
    assert [child.tag for child in case(found, "acked")] == ["system-out"]
    assert {one.get("classname") for one in found.iter("testcase")} == {"chaos.tale"}


def test_properties_say_how_to_run_it_again(tmp_path: Path) -> None:
    """Seed, target, commit."""
    found = suite(tmp_path, ruling("witness"))

    said = {one.get("name"): one.get("value") for one in found.iter("property")}
    assert said == {
        "seed": "77", "target": "local", "verdict": "held", "folder": "run", "commit": "0123456789abcdef",
        "python": "3.11.7",
    }  # fmt: skip


def test_a_run_that_nobody_judged_is_no_success(tmp_path: Path) -> None:
    """One case, an error with what is missing."""
    found = suite(tmp_path)

    assert [found.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["1", "0", "1", "0"]
    error = case(found, "run").find("error")
    assert error is not None
    assert "results.json is missing" in str(error.get("message"))


def test_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    """Nor has it a seed."""
    found = ET.fromstring(document(load(tmp_path)))[0]

    assert found.get("errors") == "1"
    assert "seed" not in {one.get("name") for one in found.iter("property")}


def test_what_xml_cannot_hold_is_shown_by_its_number(tmp_path: Path) -> None:
    """Control characters and lone surrogates; markup is text."""
    bad = "a\x00\x08\ufffe\ud800 <failure>]]>&\"'\x1b[0m"

    found = suite(tmp_path, ruling(bad, "violated", bad, details=[bad]), ruling("b", "unknown", bad), valid="violated")

    failure = found.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "a\\x00\\x08\\ufffe\\ud800 <failure>]]>&\"'\\x1b[0m"
    assert failure.text == failure.get("message")
    assert len(list(found.iter("failure"))) == 1
