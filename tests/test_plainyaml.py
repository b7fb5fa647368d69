"""The reader of YAML: each form as it is meant, everything else refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plainyaml import YamlError, load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('/a/{b}/c:\n  "200": x\n', {"/a/{b}/c": {"200": "x"}}),
        ("application/x+json: { $ref: '#/a' }\n", {"application/x+json": {"$ref": "#/a"}}),
        ('a: { b: { c: [d, { e: "f, g: h" }] }, i: [] }\n', {"a": {"b": {"c": ["d", {"e": "f, g: h"}]}, "i": []}}),
        ("a: [\n  b, c,\n  d e]  # f\ng: {}\n", {"a": ["b", "c", "d e"], "g": {}}),
        ("a: {\n  b: { c: d },\n  e: f }\n", {"a": {"b": {"c": "d"}, "e": "f"}}),
        ("a: |-\n  b: c # d\n\n  e\nf: g\n", {"a": "b: c # d\n\ne", "f": "g"}),
        ("a:\n  - b: c\n    d: e\n  - { f: g }\n", {"a": [{"b": "c", "d": "e"}, {"f": "g"}]}),
        ('a: "b \\"c\\" \\u00e9"\nd: null\ne: -1\nf: 3.1.0\n', {"a": 'b "c" é', "d": None, "e": -1, "f": "3.1.0"}),
        ("a: node's own\nb: it is x's # y\n", {"a": "node's own", "b": "it is x's"}),
    ],
)
def test_each_form_is_read_as_it_is_meant(text: str, expected: dict[str, Any]) -> None:
    """Keys that are paths or statuses, brackets in brackets and over lines, text of several lines, maps in lists."""
    assert load(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a: [b, c\n",
        "a: { b: c\n",
        "a: { b }\n",
        "a: [b] c\n",
        "a: { b: c, b: d }\n",
        "a: yes\n",
        "a: [no]\n",
        "a: True\n",
        "a: >-\n  b\n",
        "a: b: c\n",
        '"a": b\n"a": c\n',
    ],
)
def test_what_is_no_form_of_it_is_refused(text: str) -> None:
    """Brackets that stay open, keys twice, words that are text to some readers and not to others."""
    with pytest.raises(YamlError):
        load(text)
