"""A run as CI reads it: one suite, a case for each checker, in the form that JUnit's ant task writes. Pure.

Violated is a failure, unknown an error (nothing green comes of it), skipped is skipped with its reason. A run that
nobody judged is one case with an error. Invariant: characters that XML cannot hold are shown by their number.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from .markup import clean
from .story import dict_of

if TYPE_CHECKING:
    from .story import Ruling, Story

TEXT_MAX = 4000


def document(story: Story) -> str:
    """junit.xml."""
    name = f"chaos.{story.name}"
    kinds = [one.valid for one in story.rulings]
    lasted = f"{story.end_ns / 1e9:.3f}"
    counts = {
        "tests": str(max(1, len(kinds))), "failures": str(kinds.count("violated")),
        "errors": str(kinds.count("unknown") if kinds else 1), "skipped": str(kinds.count("skipped")), "time": lasted,
    }  # fmt: skip
    root = ET.Element("testsuites", {"name": "chaos", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": name, **counts})
    if story.plan.get("began"):
        suite.set("timestamp", clean(story.plan["began"]).removesuffix("Z"))
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(story).items():
        ET.SubElement(properties, "property", {"name": key, "value": value})
    for ruling in story.rulings:
        _case(suite, name, ruling)
    if not story.rulings:
        case = ET.SubElement(suite, "testcase", {"classname": name, "name": "run", "time": lasted})
        why = "; ".join(story.missing) or "no checker was asked"
        ET.SubElement(case, "error", {"type": "not judged", "message": clean(why, TEXT_MAX)})
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _properties(story: Story) -> dict[str, str]:
    said = {
        "seed": story.plan.get("seed"), "target": story.plan.get("target"), "verdict": story.valid,
        "folder": story.run.path.resolve().name, **dict_of(story.plan.get("versions")),
        "missing": "; ".join(story.missing),
    }  # fmt: skip
    return {clean(name): clean(value) for name, value in said.items() if value not in (None, "")}


def _case(suite: ET.Element, name: str, ruling: Ruling) -> None:
    case = ET.SubElement(suite, "testcase", {"classname": name, "name": ruling.checker, "time": "0"})
    said = {"message": clean(ruling.summary, TEXT_MAX)}
    if ruling.valid == "violated":
        found = ET.SubElement(case, "failure", {"type": "violated", **said})
        named = ", ".join(f"#{index}" for index in ruling.operations)
        lines = [*ruling.details, *([f"operations {named}"] if named else [])]
        found.text = "\n".join(clean(one, TEXT_MAX) for one in lines)
    elif ruling.valid == "unknown":
        ET.SubElement(case, "error", {"type": "unknown", **said})
    elif ruling.valid == "skipped":
        ET.SubElement(case, "skipped", said)
    else:
        ET.SubElement(case, "system-out").text = said["message"]
