"""The parser of policies: what it reads, what it refuses and where, and that no text makes it do anything else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.policy import hcl


def plain(node: hcl.Node) -> Any:
    """A tree without its places: items as [keys…, value]."""
    if isinstance(node, hcl.Literal):
        return node.value
    if isinstance(node, hcl.ListNode):
        return [plain(item) for item in node.items]
    return {"items": [[*item.keys, plain(item.value)] for item in node.items]}


def read(text: str) -> list[Any]:
    tree = plain(hcl.parse(text))
    assert isinstance(tree, dict)
    items = tree["items"]
    assert isinstance(items, list)
    return items


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# one\n// two\n/* three\nfour */", []),
        ("a = 1", [["a", 1]]),
        ("a = -5", [["a", -5]]),
        ("a = 0x1F", [["a", 31]]),
        ("a = 1.5", [["a", 1.5]]),
        ("a = 1e3", [["a", 1000.0]]),
        ("a = true b = false", [["a", True], ["b", False]]),
        ('a = "b"', [["a", "b"]]),
        ('"a" = "b"', [["a", "b"]]),
        (r'a = "\a\b\f\n\r\t\v\\\"\x41\u00e9\U0001F600\101"', [["a", '\a\b\f\n\r\t\v\\"A\u00e9\U0001f600A']]),
        ('a = "${b}"', [["a", "${b}"]]),
        ("a = []", [["a", []]]),
        ('a = [1, "b", true,]', [["a", [1, "b", True]]]),
        ("a = [\n 1,\n 2\n]", [["a", [1, 2]]]),
        ("a = [[1], {b = 2}]", [["a", [[1], {"items": [["b", 2]]}]]]),
        ("a = { b = 1, c = 2 }", [["a", {"items": [["b", 1], ["c", 2]]}]]),
        ("a { b = 1 c = 2, }", [["a", {"items": [["b", 1], ["c", 2]]}]]),
        ('path "x" { }', [["path", "x", {"items": []}]]),
        ('"path" "x" { "y" = 1 }', [["path", "x", {"items": [["y", 1]]}]]),
        ("path x { }", [["path", "x", {"items": []}]]),
        ('path "x" {}\npath "x" {}', [["path", "x", {"items": []}], ["path", "x", {"items": []}]]),
        ("a = <<EOF\none\n  two\nEOF\n", [["a", "one\n  two\n"]]),
        ("a = <<-EOF\n    one\n      two\n    EOF\n", [["a", "one\n  two\n"]]),
        ("a = <<-EOF\n  one\n    EOF\n", [["a", "  one\n"]]),
        ("a = [<<A\nx\nA\n, 2]", [["a", ["x\n", 2]]]),
        ("a = <<A\r\nx\r\nA\r\nb = 1", [["a", "x\r\n"], ["b", 1]]),
        ("a-b.c_d = 1", [["a-b.c_d", 1]]),
        ("\u00e9 = 1", [["\u00e9", 1]]),
        ('{"a": {"b": [1, 1.5, -2, true, false, null, "\\u00e9\\n"]}}', [
            ["a", {"items": [["b", [1, 1.5, -2, True, False, None, "\u00e9\n"]]]}]
        ]),
        (' \n{"a": {}}', [["a", {"items": []}]]),
        ('{"a": []}\n', [["a", []]]),
    ],
)  # fmt: skip
def test_what_policies_are_written_in_is_read(text: str, expected: list[Any]) -> None:
    """Every form of the language gives the tree its author meant."""
    actual = read(text)

    assert expected == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('path "x" {', "At 1:12: object expected closing RBRACE got: EOF"),
        ('path "x" policy', "At 1:17: key expected start of object ('{') or assignment ('=')"),
        ('path "x" = {}', "At 1:10: nested object expected: LBRACE got: ASSIGN"),
        ("= 5", "At 1:1: expected: IDENT | STRING | ASSIGN | LBRACE got: ASSIGN"),
        ("} ", "At 1:1: expected: IDENT | STRING | ASSIGN | LBRACE got: RBRACE"),
        ("[]", "At 1:1: expected: IDENT | STRING | ASSIGN | LBRACE got: LBRACK"),
        ("a = 1, b = 2", "At 1:6: expected: IDENT | STRING | ASSIGN | LBRACE got: COMMA"),
        ("a = }", "At 1:5: Unknown token: 1:5 RBRACE"),
        ("a = b", "At 1:5: Unknown token: 1:5 IDENT"),
        ("a = ", "At 1:6: Unknown token: 1:6 EOF"),
        ("a = [1 2]", "At 1:8: error parsing list, expected comma or list end, got: NUMBER"),
        ("a = [1", "At 1:8: error parsing list, expected comma or list end, got: EOF"),
        ("a = 'b'", "At 1:5: illegal char"),
        ("a : 1", "At 1:3: illegal char"),
        ("a = 1;", "At 1:6: illegal char"),
        ("a = 010", "At 1:5: illegal char"),
        ("a = 1x", "At 1:5: illegal char"),
        ("\ufeffa = 1", "At 1:1: illegal char"),
        ("a = 1\x00", "At 1:6: unexpected null character (0x00)"),
        ("\n /* a", "At 2:6: comment not terminated"),
        ('path "x', "At 1:8: literal not terminated"),
        ('path "x\ny" {}', "At 1:8: literal not terminated"),
        ('a = "\\q"', "At 1:5: illegal char escape"),
        ('a = "\\ud800"', "At 1:5: illegal char escape"),
        ('a = "\\U00110000"', "At 1:5: illegal char escape"),
        ("a = <<EOF\nread\n}", "At 3:2: heredoc not terminated"),
        ("a = <<\nread", "At 1:5: heredoc without an anchor"),
        ("a = " + "1" * 41, "At 1:5: number is longer than 40 characters"),
        ("a = 1e999", "At 1:5: number is out of range"),
        ('{"a": 1} x', "At 1:10: unexpected text after the JSON object"),
        ('{"a": 1,}', "At 1:9: expected a JSON string"),
        ('{"a": 1 "b": 2}', "At 1:9: expected ','"),
        ('{"a" 1}', "At 1:6: expected ':'"),
        ('{"a":}', "At 1:6: expected a JSON value"),
        ('{"a":[1 2]}', "At 1:9: expected ','"),
        ('{"a":NaN}', "At 1:6: expected a JSON value"),
        ('{"a":"\\ud800"}', "At 1:6: string holds half of a surrogate pair"),
        ('{"a":"\n"}', "At 1:6: expected a JSON string"),
        ('{\n"a":1e999}', "At 2:5: number is out of range"),
        ("{", "At 1:2: expected a JSON string"),
    ],
)  # fmt: skip
def test_what_is_not_the_language_is_refused_with_its_place(text: str, expected: str) -> None:
    """The sentence names line and column, in Vault's form."""
    with pytest.raises(hcl.HclError) as caught:
        hcl.parse(text)

    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('a = ["deny"]\na = ["read"]', 2, 1),
        ("a = 1\n\n  b { c = 1\n c = 2 }", 4, 2),
        ("a { }\na = 1", 2, 1),
        ('{"a": 1,\n "a": 2}', 2, 2),
        ('{"path": {"x": {}, "x": {}}}', 1, 20),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str, line: int, column: int) -> None:
    """Last wins would lose a deny; the refusal names both places."""
    with pytest.raises(hcl.HclError, match=r"was already set\. Each argument can only be defined once") as caught:
        hcl.parse(text)

    assert (line, column) == (caught.value.line, caught.value.column)


@pytest.mark.parametrize("opening", ["a = " + "[", "a = {b = ", '{"a":', "["])
def test_nesting_is_capped(opening: str) -> None:
    """A text of nothing but brackets is refused, not recursed into."""
    text = opening * 3000 if opening == '{"a":' else opening[:4] + opening[4:] * 3000

    with pytest.raises(hcl.HclError):
        hcl.parse(text)


def test_nesting_up_to_the_cap_is_read() -> None:
    """The twin: DEPTH_MAX lists are fine, one more is not."""
    deep = "[" * hcl.DEPTH_MAX + "]" * hcl.DEPTH_MAX

    hcl.parse(f"a = {deep}")
    with pytest.raises(hcl.HclError, match=f"nested deeper than {hcl.DEPTH_MAX}"):
        hcl.parse(f"a = [{deep}]")
    json_deep = '{"a":' * hcl.DEPTH_MAX + "1" + "}" * hcl.DEPTH_MAX
    hcl.parse(json_deep)
    with pytest.raises(hcl.HclError, match=f"nested deeper than {hcl.DEPTH_MAX}"):
        hcl.parse(f'{{"a":{json_deep}}}')


def test_the_length_is_capped() -> None:
    """One character more than the cap is refused before anything is read."""
    hcl.parse("#" * hcl.TEXT_CHARACTERS_MAX)

    with pytest.raises(hcl.HclError, match="longer than"):
        hcl.parse("#" * (hcl.TEXT_CHARACTERS_MAX + 1))


def test_an_error_quotes_no_value() -> None:
    """What stands in strings and numbers stays out of the sentence."""
    for text in ('a = "planted" "b"', 'a = ["planted" 1]', 'a = "planted', 'a = "planted\\q"', '{"a":"planted" 1}'):
        with pytest.raises(hcl.HclError) as caught:
            hcl.parse(text)
        assert "planted" not in str(caught.value)


# properties

_KEYS = st.from_regex(re.compile(r"[a-z_][a-z0-9_.-]{0,6}", re.ASCII), fullmatch=True).filter(
    lambda key: key not in {"true", "false"}
)
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
_NUMBERS = st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


def hcl_string(text: str) -> str:
    """A string as HCL writes it."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'


def hcl_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return hcl_string(value)
    if isinstance(value, list):
        return "[" + ", ".join(hcl_value(part) for part in value) + "]"
    if isinstance(value, dict):
        return "{ " + " ".join(f"{key} = {hcl_value(part)}" for key, part in value.items()) + " }"
    return repr(value)


def unordered(node: hcl.Node) -> Any:
    """A tree as the JSON value it stands for."""
    if isinstance(node, hcl.Literal):
        return node.value
    if isinstance(node, hcl.ListNode):
        return [unordered(part) for part in node.items]
    return {item.keys[0]: unordered(item.value) for item in node.items}


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_what_is_printed_is_read_back(value: dict[str, Any]) -> None:
    """Print, parse: the same values, as HCL and as JSON."""
    text = "\n".join(f"{key} = {hcl_value(part)}" for key, part in value.items())

    assert value == unordered(hcl.parse(text))
    assert value == unordered(hcl.parse(json.dumps(value)))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.text('{}[]"=,#/*<-EOF \n\\u0x1.e:path\x00', max_size=60))
def test_any_text_gives_a_tree_or_an_hcl_error(text: str) -> None:
    """No text raises anything else, HCL or JSON."""
    for candidate in (text, "{" + text, f'path "x" {{ {text} }}', f'{{"a":{text}}}'):
        try:
            place = hcl.parse(candidate).place
        except hcl.HclError as error:
            place = hcl.Place(error.line, error.column)
        assert place >= (1, 1)
