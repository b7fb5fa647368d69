"""The tree of patterns: it finds what the lists it replaced found, at a cost that many rules do not raise."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.policy import Acl, Identity, Rules, parse_policy
from node.policy.grant import Grant
from node.policy.trie import Trie, is_wildcard, rank
from tests.node.policy.listed_matcher import ListedMatcher

EVERY = 'capabilities = ["read", "list", "scan", "sudo"]'


def acl(patterns: list[str]) -> Acl:
    """Each pattern is granted by a policy of its own name, so that a decision names the pattern that counted."""
    return Acl.compile([(pattern, parse_policy(f'path "{pattern}" {{ {EVERY} }}')) for pattern in patterns])


def counted(compiled: Acl, operation: str, path: str) -> str | None:
    granting = compiled.check(operation, path).granting_policies
    return granting[0] if granting else None


# Few letters, so that patterns overlap; stars and pluses also where they are letters; empty segments; long and short.
_SEGMENTS = st.sampled_from(["a", "a", "b", "ab", "abb", "+", "+", "", "a+", "+a", "a*b", "."])
_PATTERNS = st.builds(
    lambda segments, end: "/".join(segments) + end,
    st.lists(_SEGMENTS, min_size=1, max_size=5),
    st.sampled_from(["", "", "/", "*", "/*", "a*", "ab*", "/+", "**"]),
).filter(lambda pattern: "+*" not in pattern and not pattern.startswith("/"))
_PATHS = st.builds(
    lambda segments, end: "/".join(segments) + end,
    st.lists(st.sampled_from(["a", "a", "b", "ab", "abb", "aa", "", "+", "a+", "*", "a*b"]), min_size=1, max_size=6),
    st.sampled_from(["", "", "/"]),
).filter(lambda path: not path.startswith("/"))


@settings(max_examples=300, deadline=None)
@example([""], [""])
@given(st.lists(_PATTERNS, max_size=25, unique=True), st.lists(_PATHS, min_size=1, max_size=12))
def test_the_tree_finds_what_the_lists_found(patterns: list[str], paths: list[str]) -> None:
    """For requests, for listings in both spellings, and for the question what one is capable of."""
    compiled, listed = acl(patterns), ListedMatcher(patterns)

    for path in paths:
        slashed = path if path.endswith("/") or not path else f"{path}/"
        assert listed.find(path) == counted(compiled, "read", path)
        assert compiled.reads_plainly(path) == (listed.find(path) is not None)
        for operation in ("list", "scan"):
            assert listed.find_listed(slashed) == counted(compiled, operation, path)
        plain, listing = listed.find(path), listed.find_listed(slashed)
        listing = listing if listed.find_listed(path) is not None else None
        granted = {"list": listing, "read": plain, "scan": listing}
        words = [word for word, pattern in granted.items() if pattern is not None]  # "" is a pattern, too
        assert compiled.capabilities(path) == ([*words, "sudo"] if words else ["deny"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "+"]), min_size=2, max_size=7), st.data())
def test_where_every_pattern_matches_the_highest_is_found(segments: list[str], data: Any) -> None:
    """All patterns of `a` and `+` match `a/a/…`: what is left out of the walk is never what counts."""
    choices = st.lists(st.sampled_from(["a", "+"]), min_size=1, max_size=len(segments)).map("/".join)
    ends = st.sampled_from(["", "/*", "/a*"])
    patterns = data.draw(st.lists(st.tuples(choices, ends).map("".join), max_size=60, unique=True))
    compiled, listed = acl(patterns), ListedMatcher(patterns)

    for length in range(1, len(segments) + 2):
        path = "/".join(["a"] * length)
        assert listed.find(path) == counted(compiled, "read", path)


@settings(max_examples=60, deadline=None)
@given(st.lists(_PATTERNS.filter(is_wildcard), max_size=12, unique=True), _PATHS)
def test_the_order_of_writing_changes_nothing(patterns: list[str], path: str) -> None:
    """Rank decides, not who came first."""
    grants = {pattern: Grant() for pattern in patterns}

    assert Trie(grants).find(path) is Trie(dict(reversed(grants.items()))).find(path)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", False),
        ("a/", False),
        ("a*", True),
        ("*", True),
        ("+", True),
        ("a/+/b", True),
        ("a+", False),
        ("*a", False),
    ],
)
def test_a_pattern_is_a_wildcard_or_stands_for_itself(pattern: str, expected: bool) -> None:
    """`+` alone in its segment, `*` at the end."""
    assert expected == is_wildcard(pattern)


def test_rank_is_that_of_the_rule_book() -> None:
    """First wildcard, then star, then pluses, then length, then letters; lowest first."""
    ordered = ["+/b/*", "a/+/b/+", "a/+/+/abb", "+/a", "+/b", "a/+/*", "a/+/+/c*", "a/*", "a/+/+", "a/+/b", "a/b*"]
    expected = ["+/b/*", "+/a", "+/b", "a/+/+/c*", "a/+/*", "a/*", "a/+/+", "a/+/b/+", "a/+/+/abb", "a/+/b", "a/b*"]
    backwards = ordered[::-1]

    assert expected == sorted(ordered, key=rank)
    assert expected == sorted(backwards, key=rank)


# what it costs


def lines_of(compiled: Acl, path: str) -> int:
    """Lines of the product that one decision runs: what it costs, on any machine."""
    count = 0

    def line(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        compiled.check("read", path)
    finally:
        sys.settrace(before)
    return count


KINDS = {
    "exact": "secret/data/app-{0:04d}/config",
    "prefix": "secret/data/app-{0:04d}/*",
    "ragged": "secret/data/app-{0:04d}-*",
    "plus": "secret/+/app-{0:04d}/+",
    "plus with star": "secret/data/+/app-{0:04d}/*",
    "plus at the end": "secret/data/app-{0:04d}/+",
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("path", ["secret/data/app-0003/config", "secret/data/x/app-9999/y", "other/path"])
def test_a_hundred_times_the_rules_cost_the_same(kind: str, path: str) -> None:
    """Found or not, the same lines run with 10 rules and with 1,000."""
    few, many = (acl([KINDS[kind].format(number) for number in range(count)]) for count in (10, 1_000))

    assert lines_of(few, path) == lines_of(many, path)
    assert few.check("read", path) == many.check("read", path)


def test_a_pattern_of_thousands_of_segments_is_a_pattern() -> None:
    """No recursion stands in its way, and it matches nothing but its own."""
    long = "/".join(["+"] * 15_000)
    compiled = acl([long, "a/*"])

    assert counted(compiled, "read", "/".join(["b"] * 15_000)) == long
    assert counted(compiled, "read", "/".join(["b"] * 14_999)) is None
    assert counted(compiled, "read", "/".join(["a"] * 14_999)) == "a/*"


def test_the_worst_patterns_cost_no_more_than_trying_each_once() -> None:
    """Each of 2,046 patterns of `a` and `+` matches a beginning of the path: the tree is walked once, not more."""
    shapes = [shape for length in range(1, 11) for shape in itertools.product("a+", repeat=length)]
    patterns = [f"+/{'/'.join(shape)}/z" for shape in shapes]
    compiled = acl(patterns)

    assert lines_of(compiled, "/".join("a" * 12)) < 20 * len(patterns)
    assert counted(compiled, "read", "b/a/a/z") == "+/a/a/z"


# one identity


def test_everybody_shares_the_tree_unless_a_template_of_theirs_has_a_wildcard() -> None:
    """What is the same for all is compiled once; a rule of somebody's own is theirs alone."""
    shared = 'path "kv/*" { capabilities = ["read"] }'
    own = 'path "own/{{identity.entity.name}}%s" { capabilities = ["read"] }'
    ann, bob = Identity("1", "ann"), Identity("2", "bob")
    exact = Rules([("p", parse_policy(f"{shared}\n{own % ''}"))])
    wild = Rules([("p", parse_policy(f"{shared}\n{own % '/*'}"))])

    assert exact.of(ann)._wildcards is exact.of(bob)._wildcards
    for rules, tail in ((exact, ""), (wild, "/x")):
        assert rules.of(ann).check("read", f"own/ann{tail}").allowed
        assert not rules.of(ann).check("read", f"own/bob{tail}").allowed
        assert rules.of(bob).check("read", "kv/x").allowed
        assert not rules.of(None).check("read", f"own/ann{tail}").allowed


def test_a_template_that_becomes_a_written_pattern_is_merged_with_it() -> None:
    """A deny on the path somebody's template gives is theirs, too; nobody else is touched by the template."""
    text = (
        'path "kv/ann/*" { capabilities = ["deny"] }\npath "kv/{{identity.entity.name}}/*" { capabilities = ["read"] }'
    )
    rules = Rules([("p", parse_policy(text))])

    assert not rules.of(Identity("1", "ann")).check("read", "kv/ann/x").allowed
    assert rules.of(Identity("2", "bob")).check("read", "kv/bob/x").allowed
    assert rules.of(Identity("2", "bob")).capabilities("kv/ann/x") == ["deny"]
