"""The longest texts that a policy may have, each of the form that costs its parser most: read or refused, and soon."""

from __future__ import annotations

import pytest

from node.policy import PolicyError, hcl, parse_policy
from tests.hostile.running import Target, judge

LENGTH = hcl.TEXT_CHARACTERS_MAX


def filled(unit: str, head: str = "", tail: str = "") -> str:
    """As many units as there is room for, between head and tail."""
    return head + unit * ((LENGTH - len(head) - len(tail)) // len(unit)) + tail


def numbered(unit: str, head: str = "", tail: str = "") -> str:
    """The same with a number in each, so that no two are alike."""
    room = LENGTH - len(head) - len(tail)
    made, size, number = [], 0, 0
    while size + len(one := unit.replace("#", str(number))) <= room:
        made.append(one)
        size += len(one)
        number += 1
    return head + "".join(made) + tail


TEXTS = {
    "comments": filled("/**/"),
    "comments that do not end": filled("/*"),
    "hashes": filled("#\n"),
    "heredocs that do not end": filled("a=<<A\n"),
    "heredocs of as many anchors": numbered("<<E#\nE#\n,", "a=[", "]"),
    "a heredoc of lone words": filled("a\n", "b=<<E\n", "E\n"),
    "an indented heredoc": filled("  x\n", "a=<<-E\n", "  E\n"),
    "quotes": filled('"'),
    "strings that do not end": filled('"x'),
    "one string": filled("x", 'a="', '"'),
    "escapes": filled("\\\\", 'a="', '"'),
    "escapes that are none": filled("\\q", 'a="', '"'),
    "words": filled("a "),
    "keys": numbered("k#=1\n"),
    "unknown keys": numbered("k#=1\n", 'path "x" {', "}"),
    "the same key": filled("a=1 "),
    "stanzas": filled('path "x" {}\n'),
    "rules": numbered('path "a/+/#" {policy="read"}\n'),
    "brackets": filled("[", "a="),
    "braces": filled("{a=", "a="),
    "digits": filled("1", "a="),
    "spaces": filled(" "),
    "a path of pluses": filled("+/", 'path "', '" {}'),
    "a path of templates": filled("{{x}}", 'path "', '" {policy="read"}'),
    "capabilities": filled('"read",', 'path "x" {capabilities=[', '"read"]}'),
    "parameters": numbered("k#=[1] ", 'path "x" {allowed_parameters={', "}}"),
    "required parameters": numbered('"k#",', 'path "x" {required_parameters=[', "]}"),
    "JSON braces": filled('{"a":'),
    "JSON brackets": filled("[", '{"a":'),
    "JSON keys": numbered('"k#":1,', "{", '"k":1}'),
    "JSON string": filled("\\u0041", '{"a":"', '"}'),
    "JSON spaces": filled(" ", "{"),
    "base64": filled("AAAA"),
    "base64 of lines": filled("AAA\nA"),
    "null characters": filled("\0"),
}


def read(data: bytes) -> None:
    parse_policy(data.decode())


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_longest_texts_are_read_or_refused_soon(name: str) -> None:
    """Within two seconds of processor time, which is many times what any of them takes, and with a bounded memory."""
    target = Target("policy", read, (PolicyError,), (), (hcl,), memory_factor=512)

    assert LENGTH - 64 < len(TEXTS[name]) <= LENGTH
    assert judge(target, TEXTS[name].encode(), measured=True) is None


def test_a_longer_text_is_not_looked_at() -> None:
    """Whatever it holds; also behind base64, which is a third longer than what it stands for."""
    for text in ("#" * (LENGTH + 1), '{"a":' * LENGTH):
        with pytest.raises(PolicyError, match=f"At 1:1: policy is longer than {LENGTH} characters"):
            parse_policy(text)
    assert parse_policy("#" * LENGTH).rules == ()
